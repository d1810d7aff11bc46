"""An attributor of the package dattri: TRAK, EK-FAC, DVEmb, Arnoldi and its other ones."""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.data import DataLoader, TensorDataset

from bench.data import Samples
from bench.models.base import Capability
from bench.models.network import as_margins, with_parameters
from bench.models.optimiser import PLAIN
from bench.models.trajectory import Objective
from bench.tasks.base import Unsupported
from bench.tasks.cleansing import CleansingProblem, Influence
from bench.tasks.foreign import package, seeded

Attributor = Literal["TRAK", "DVEmb", "EKFAC", "Arnoldi", "CG", "DataInf", "Explicit"]
Parameters = Mapping[str, Tensor]
Batch = Sequence[Tensor]
Loss = Callable[[Parameters, Batch], Tensor]

CHUNK_NUMBERS = 2**24
"""Numbers of gradients in a batch that the package is handed."""


@dataclass(frozen=True)
class Dattri:
    """Mean over the query's rows of what an attributor of dattri 0.3 gives a training row.

    TRAK explains the log-odds of the right class, from its gradients at the trained network and
    1 - the probability of the training row's label; DVEmb walks the recorded steps of plain SGD
    back with Gauss-Newton products; the others are influence functions with another inverse of
    the Hessian each. All come out with the sign of theirs that is negative = harmful. What the
    package asks of the network isn't among the counted calls.

    Parameters
    ----------
    attributor : `TRAK`, `DVEmb`, or one of `IFAttributor...`.
    damping : its `regularization` or `damping`; DVEmb has none.
    options : other keyword arguments of its class. TRAK's go to its projector.
    largest : parameters that DVEmb without `proj_dim`, and Explicit, take at most: they form a
        matrix of their square.

    Raises
    ------
    FloatingPointError
        where the answer isn't finite, as without damping it often is.

    References
    ----------
    Deng et al., *dattri: A Library for Efficient Data Attribution*, NeurIPS 2024 (datasets and
    benchmarks). TRAK: Park et al., ICML 2023. DVEmb: Wang et al., *Capturing the Temporal
    Dependence of Training Data Influence*, ICLR 2025. EK-FAC: Grosse et al., 2023. Arnoldi:
    Schioppa et al., AAAI 2022.
    """

    attributor: Attributor
    damping: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)
    largest: int = 5000

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"gradient", "replay"})

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        package("dattri.algorithm")
        p = len(problem.trajectory.final)
        if p > self.largest and self._forms_a_matrix:
            raise Unsupported(f"{p} parameters: a matrix is formed for {self.largest} at most")
        answer = {"TRAK": self._trak, "DVEmb": self._dvemb}.get(self.attributor, self._influence)
        with seeded(rng) as seed:
            values = answer(problem, seed).detach().double().cpu().numpy()
        if not np.isfinite(values).all():
            wrong = len(values) - np.isfinite(values).sum()
            raise FloatingPointError(
                f"dattri's {self.attributor} gives {wrong} of {len(values)} values that aren't "
                f"finite with damping={self.damping:g}: raise the damping"
            )
        return Influence(values)

    @property
    def _forms_a_matrix(self) -> bool:
        projected = self.options.get("proj_dim") is not None
        return self.attributor == "Explicit" or (self.attributor == "DVEmb" and not projected)

    def _influence(self, problem: CleansingProblem, seed: int) -> Float[Tensor, " n_train"]:
        kind = getattr(package("dattri.algorithm"), f"IFAttributor{self.attributor}")
        taken = inspect.signature(kind).parameters
        device = str(problem.trajectory.final.device)
        known: dict[str, Any] = {"regularization": self.damping, "damping": self.damping}
        known |= {"seed": seed, "device": device}
        given = {name: value for name, value in known.items() if name in taken}
        module = _network(problem)
        if self.attributor == "EKFAC":
            module = _without_biases(module)
        made = kind(_explained(module, problem), **{**given, **self.options})
        train = _loader(problem, problem.train)
        with _turned_into_eigenvectors():
            made.cache(train)
        found: Tensor = made.attribute(train, _whole(problem.validation))
        return found[:, 0] / len(problem.train)

    def _trak(self, problem: CleansingProblem, seed: int) -> Float[Tensor, " n_train"]:
        module = _network(problem)
        shape = problem.train.inputs.shape[1:]

        def odds(parameters: Parameters, row: Batch) -> Tensor:
            return _log_odds(module, shape, parameters, row)

        device = str(problem.trajectory.final.device)
        given = {"proj_max_batch_size": 32, "proj_seed": seed, "device": device, **self.options}

        def probability(parameters: Parameters, row: Batch) -> Tensor:
            return odds(parameters, row).sigmoid()[None]

        made = package("dattri.algorithm").TRAKAttributor(
            _task(module, odds, odds),
            probability,
            projector_kwargs=given,
            device=device,
            regularization=self.damping,
        )
        made.cache(_loader(problem, problem.train))
        found: Tensor = made.attribute(_loader(problem, problem.validation))
        return found.mean(1)

    def _dvemb(self, problem: CleansingProblem, seed: int) -> Float[Tensor, " n_train"]:
        run = problem.trajectory
        if run.optimiser != PLAIN:
            raise Unsupported("DVEmb is derived for plain SGD")
        module = _network(problem)
        made = package("dattri.algorithm").DVEmbAttributor(
            _explained(module, problem), proj_seed=seed, **self.options
        )
        steps = list(run.backwards())[::-1]
        for t, (flat, rows, rate) in enumerate(steps):
            epoch = t // run.schedule.steps_per_epoch
            nn.utils.vector_to_parameters(flat.clone(), module.parameters())
            batch = (run.objective.inputs(rows, epoch), problem.train.targets[rows])
            made.cache_gradients(epoch, batch, rows, rate)
        made.cache()
        nn.utils.vector_to_parameters(run.final.clone(), module.parameters())
        # The package takes the training loss of the query too: it would have the penalty in it.
        made.task = _bare(module, problem)
        found: Tensor = made.attribute(_whole(problem.validation))
        return found[:, 0]


