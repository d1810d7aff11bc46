"""What an attribution method is asked, and what it answers."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.models.base import Model
from bench.models.chunks import row_blocks, rows_at_once
from bench.models.given import check_evaluates
from bench.models.network import Network, as_margins
from bench.setfunction.distinct import distinct
from bench.setfunction.first_layer import FirstLayer, first_layer
from bench.setfunction.memory_format import channels_last, takes_channels_last
from bench.setfunction.outcome import G, check_kind, outcome
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.setfunction.split_table import Split, find_split, split_table
from bench.setfunction.table import Masks, check_table, spot_check, tabulate
from bench.tasks.base import Unsupported

Margins = Callable[[Float[Tensor, "b *features"]], Float[Tensor, "b outputs"]]
"""Margins of any inputs."""


@dataclass(frozen=True)
class AttributionProblem:
    """Which features made `model` give each input its target?

    Attributes
    ----------
    model : a trained model.
    inputs : the instances to explain.
    targets : the class predicted at each of them, 0 for regression.
    partition : the p features.
    reference : what a deleted feature is replaced by.
    g : what of the model's answer is explained, see `bench.setfunction.outcome`.
    """

    model: Model
    inputs: Float[Tensor, "n *features"]
    targets: Int[Tensor, " n"]
    partition: Partition
    reference: Reference
    g: G = "probability"

    def __post_init__(self) -> None:
        check_kind(self.g, self.model.n_classes)
        check_evaluates(self.model.module)
        shape = self.inputs.shape[1:]
        for name, found in (
            ("partition", self.partition.shape),
            ("reference", self.reference.draws.shape[2:]),
        ):
            if found != shape:
                raise ValueError(f"the {name} is of shape {tuple(found)}, an input {tuple(shape)}")
        if len(self.reference.draws) not in (1, self.n):
            sets = len(self.reference.draws)
            raise ValueError(f"the reference has draws for {sets} instances, there are {self.n}")
        if self.partition.own and len(self.partition.membership) != self.n:
            parted = len(self.partition.membership)
            raise ValueError(f"the partition is of {parted} instances, there are {self.n}")
        if self.targets.is_floating_point():
            raise ValueError(f"targets of {self.targets.dtype}: wanted whole numbers (torch.int64)")
        classes = range(max(1, self.model.n_classes))
        if self.targets.shape != (self.n,) or any(int(c) not in classes for c in self.targets):
            raise ValueError(
                f"targets {self.targets.tolist()}: wanted one a row, of 0 to {classes[-1]}"
            )
        if not (torch.isfinite(self.inputs).all() and torch.isfinite(self.reference.draws).all()):
            raise ValueError("inputs and reference hold NaN or infinite numbers: impute them first")

    @property
    def n(self) -> int:
        """How many instances there are."""
        return len(self.inputs)

    @property
    def p(self) -> int:
        """How many features there are."""
        return self.partition.p

    def to(self, device: str | torch.device) -> "AttributionProblem":
        """The problem on that device, where the model is a network; the model is copied."""
        if not isinstance(self.model, Network):
            return self
        module = copy.deepcopy(self.model.module).to(device)
        return AttributionProblem(
            replace(self.model, module=module),
            self.inputs.to(device),
            self.targets.to(device),
            replace(self.partition, membership=self.partition.membership.to(device)),
            Reference(self.reference.draws.to(device)),
            self.g,
        )

    @property
    def baseline(self) -> Float[Tensor, "n *features"]:
        """The reference's declared mean, for each instance."""
        return self.reference.mean.expand_as(self.inputs)

    @cached_property
    def null(self) -> Bool[np.ndarray, "n p"]:
        """The features that the reference leaves as they are, so that F doesn't know them."""
        return self.reference.null(self.inputs, self.partition)

    def value(self, masks: Masks) -> Float[np.ndarray, "n m"]:
        """F(S): the mean of g over the draws that replace the features S, in float64.

        Parameters
        ----------
        masks : True = deleted; `m p` for all instances, or `n m p` for each its own. Every
            value counts once in `model.calls.values`; rows go through the model for those that
            differ by features that aren't null.

        Raises
        ------
        ArithmeticError
            where the model's answer isn't finite.
        """
        first = self._first_layer()
        with torch.no_grad():
            found = self._by_distinct(masks) if first is None else self._by_effects(first, masks)
        return self._checked(masks, found)

    def direct(self, masks: Masks) -> Float[np.ndarray, "n m"]:
        """As `value`, every masked input written out and sent through the whole model."""
        with torch.no_grad():
            return self._checked(masks, self._by_inputs(masks))

    def table(self) -> Float[np.ndarray, "n sets"]:
        """F of all 2^p sets in numeric order, see `bench.setfunction.table`.

        A table got by a shortcut is compared with direct calls at random sets.
        """
        splits = self._splits() if isinstance(self.model, Network) else []
        if not splits:
            return tabulate(self.value, self.p)
        table = self._split_table(splits)
        check_table(table, *spot_check(self.direct, self.p))
        return table

    def output(
        self, inputs: Float[Tensor, "m *features"], rows: Int[Tensor, " m"]
    ) -> Float[Tensor, " m"]:
        """g at any inputs, for the targets of the instances `rows`; differentiable."""
        return outcome(self.model.margins(inputs), self.targets[rows], self.g)

    def gradient(
        self, inputs: Float[Tensor, "m *features"], rows: Int[Tensor, " m"]
    ) -> Float[Tensor, "m *features"]:
        """The gradient of `output` at each of the inputs, in float64.

        Raises
        ------
        Unsupported
            where the model has no gradient, or g is the label, which has none.
        """
        if self.model.module is None:
            raise Unsupported("needs a differentiable model")
        if self.g == "label":
            raise Unsupported("the label has no gradient: g=probability, logit and margin have")
        parts = []
        at_once = rows_at_once(self.inputs)
        for some, at in zip(inputs.split(at_once), rows.split(at_once), strict=True):
            points = some.detach().clone().requires_grad_()
            with torch.enable_grad():
                total = self.output(points, at).sum()
            parts.append(torch.autograd.grad(total, points)[0].double())
        return torch.cat(parts)

    def _first_layer(self) -> FirstLayer | None:
        if not isinstance(self.model, Network):
            return None
        with torch.no_grad():
            return first_layer(self.model.module, self.inputs, self.reference, self.partition)

    def _checked(self, masks: Masks, found: Float[Tensor, "n m"]) -> Float[np.ndarray, "n m"]:
        """The values counted; raises `ArithmeticError` where one isn't finite."""
        values: np.ndarray = found.cpu().numpy()
        self.model.calls.values += values.size
        if not np.isfinite(values).all():
            row, at = np.argwhere(~np.isfinite(values))[0]
            deleted = np.flatnonzero(masks[at] if masks.ndim == 2 else masks[row, at])
            names = ", ".join(self.partition.names[i] for i in deleted[:8]) or "nothing"
            raise ArithmeticError(
                f"the model answers {values[row, at]} at instance {row} with {names}"
                f"{', ..' if len(deleted) > 8 else ''} deleted: wanted finite numbers"
            )
        return values

    def _by_effects(self, first: FirstLayer, masks: Masks) -> Float[Tensor, "n m"]:
        """F by what each deleted feature adds to the first layer."""
        m, draws = masks.shape[-2], self.reference.count
        values = torch.empty(self.n, m, dtype=torch.float64)
        each = masks if masks.ndim == 3 else masks[None]
        deleted = torch.from_numpy(each).to(first.effects)
        for at, some, outputs in first.outputs(deleted):
            targets = self.targets[at].repeat_interleave(draws * outputs.shape[2])
            margins = as_margins(outputs.flatten(0, 2), self.model.n_classes)
            found = outcome(margins, targets, self.g).view(outputs.shape[:3])
            values[at, some] = found.mean(1)
        self.model.calls.forward += self.n * m * draws
        return values

    def _by_inputs(self, masks: Masks) -> Float[Tensor, "n m"]:
        """F by writing out the masked inputs."""
        row, at = np.divmod(np.arange(self.n * masks.shape[-2]), masks.shape[-2])
        return self._of_pairs(masks, row, at, self.model.margins).view(self.n, -1)

    def _by_distinct(self, masks: Masks) -> Float[Tensor, "n m"]:
        """F by writing out the masked inputs that differ, for a model that needs no gradient."""
        different = distinct(masks, self.null)
        network = self.model if isinstance(self.model, Network) else None
        margins = network.forward_only() if network else self.model.margins
        found = self._of_pairs(masks, different.rows, different.masks, margins)
        return found[torch.from_numpy(different.place)]

    def _of_pairs(
        self,
        masks: Masks,
        row: Int[np.ndarray, " b"],
        at: Int[np.ndarray, " b"],
        margins: Margins,
    ) -> Float[Tensor, " b"]:
        """F of the instances `row`, each at the one of its masks that `at` says."""
        pairs = max(1, rows_at_once(self.inputs) // self.reference.count)
        parts = [self.inputs.new_empty(0, dtype=torch.float64)]
        for some in (slice(start, start + pairs) for start in range(0, len(row), pairs)):
            of_pair = masks[at[some]] if masks.ndim == 2 else masks[row[some], at[some]]
            rows = torch.from_numpy(row[some])
            parts.append(self._mean_outcome(torch.from_numpy(of_pair), rows, margins))
        return torch.cat(parts)

    def _mean_outcome(
        self, masks: Bool[Tensor, "b p"], rows: Int[Tensor, " b"], margins: Margins
    ) -> Float[Tensor, " b"]:
        draws = self.reference.of(rows)
        deleted = self.partition.positions(masks.to(self.inputs.device), rows)
        points = torch.where(deleted[:, None], draws, self.inputs[rows][:, None]).flatten(0, 1)
        if points.ndim == 4 and takes_channels_last(self.model.module):
            points = channels_last(points)
        targets = self.targets[rows.repeat_interleave(draws.shape[1])]
        found = outcome(margins(points), targets, self.g)
        return found.view(len(rows), -1).mean(1)

    def _splits(self) -> list[Split]:
        """The shortcut to each instance's table; none unless all have one."""
        module, own = self.model.module, self.partition.own
        found = [find_split(module, self.partition.only(k)) for k in range(self.n if own else 1)]
        splits = [split for split in found if split is not None]
        return (splits if own else splits * self.n) if len(splits) == len(found) else []

    def _split_table(self, splits: list[Split]) -> Float[np.ndarray, "n sets"]:
        self.model.calls.values += self.n * 2**self.p
        table = np.empty((self.n, 2**self.p))
        for row, split in enumerate(splits):
            draws, target = self.reference.of(torch.tensor([row]))[0], int(self.targets[row])
            found = split_table(
                split, self.inputs[row], draws, target, self.model.n_classes, self.g
            )
            table[row] = found.cpu().numpy()
        return table


@dataclass(frozen=True)
class Attribution:
    """How influential each feature is.

    Attributes
    ----------
    values : larger = more influential for the target: deleting the feature lowers g, keeping
        it holds g up. Their order is scored; equal values are ties.
    baseline : what the method compared the inputs with, where that is not the mean of the
        problem's reference; None where it is, or where there is no such thing.
    """

    values: Float[np.ndarray, "n p"]
    baseline: Float[Tensor, "..."] | None = None


def predicted(model: Model, inputs: Float[Tensor, "n *features"]) -> Int[Tensor, " n"]:
    """The class that the model predicts at each input, 0 for regression."""
    with torch.no_grad():
        return torch.cat([model.margins(inputs[rows]).argmax(1) for rows in row_blocks(inputs)])
