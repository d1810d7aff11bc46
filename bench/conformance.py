"""What every method promises, as checks that anyone can run on a method of their own.

>>> from bench.conformance import check_method
>>> from bench.tasks.cleansing import Cleansing
>>> check_method(MyMethod(), Cleansing())  # doctest: +SKIP
"""

import contextlib
import pickle
import random
import time
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.clock import Calls
from bench.models.base import Capability
from bench.probes import PROBES, Probe
from bench.tasks.base import Method, Task, Unsupported

SECONDS = 5.0
"""CPU seconds that an answer to a tiny problem may take once all is imported and compiled."""

RUNS = 24
"""Answers of a sampled method to each of two equivalent problems whose means are compared."""

STANDARD_ERRORS = 6.0
"""Largest difference of those means: by chance once in a million entries (t, 46 degrees)."""

TOLERANCE = 1e-4
"""Largest difference, relative to the largest value, that float32 sums in another order make."""


class NotApplicable(Exception):
    """A check that says nothing about this method or task: the reason."""


@dataclass(frozen=True)
class Subject:
    """What a check looks at."""

    method: Method[Any, Any]
    task: Task
    device: str = "cpu"

    def tiny(self) -> Any:
        """The task's tiny problem, on the device where problems can be moved."""
        problem = self.task.tiny()
        if self.device == "cpu":
            return problem
        if not hasattr(problem, "to"):
            raise NotApplicable(f"problems of {self.task.name} stay on the CPU")
        return problem.to(self.device)

    @property
    def probe(self) -> Probe:
        if self.task.name not in PROBES:
            raise NotApplicable(f"no probe for {self.task.name}")
        return PROBES[self.task.name]

    def answer(self, problem: Any, seed: int = 0) -> Any:
        """The explanation; where it is refused, the check is not applicable."""
        try:
            return self.method.explain(problem, rng=np.random.default_rng(seed))
        except Unsupported as refusal:
            raise NotApplicable(str(refusal)) from refusal

    def values(self, problem: Any, seed: int = 0) -> np.ndarray:
        """The explanation in numbers."""
        return np.asarray(self.probe.values(problem, self.answer(problem, seed)), dtype=float)


Check = Callable[[Subject], None]


def check_declares(subject: Subject) -> None:
    """A frozen dataclass with a `version` and known `needs`, neither of them a field."""
    cls = type(subject.method)
    assert is_dataclass(cls), f"{cls.__name__} is no dataclass"
    frozen = cls.__dataclass_params__.frozen
    assert frozen, f"{cls.__name__} can be changed: wanted @dataclass(frozen=True)"
    declared = {field.name for field in fields(cls)}
    assert not declared & {"version", "needs"}, "version and needs are ClassVars, not fields"
    version, needs = getattr(cls, "version", None), getattr(cls, "needs", None)
    assert isinstance(version, int), f"version={version!r}: wanted a whole number from 1 on"
    assert version >= 1, f"version={version!r}: wanted a whole number from 1 on"
    assert isinstance(needs, frozenset), f"needs={needs!r}: wanted a frozenset"
    unknown = needs - set(typing.get_args(Capability))
    assert not unknown, f"needs names {unknown}: a model offers {typing.get_args(Capability)}"


def check_documented(subject: Subject) -> None:
    """A docstring with a Parameters section that names every field, and a References section."""
    cls = type(subject.method)
    text = cls.__doc__ or ""
    # A dataclass without a docstring gets its signature for one.
    assert not text.startswith(f"{cls.__name__}("), "no docstring"
    assert text, "no docstring"
    sections = _sections(text)
    for field in fields(cls):  # type: ignore[arg-type]
        named = field.name in sections.get("Parameters", "")
        assert named, f"the Parameters section doesn't say what {field.name} is"
    assert "References" in sections, "no References section: paper and equation"


def _sections(text: str) -> dict[str, str]:
    lines = [line.strip() for line in text.splitlines()]
    heads = [i for i, line in enumerate(lines[1:]) if line and set(line) == {"-"}]
    ends = [*heads[1:], len(lines)][: len(heads)]
    return {lines[i]: "\n".join(lines[i:end]) for i, end in zip(heads, ends, strict=True)}