def _network(problem: CleansingProblem) -> nn.Module:
    """A copy of the trained network for the package to change."""
    return with_parameters(problem.trajectory.objective.module, problem.trajectory.final)


@contextlib.contextmanager
def _turned_into_eigenvectors() -> Iterator[None]:
    """The package's EK-FAC turns gradients by the rows of matrices whose columns are the
    eigenvectors: meanwhile it is handed their transposes. They are found in double precision: in
    single, they aren't found at all where many inputs are constant, as rare words are."""
    fisher: Any = package("dattri.func.fisher")
    estimated = fisher.estimate_eigenvector

    def transposed(covariances: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Any]:
        exact = {name: (a.double(), s.double()) for name, (a, s) in covariances.items()}
        found = estimated(exact).items()
        return {
            name: tuple(
                vectors.T.to(covariance.dtype)
                for vectors, covariance in zip(pair, covariances[name], strict=True)
            )
            for name, pair in found
        }

    fisher.estimate_eigenvector = transposed
    try:
        yield
    finally:
        fisher.estimate_eigenvector = estimated


class _WithOne(nn.Module):
    """A linear layer whose bias is the weight of a constant input.

    The package's EK-FAC reshapes a layer's weights and biases, one after the other, into the
    matrix of such a layer, which tears them apart.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        sizes, device = (layer.in_features + 1, layer.out_features), layer.weight.device
        self.joined = nn.Linear(*sizes, bias=False, device=device)
        with torch.no_grad():
            self.joined.weight.copy_(torch.cat([layer.weight, layer.bias[:, None]], dim=1))

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.joined(torch.cat([inputs, torch.ones_like(inputs[..., :1])], dim=-1))
        return found


def _without_biases(module: nn.Module) -> nn.Module:
    """The same function, the biases of linear layers weights of a constant input."""
    for name, part in list(module.named_children()):
        if isinstance(part, nn.Linear) and part.bias is not None:
            module.add_module(name, _WithOne(part))
        else:
            _without_biases(part)
    return module


def _task(module: nn.Module, loss: Loss, target: Loss) -> Any:
    checkpoint = {name: value.clone() for name, value in module.state_dict().items()}
    return package("dattri.task").AttributionTask(loss, module, checkpoint, target)


def _explained(module: nn.Module, problem: CleansingProblem) -> Any:
    """The training loss, penalty included, and the query's, without it."""
    objective, shape = problem.trajectory.objective, problem.train.inputs.shape[1:]
    penalised = _loss(module, objective, shape, objective.weight_decay)
    return _task(module, penalised, _loss(module, objective, shape, 0.0))


def _loader(problem: CleansingProblem, samples: Samples) -> DataLoader[tuple[Tensor, ...]]:
    size = max(1, min(len(samples), CHUNK_NUMBERS // len(problem.trajectory.final)))
    return DataLoader(TensorDataset(samples.inputs, samples.targets), batch_size=size)


def _whole(samples: Samples) -> DataLoader[tuple[Tensor, ...]]:
    """All rows as a single one, whose loss is their mean: one gradient instead of many."""
    return DataLoader(TensorDataset(samples.inputs[None], samples.targets[None]), batch_size=1)


def _bare(module: nn.Module, problem: CleansingProblem) -> Any:
    """The query's loss, without penalty."""
    loss = _loss(module, problem.trajectory.objective, problem.train.inputs.shape[1:], 0.0)
    return _task(module, loss, loss)


def _loss(module: nn.Module, objective: Objective, shape: torch.Size, weight_decay: float) -> Loss:
    """Mean loss of a batch, with a penalty; under the package's vmap, of one row (which may have
    no axis of rows) or of a whole query."""

    def loss(parameters: Parameters, batch: Batch) -> Tensor:
        inputs, targets = batch
        outputs = functional_call(module, dict(parameters), (inputs.reshape(-1, *shape),))
        penalty = sum((value.square().sum() for value in parameters.values()), inputs.new_zeros(()))
        fit = objective.loss(outputs[None], targets.reshape(-1)).mean()
        return fit + weight_decay / 2 * penalty

    return loss


def _log_odds(module: nn.Module, shape: torch.Size, parameters: Parameters, row: Batch) -> Tensor:
    """log p / (1 - p) of a row's own class."""
    inputs, target = row
    outputs = functional_call(module, dict(parameters), (inputs.reshape(-1, *shape),))
    scores = as_margins(outputs, 2)[0] if outputs.shape[-1] == 1 else outputs[0]
    own = torch.arange(len(scores), device=scores.device) == target.reshape(())
    others = scores.masked_fill(own, -torch.inf).logsumexp(0)
    return scores.masked_fill(~own, 0).sum() - others
