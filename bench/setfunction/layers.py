"""The layers of a plain network in a row, as they are read for tables and for bounds."""

from torch import nn


def layers_of(module: nn.Module) -> list[nn.Module]:
    """The layers that a module runs one after the other; those that change nothing are left out.

    An `nn.Sequential` is opened, any other module is one layer. Hooks are not among them: calls
    are counted by one, and one that changes the answer shows when a table is checked.
    """
    # Exact types: a subclass may do more than its base says.
    if type(module) is nn.Sequential:
        return [layer for part in module for layer in layers_of(part)]
    idle = type(module) in (nn.Dropout, nn.Dropout2d) and not module.training
    return [] if idle or type(module) is nn.Identity else [module]


def flattens(layer: nn.Module) -> bool:
    """Whether the layer makes one axis of all but the first."""
    return type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1)