def check_answers(subject: Subject) -> None:
    """The tiny problem gets an explanation of the right type and shape, all finite."""
    problem = subject.tiny()
    explanation = subject.method.explain(problem, rng=np.random.default_rng(0))
    wrong = subject.probe.wrong(problem, explanation)
    assert wrong is None, wrong


def check_same_seed_same_answer(subject: Subject) -> None:
    """Equal generators give equal answers to the last bit, whatever the global random state."""
    problem = subject.tiny()
    with _global_state_restored():
        found = []
        for seed in (1, 2):
            _seed_globally(seed)
            found.append(leaves(subject.answer(problem)))
    assert found[0] == found[1], "two answers from equal generators differ"


def check_leaves_no_trace(subject: Subject) -> None:
    """Weights, gradients, hooks, flags, inputs and global random state stay as they were."""
    problem = subject.tiny()
    with _global_state_restored():
        _seed_globally(1)
        before = {**leaves(problem), **_global_state()}
        subject.answer(problem)
        after = {**leaves(problem), **_global_state()}
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    assert not changed, f"changed: {', '.join(changed)}"


def check_pickles(subject: Subject) -> None:
    """Method, problem and explanation survive a pickle; the copies answer alike."""
    problem = subject.tiny()
    explanation = subject.answer(problem)
    copies = pickle.loads(pickle.dumps((subject.method, problem, explanation)))
    assert leaves(copies[0]) == leaves(subject.method), "the method's copy has other fields"
    assert leaves(copies[2]) == leaves(explanation), "the explanation's copy differs"
    again = Subject(copies[0], subject.task, subject.device).answer(copies[1])
    assert leaves(again) == leaves(explanation), "the copies of method and problem answer anew"


def check_ends_in_time(subject: Subject) -> None:
    """The tiny problem is answered in CPU seconds of one digit, imports and compilation apart."""
    problem = subject.tiny()
    subject.answer(problem)
    start = time.process_time()
    subject.answer(problem)
    seconds = time.process_time() - start
    assert seconds < SECONDS, f"took {seconds:.1f} CPU seconds, wanted less than {SECONDS:g}"


def check_rows_are_independent(subject: Subject) -> None:
    """Explaining the first instances alone gives the same rows as explaining them all."""
    problem = subject.tiny()
    part = subject.probe.first_rows(problem)
    if part is None:
        raise NotApplicable("an explanation here is one whole")
    alone = subject.values(part)
    _assert_close(alone, subject.values(problem)[: len(alone)])


def check_symmetries(subject: Subject) -> None:
    """Features or training rows in another order: the same answer in that order.

    A method whose answer depends on the generator is compared by the means of `RUNS` answers.
    """
    problem = subject.tiny()
    first, second = subject.values(problem, 0), subject.values(problem, 1)
    sampled = not np.array_equal(first, second)
    for permuted, back in subject.probe.reordered(problem, np.random.default_rng(5)):
        if not sampled:
            _assert_close(back(subject.values(permuted)), first)
            continue
        straight = np.stack([subject.values(problem, seed) for seed in range(RUNS)])
        crossed = np.stack([back(subject.values(permuted, RUNS + seed)) for seed in range(RUNS)])
        variance = (straight.var(axis=0, ddof=1) + crossed.var(axis=0, ddof=1)) / RUNS
        allowed = STANDARD_ERRORS * np.sqrt(variance) + TOLERANCE * np.abs(straight).max()
        beyond = np.abs(straight.mean(axis=0) - crossed.mean(axis=0)) > allowed
        assert not beyond.any(), f"{beyond.sum()} means differ by over {STANDARD_ERRORS} se"


def check_constant_model(subject: Subject) -> None:
    """Where the model says the same of everything, nothing is more influential than the rest."""
    problem = subject.probe.constant(subject.tiny())
    if problem is None:
        raise NotApplicable("no model that is constant here")
    values = subject.values(problem)
    assert np.ptp(values) <= 1e-9, f"values from {values.min():.3g} to {values.max():.3g}"


