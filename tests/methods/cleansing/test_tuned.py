"""The damping chosen by retraining, on the query alone."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from earnest.methods.cleansing.inverse_hessian import LiSSA
from earnest.methods.cleansing.koh_liang import KohLiang
from earnest.methods.cleansing.own_loss import OwnLoss
from earnest.methods.cleansing.representer_points import RepresenterPoints
from earnest.methods.cleansing.tuned import Tuned

from bench.components import Shelf, build
from bench.models.influence import mean_losses
from bench.models.network import MLP
from bench.models.sgd import SGD
from bench.tasks.cleansing import Influence

RNG = np.random.default_rng
NETWORK = SGD(MLP((6,), "gelu"), epochs=10, batch_size=10)
GRID = (0.001, 0.1, 10.0)


@dataclass(frozen=True)
class Drawn:
    """Random values scaled by the damping: the same order for all that are positive."""

    damping: float = 1.0

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()

    def explain(self, problem, *, rng):
        return Influence(self.damping * rng.standard_normal(len(problem.train)))


@pytest.mark.parametrize("method", [KohLiang(), RepresenterPoints(), Drawn()])
def test_the_damping_that_helps_the_query_most_wins(method, ask):
    """Each candidate's three worst of 60 rows are left out, one retraining at a time."""
    problem = ask(NETWORK)
    grid = (-1.0, 1.0, 2.0) if isinstance(method, Drawn) else GRID
    seed = int(RNG(4).integers(2**63))
    losses, answers = [], []
    for damping in grid:
        answer = replace(method, damping=damping).explain(problem, rng=RNG(seed))
        keep = torch.ones(1, 60, dtype=torch.bool)
        keep[0, answer.values.argsort()[:3].copy()] = False
        final = problem.trajectory.retrain(keep)
        losses.append(float(mean_losses(problem.trajectory.objective, final, problem.validation)))
        answers.append(answer.values)
    won, found = Tuned(method, grid, percent=5).best(problem, rng=RNG(4))
    best = int(np.argmin(losses))
    assert losses[grid.index(won)] == pytest.approx(losses[best], abs=1e-6)
    np.testing.assert_array_equal(found.values, answers[grid.index(won)])
    explained = Tuned(method, grid, percent=5).explain(problem, rng=RNG(4)).values
    np.testing.assert_array_equal(explained, found.values)


def test_one_damping_is_the_method_itself(ask):
    """Nothing to choose: its own answer."""
    problem = ask(NETWORK)
    found = Tuned(KohLiang(), (0.3,)).explain(problem, rng=RNG(0)).values
    np.testing.assert_array_equal(found, KohLiang(0.3).explain(problem, rng=RNG(0)).values)


def test_its_retraining_is_counted(ask):
    """Three runs of ten epochs on 60 rows are the method's cost."""
    problem = ask(NETWORK)
    calls = problem.trajectory.objective.calls
    before = calls.copy()
    Tuned(Drawn(), GRID).explain(problem, rng=RNG(0))
    assert calls.since(before).forward >= 3 * 10 * 60


def test_dampings_that_diverge_are_passed_over(ask):
    """LiSSA diverges where the scale is too small for the damping; where all do, it says so."""
    problem = ask(NETWORK)
    lissa = KohLiang(1.0, LiSSA(depth=200, scale=1.0))
    won, found = Tuned(lissa, (50.0, 0.5)).best(problem, rng=RNG(0))
    assert won == 0.5
    assert np.isfinite(found.values).all()
    with pytest.raises(FloatingPointError, match="raise the scale.*raise the scale"):
        Tuned(lissa, (50.0, 60.0)).explain(problem, rng=RNG(0))


def test_every_tuned_method_has_the_same_budget():
    """As many dampings and as many rows removed in every yaml."""
    shelf = Shelf()
    names = [name for name in shelf.names("method/cleansing") if name.endswith("_tuned")]
    tuned = [build(shelf.config("method/cleansing", name)) for name in names]
    assert len(tuned) > 5
    assert {(len(method.dampings), method.percent) for method in tuned} == {(7, 5.0)}


def test_what_cannot_be_tuned_is_refused():
    """A method without damping, no candidates, nothing or everything removed."""
    with pytest.raises(ValueError, match="OwnLoss has no damping"):
        Tuned(OwnLoss(), GRID)
    with pytest.raises(ValueError, match="wanted at least one"):
        Tuned(KohLiang(), ())
    with pytest.raises(ValueError, match="less than 100"):
        Tuned(KohLiang(), GRID, percent=100)
