"""Each check of `bench.conformance` finds the broken promise that it is there for."""

import time
from dataclasses import dataclass, field, make_dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from bench import conformance
from bench.conformance import (
    CHECKS,
    NotApplicable,
    Subject,
    check_method,
    check_pickles,
    leaves,
)
from bench.models.base import Capability
from bench.tasks.base import Unsupported
from bench.tasks.cleansing import Cleansing, CleansingProblem, Influence


@dataclass(frozen=True)
class Good:
    """Minus the margin of each row's own label.

    Parameters
    ----------
    scale : multiplies the values.

    References
    ----------
    Made here.
    """

    scale: float = 1.0

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        with torch.no_grad():
            margins = problem.model.margins(problem.train.inputs)
        rows = torch.arange(len(problem.train))
        other = 1 - problem.train.targets
        own = margins[rows, problem.train.targets] - margins[rows, other]
        return Influence(self.scale * own.numpy())


@dataclass(frozen=True)
class Noisy(Good):
    """The same with a little noise: a sampled method.

    Parameters
    ----------
    scale : multiplies the values.

    References
    ----------
    Made here.
    """

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        values = super().explain(problem, rng=rng).values
        return Influence(values + 0.1 * rng.standard_normal(len(values)))


def broken(by: Any, **attributes: Any) -> Any:
    """`Good`, its answer passed through `by(problem, rng, values)`."""

    def explain(self: Good, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        return Influence(by(problem, rng, Good.explain(self, problem, rng=rng).values))

    return type("Broken", (Good,), {"explain": explain, "__doc__": Good.__doc__, **attributes})()


def failing(method: Any) -> set[str]:
    """Names of the checks that a method fails, without their `check_`.

    `pickles` apart: a class made inside a function never does.
    """
    found = set()
    for check in CHECKS:
        if check is check_pickles:
            continue
        try:
            check(Subject(method, Cleansing()))
        except NotApplicable:
            pass
        except Exception:
            found.add(check.__name__.removeprefix("check_"))
    return found


@pytest.mark.parametrize("method", [Good(), Noisy()], ids=["exact", "sampled"])
def test_a_good_method_passes(method: Any):
    """Nothing is found where nothing is wrong."""
    check_method(method, Cleansing())


def heavier(problem: CleansingProblem, _rng: Any, values: np.ndarray) -> np.ndarray:
    next(problem.model.module.parameters()).data.mul_(1.5)
    return values


def hooked(problem: CleansingProblem, _rng: Any, values: np.ndarray) -> np.ndarray:
    problem.model.module.register_forward_hook(lambda *_: None)
    return values


def training(problem: CleansingProblem, _rng: Any, values: np.ndarray) -> np.ndarray:
    problem.model.module.train()
    return values


def with_gradient(problem: CleansingProblem, _rng: Any, values: np.ndarray) -> np.ndarray:
    problem.model.margins(problem.train.inputs).sum().backward()
    return values


def on_inputs(problem: CleansingProblem, _rng: Any, values: np.ndarray) -> np.ndarray:
    problem.train.inputs[0] += 1
    return values


@pytest.mark.parametrize("by", [hooked, training, with_gradient])
def test_traces_on_the_model_are_found(by: Any):
    """A hook, the training flag, a gradient left behind."""
    gradient = frozenset({"black_box", "gradient"})
    assert failing(broken(by, needs=gradient)) == {"leaves_no_trace"}


@pytest.mark.parametrize("by", [heavier, on_inputs])
def test_changed_weights_and_inputs_are_found(by: Any):
    """Another answer follows, so other checks may see it as well."""
    assert "leaves_no_trace" in failing(broken(by))


def test_global_randomness_is_found():
    """An answer from the global random state differs; drawing from it leaves a trace."""
    found = failing(broken(lambda p, r, values: values + 0.01 * torch.rand(len(values)).numpy()))
    assert {"same_seed_same_answer", "leaves_no_trace"} <= found


def test_a_reseeded_global_state_is_found():
    """Seeding everything gives one answer for ever, and leaves a trace."""

    def seeded(_problem: Any, rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
        torch.manual_seed(int(rng.integers(100)))
        return values

    assert failing(broken(seeded)) == {"leaves_no_trace"}


@pytest.mark.parametrize(
    "by",
    [
        lambda p, r, values: values[:-1],
        lambda p, r, values: np.full(len(values), np.nan),
        lambda p, r, values: values.astype(int),
        lambda p, r, values: values.tolist(),
    ],
    ids=["short", "nan", "integers", "list"],
)
def test_answers_of_a_wrong_form_are_found(by: Any):
    """Shape, finite numbers, real numbers, an array."""
    assert "answers" in failing(broken(by))


def test_answers_that_follow_the_order_of_rows_are_found():
    """The row's place has no say: exact and sampled methods are both seen through."""
    place = lambda p, r, values: values + np.arange(len(values))  # noqa: E731
    assert "symmetries" in failing(broken(place))
    noisy_place = lambda p, r, values: place(p, r, values) + 0.01 * r.random(len(values))  # noqa: E731
    assert "symmetries" in failing(broken(noisy_place))


def test_an_undeclared_need_is_found():
    """Says black_box, asks for the run of SGD: on a plain black box the check sees it raise."""

    def peeking(problem: CleansingProblem, _rng: Any, values: np.ndarray) -> np.ndarray:
        assert problem.model.trajectory is not None
        return values

    assert failing(broken(peeking)) == {"needs"}


def test_answers_against_the_truth_are_found():
    """The sign turned round calls the right labels harmful."""
    assert failing(broken(lambda p, r, values: -values)) == {"known_truth"}


def test_slow_answers_are_found(monkeypatch: pytest.MonkeyPatch):
    """The limit is in CPU seconds."""
    monkeypatch.setattr(conformance, "SECONDS", 0.02)

    def slow(_problem: Any, _rng: Any, values: np.ndarray) -> np.ndarray:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
        return values

    assert "ends_in_time" in failing(broken(slow))


def test_a_refusal_of_the_tiny_problem_is_found():
    """A method that refuses everything can't pass by refusing."""

    def refusing(*_: Any) -> np.ndarray:
        raise Unsupported("never")

    assert "answers" in failing(broken(refusing))


@pytest.mark.parametrize(
    "attributes",
    [{"version": "1"}, {"version": 0}, {"needs": {"black_box"}}, {"needs": frozenset("x")}],
)
def test_wrong_declarations_are_found(attributes: dict[str, Any]):
    """A version that is no whole number from 1 on, needs that aren't a set of known ones."""
    assert "declares" in failing(broken(lambda p, r, values: values, **attributes))


def test_methods_that_can_change_are_found():
    """Only frozen dataclasses have hyperparameters that stay."""
    loose = make_dataclass("Loose", [("scale", float, field(default=1.0))], namespace=vars_of(Good))
    assert "declares" in failing(loose())


def vars_of(cls: type) -> dict[str, Any]:
    return {name: vars(cls)[name] for name in ("version", "needs", "explain", "__doc__")}


@pytest.mark.parametrize(
    "text",
    [
        None,
        "Says nothing of its fields.",
        "No source.\n\n    Parameters\n    ----------\n    scale : x.\n",
        "No field.\n\n    Parameters\n    ----------\n\n    References\n    ----------\n    scale",
    ],
)
def test_gaps_in_the_docstring_are_found(text: str | None):
    """No docstring, no sections, a field without a word, no source."""
    assert failing(broken(lambda p, r, values: values, __doc__=text)) == {"documented"}


def test_all_broken_promises_are_told_together():
    """One error a promise, each with the check that found it."""
    with pytest.raises(ExceptionGroup, match="Broken breaks 3 promises") as caught:
        check_method(broken(lambda p, r, values: -values, __doc__=None), Cleansing())
    notes = "".join(note for error in caught.value.exceptions for note in error.__notes__)
    assert "check_documented" in notes
    assert "check_known_truth" in notes
    assert "check_pickles" in notes


def test_leaves_ignore_what_is_cached_or_counted():
    """Asking the model, or filling a cached property, changes nothing that counts."""
    problem = Cleansing().tiny()
    before = leaves(problem)
    problem.model.calls.forward += 1
    assert problem.trajectory is not None
    assert leaves(problem) == before
    problem.train.targets[0] += 1
    assert leaves(problem) != before
