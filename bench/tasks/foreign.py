"""What explainers of other packages need: the package, one instance, g as a module, a seed."""

import contextlib
import importlib
import io
import random
import warnings
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bench.setfunction.outcome import outcome
from bench.setfunction.reference import Reference
from bench.tasks.attribution_problem import AttributionProblem
from bench.tasks.base import Unsupported


def package(name: str) -> ModuleType:
    """The module `name` of a package whose extra is called as the package.

    Raises
    ------
    Unsupported
        where it isn't installed.
    """
    extra = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unsupported(f"needs {extra}: pip install 'earnest[{extra}]'") from error


def alone(problem: AttributionProblem, row: int) -> AttributionProblem:
    """The problem of that instance."""
    at = torch.tensor([row], device=problem.inputs.device)
    return replace(
        problem,
        inputs=problem.inputs[at],
        targets=problem.targets[at],
        partition=problem.partition.at(at),
        reference=Reference(problem.reference.of(at)),
    )


def differentiable(problem: AttributionProblem) -> nn.Module:
    """The network, where g has a gradient.

    Raises
    ------
    Unsupported
        where there is none.
    """
    if problem.model.module is None:
        raise Unsupported("needs a differentiable model")
    if problem.g == "label":
        raise Unsupported("the label has no gradient: g=probability, logit and margin have")
    return problem.model.module


class Output(nn.Module):
    """g as a module: hooks that a package puts on all of its parts reach the network's.

    The step from margins to a probability is a part, too, an `nn.Softmax` as a user of the package
    would append it, or an `nn.Sigmoid` behind a network with a single logit: rules for layers
    reach no function.

    Parameters
    ----------
    problem : whose g it is.
    target : a class for all inputs; by default those of the instances that they come from.
    """

    def __init__(self, problem: AttributionProblem, target: int | None = None) -> None:
        super().__init__()
        self.network, self.problem, self.target = problem.model.module, problem, target
        self.softmax, self.sigmoid = nn.Softmax(1), nn.Sigmoid()

    def forward(
        self, inputs: Float[Tensor, "m *features"], rows: Int[Tensor, "..."] | None = None
    ) -> Float[Tensor, " m"] | Float[Tensor, "m 1"]:
        """One number an input, as a column where the target is fixed.

        A single one of `rows` stands for all inputs; they are taken in the network's own dtype.
        """
        margins = self.problem.model.margins(inputs.to(self.problem.inputs.dtype))
        if self.target is None:
            assert rows is not None, "no fixed target: wanted the instances"
            return self._of(margins, self.problem.targets[rows.flatten().expand(len(inputs))])
        targets = torch.full((len(inputs),), self.target, device=margins.device)
        return self._of(margins, targets)[:, None]

    def _of(
        self, margins: Float[Tensor, "m outputs"], targets: Int[Tensor, " m"]
    ) -> Float[Tensor, " m"]:
        if self.problem.g != "probability":
            return outcome(margins, targets, self.problem.g)
        if margins.shape[1] == 2 and not margins[:, 0].any():  # one logit, see `as_margins`
            lead: Tensor = self.sigmoid(margins[:, 1:] * (2 * targets[:, None] - 1))
            return lead.squeeze(1)
        chances: Tensor = self.softmax(margins)
        return chances.gather(1, targets[:, None]).squeeze(1)


@contextlib.contextmanager
def seeded(rng: np.random.Generator) -> Iterator[int]:
    """Global random states set by one draw from `rng`, which is given, and put back at the end.

    Warnings and progress bars are kept quiet meanwhile.
    """
    seed = int(rng.integers(2**31))
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    with (
        torch.random.fork_rng(devices=range(torch.cuda.device_count())),
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002  (packages draw from the global state)
        random.seed(seed)
        try:
            yield seed
        finally:
            np.random.set_state(states[0])  # noqa: NPY002
            random.setstate(states[1])