def check_needs(subject: Subject) -> None:
    """On a model that offers margins alone, a method that declares no more answers.

    One that declares more is kept from it by the planner.
    """
    if subject.method.needs - {"black_box"}:
        raise NotApplicable("the planner keeps it from a plain black box")
    # Models that are no network stay on the CPU, whatever the device.
    problem = subject.probe.black_box(subject.task.tiny())
    if problem is None:
        raise NotApplicable("no model here")
    wrong = subject.probe.wrong(problem, subject.answer(problem))
    assert wrong is None, wrong


def check_known_truth(subject: Subject) -> None:
    """Where the truth is known, the answer comes near it, as the random control doesn't."""
    truth = subject.probe.truth()
    if truth is None:
        raise NotApplicable("no problem with a known truth here")
    problem, agreement, wanted = truth
    found = float(np.mean([agreement(subject.answer(problem, seed)) for seed in range(5)]))
    assert found >= wanted, f"agreement {found:.2f} with the truth, wanted {wanted:g} or more"


CHECKS: tuple[Check, ...] = (
    check_declares,
    check_documented,
    check_answers,
    check_same_seed_same_answer,
    check_leaves_no_trace,
    check_pickles,
    check_ends_in_time,
    check_rows_are_independent,
    check_symmetries,
    check_constant_model,
    check_needs,
    check_known_truth,
)


def check_method(method: Method[Any, Any], task: Task, device: str = "cpu") -> None:
    """Run every check on a method.

    Parameters
    ----------
    device : where the model and the inputs are, where the task's problems can be moved.

    Raises
    ------
    ExceptionGroup
        with what each broken promise raised; a note names the check.
    """
    broken: list[Exception] = []
    for check in CHECKS:
        try:
            check(Subject(method, task, device))
        except NotApplicable:
            continue
        except Exception as error:  # a method may raise anything
            error.add_note(f"{check.__name__}: {check.__doc__}")
            broken.append(error)
    if broken:
        raise ExceptionGroup(f"{type(method).__name__} breaks {len(broken)} promises", broken)


def _assert_close(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape, f"shape {found.shape}, wanted {wanted.shape}"
    scale = np.abs(wanted).max(initial=0.0)
    worst = np.abs(found - wanted).max(initial=0.0)
    assert worst <= TOLERANCE * scale, f"differs by {worst:.3g} where values reach {scale:.3g}"


def leaves(value: Any) -> dict[str, Any]:
    """What a problem, a method or an explanation consists of, by path, comparable by `==`.

    Counters of calls are left out: they are there to change.
    """
    return dict(_leaves("", value))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Calls):
        return
    if isinstance(value, Tensor | np.ndarray):
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        flags = (value.requires_grad, value.grad is None) if isinstance(value, Tensor) else ()
        yield path, (str(array.dtype), array.shape, array.tobytes(), *flags)
    elif isinstance(value, nn.Module):
        yield from _leaves_of_module(path, value)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _leaves(f"{path}.{field.name}", getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(f"{path}[{key!r}]", item)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _leaves(f"{path}[{i}]", item)
    elif isinstance(value, float):
        yield path, repr(value)  # by which NaN is NaN
    else:
        yield path, type(value) if callable(value) else value


def _leaves_of_module(path: str, module: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        yield from _leaves(f"{path}.{name}", tensor)
    for name, part in module.named_modules():
        yield f"{path}.{name}.training", part.training
        kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        yield f"{path}.{name} hooks", [len(getattr(part, kind)) for kind in kinds]


def _global_state() -> dict[str, Any]:
    return {
        "random state of torch": torch.get_rng_state().numpy().tobytes(),
        "random state of numpy": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        # Not that of `random`: beartype draws from it whenever it checks a sequence.
        "whether gradients are taken": torch.is_grad_enabled(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's number of threads": torch.get_num_threads(),
    }


def _seed_globally(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (it is the global state that is tested)
    torch.manual_seed(seed)


@contextlib.contextmanager
def _global_state_restored() -> Iterator[None]:
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])
