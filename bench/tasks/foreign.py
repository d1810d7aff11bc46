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


class Output(nn.Module):
    """g as a module: hooks that a package puts on all of its parts reach the network's.

    Parameters
    ----------
    problem : whose g it is.
    target : a class for all inputs; by default those of the instances that they come from.
    """

    def __init__(self, problem: AttributionProblem, target: int | None = None) -> None:
        super().__init__()
        self.network, self.problem, self.target = problem.model.module, problem, target

    def forward(
        self, inputs: Float[Tensor, "m *features"], rows: Int[Tensor, "..."] | None = None
    ) -> Float[Tensor, " m"] | Float[Tensor, "m 1"]:
        """One number an input, as a column where the target is fixed.

        A single one of `rows` stands for all inputs; they are taken in the network's own dtype.
        """
        inputs = inputs.to(self.problem.inputs.dtype)
        if self.target is None:
            assert rows is not None, "no fixed target: wanted the instances"
            return self.problem.output(inputs, rows.flatten().expand(len(inputs)))
        margins = self.problem.model.margins(inputs)
        targets = torch.full((len(inputs),), self.target, device=margins.device)
        return outcome(margins, targets, self.problem.g)[:, None]


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
