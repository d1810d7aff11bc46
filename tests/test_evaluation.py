"""earnest in a notebook: objects in, a DataFrame out, no files."""

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn

import bench
from bench.components import ConfigError
from bench.data import Column, Table
from bench.isolation import Limits
from bench.models.given import BlackBox
from bench.models.network import Network
from bench.tasks.attribution import Attribution

SETTING = {"instances": 3, "reference": "zero"}


def linear_table() -> Table:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 4))
    targets = (values[:, 0] > 0).astype(np.int64)
    columns = tuple(Column(name) for name in "abcd")
    return Table("made", values, columns, targets, ("no", "yes"), "MIT", "made here")


@dataclass(frozen=True)
class ByWeight:
    """A user's own method: the first column matters most."""

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset({"black_box"})

    def explain(self, problem: Any, *, rng: np.random.Generator) -> Attribution:
        masks = np.eye(problem.p, dtype=bool)
        kept = problem.value(np.zeros((1, problem.p), dtype=bool))
        return Attribution(kept - problem.value(masks))


@dataclass(frozen=True)
class Broken:
    """Raises, or never ends."""

    sleeps: bool = False
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()

    def explain(self, problem: Any, *, rng: np.random.Generator) -> Attribution:
        if self.sleeps:
            time.sleep(600)
        raise RuntimeError("not today")


def test_own_method_data_and_module():
    """An additive model on the logit: occlusion by hand reaches the ideal (T1)."""
    module = nn.Linear(4, 2)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[0.0] * 4, [4.0, 1.0, 0.5, 0.1]]))
    found = bench.evaluate(
        [ByWeight(), "random"],
        linear_table(),
        Network(module.eval(), 2),
        setting={**SETTING, "g": "margin"},
    )
    values = found[found.metric == "ideal_influence"].set_index("method").value
    assert values["ByWeight"] == pytest.approx(1.0)
    assert values["random"] < 1
    assert (found.status == "ok").all()
    assert (found[found.method == "ByWeight"]["values"] > 0).all()


def test_a_plain_callable_is_a_model():
    """Probabilities of any function can be explained; gradients of it can't, with a reason."""

    def probabilities(inputs: torch.Tensor) -> np.ndarray:
        share = 1 / (1 + np.exp(-inputs[:, 0].numpy()))
        return np.stack([1 - share, share], axis=1)

    model = BlackBox(probabilities, 2, "probabilities")
    found = bench.evaluate(["occlusion", "gradient"], linear_table(), model, setting=SETTING)
    by_method = found[found.metric == "ideal_influence"].set_index("method")
    assert by_method.value["occlusion"] == pytest.approx(1.0)
    assert by_method.status["gradient"] == "unsupported"
    assert "differentiable" in by_method.reason["gradient"]


def test_a_callable_of_the_wrong_shape_is_named():
    """The shape met and the shape wanted stand in the message."""
    with pytest.raises(ValueError, match=r"\(5, 1\) numbers, wanted \(5, 2\)"):
        BlackBox(lambda x: x[:, :1], 2).margins(torch.zeros(5, 3))


@pytest.mark.parametrize("partition", ["natural", "columns"])
def test_a_network_in_train_mode_is_refused(partition: str):
    """Its dropout would answer the same row differently, its statistics would move."""
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
    with pytest.raises(ValueError, match="train mode"):
        bench.evaluate(
            "occlusion", linear_table(), Network(module, 2), setting={"partition": partition}
        )


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Network(nn.Linear(7, 2).eval(), 2), r"doesn't answer inputs of shape \(2, 4\).* 7x2"),
        (Network(nn.Linear(4, 3).eval(), 2), "the network gives 3 outputs: n_classes=2 wants 2"),
        (BlackBox(lambda x: x.missing, 2), "doesn't answer inputs .* no attribute 'missing'"),
    ],
)
def test_a_model_that_does_not_fit_the_data_is_told_so(model: Any, words: str):
    """Before anything else is done: the inputs as they are encoded, and what the model says."""
    with pytest.raises(ValueError, match=words):
        bench.evaluate("occlusion", linear_table(), model)


def test_names_and_seeds_repeat():
    """The same names and seeds give the same numbers."""
    frames = [
        bench.evaluate("random", "wine", "logistic", setting=SETTING, seeds=2) for _ in range(2)
    ]
    assert frames[0].value.equals(frames[1].value)
    assert sorted(frames[0].seed.unique()) == [0, 1]


def test_what_fails_is_a_row():
    """A method that raises has a status and a reason; the others have scores."""
    found = bench.evaluate([Broken(), "random"], "wine", "logistic", setting=SETTING)
    statuses = found.groupby("method").status.first()
    assert statuses["Broken"] == "failed"
    assert statuses["random"] == "ok"
    assert "not today" in found[found.method == "Broken"].reason.iloc[0]


@dataclass(frozen=True)
class Odd:
    """Answers with numbers of the wrong shape, or that are none."""

    shape: tuple[int, int]
    number: float
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()

    def explain(self, problem: Any, *, rng: np.random.Generator) -> Attribution:
        return Attribution(np.full(self.shape, self.number))


@pytest.mark.parametrize(
    ("odd", "words"),
    [(Odd((2, 2), 1.0), r"wanted \(3, 13\)"), (Odd((3, 13), np.nan), "39 NaN")],
)
def test_an_answer_that_cannot_be_scored_is_a_row(odd: Odd, words: str):
    """With the reason; the other methods of the same call have scores."""
    found = bench.evaluate((odd, "random"), "wine", "logistic", setting=SETTING)
    statuses = found.groupby("method").status.first()
    assert dict(statuses) == {"Odd": "failed", "random": "ok"}
    assert found[found.method == "Odd"].reason.str.contains(words).all()


@dataclass(frozen=True)
class Vandal:
    """Answers, and leaves nothing as it was."""

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()

    def explain(self, problem: Any, *, rng: np.random.Generator) -> Attribution:
        module = problem.model.module
        for tensor in (problem.inputs, problem.reference.draws, problem.targets):
            tensor.zero_()
        for parameter in module.parameters():
            parameter.data.add_(1.0)
            parameter.requires_grad_(False)
        module.register_forward_hook(lambda _module, _inputs, output: -output)
        module.double().train()
        module.add_module("more", nn.ReLU())
        return Attribution(np.zeros((problem.n, problem.p)))


@pytest.mark.parametrize("given", [False, True])
def test_what_a_method_changes_never_reaches_another(given: bool, caplog: Any):
    """Beside one that writes into everything it is handed, the others score as they do alone."""
    model: Any = Network(nn.Sequential(nn.Linear(4, 2)).eval(), 2) if given else "logistic"
    names = ["occlusion", "integrated_gradients"]
    alone, beside = (
        bench.evaluate(methods, linear_table(), model, setting=SETTING)
        for methods in (names, [Vandal(), *names])
    )
    beside = beside[beside.method != "Vandal"].reset_index(drop=True)
    assert beside.value.equals(alone.value)
    assert "Vandal changed the weights of the model" in caplog.text
    assert caplog.text.count("put back") == 1
    if given:
        assert [type(part) for part in model.module] == [nn.Linear]
        assert all(p.requires_grad and p.grad is None for p in model.module.parameters())
        assert not model.module.training
        assert not model.module._forward_hooks


def test_isolated_a_method_may_never_end():
    """In a process of its own it is stopped at its limit."""
    found = bench.evaluate(
        Broken(sleeps=True),
        "wine",
        "logistic",
        setting=SETTING,
        isolate=True,
        limits=Limits(seconds=1),
    )
    assert (found.status == "timeout").all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": "limme"}, "did you mean lime"),
        ({"data": "wines"}, "did you mean wine"),
        ({"model": "mpl"}, "did you mean mlp"),
        ({"setting": {"referense": "zero"}}, "did you mean reference"),
        ({"setting": {"reference": "zeros"}}, "did you mean 'zero'. wanted one like 'zero'"),
        ({"task": "atribution"}, "did you mean attribution"),
    ],
)
def test_mistakes_are_refused(changes: dict[str, Any], words: str):
    """Every name and field is checked before anything is trained."""
    given = {"methods": "random", "data": "wine", "model": "logistic", **changes}
    with pytest.raises(ConfigError, match=words):
        bench.evaluate(given.pop("methods"), given.pop("data"), given.pop("model"), **given)


class Estimator:
    """As scikit-learn's are."""

    def fit(self, inputs: Any, targets: Any) -> "Estimator":
        return self

    def predict_proba(self, inputs: Any) -> Any:
        return inputs


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": nn.Linear(13, 3)}, r"type Linear: give Network\(module.eval\(\), n_classes\)"),
        ({"model": lambda inputs: inputs}, r"type function: give BlackBox\(function, n_classes\)"),
        ({"model": Estimator()}, r"type Estimator: give BlackBox\(lambda .*\.predict_proba\("),
        ({"model": 3}, "type int: wanted a name, a recipe"),
        ({"data": np.zeros((3, 2))}, "data of type ndarray: wanted the name"),
        ({"methods": Broken}, "method Broken: wanted a name, or an object with `explain`"),
        ({"methods": 3}, "method int: wanted a name"),
    ],
)
def test_what_is_no_model_data_or_method_is_told_what_is(
    changes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
):
    """The type met, and the way to what is wanted."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside the tests
    given = {"methods": "random", "data": "wine", "model": "logistic", **changes}
    with pytest.raises(TypeError, match=words):
        bench.evaluate(given.pop("methods"), given.pop("data"), given.pop("model"))


def test_a_task_without_a_case_says_why():
    """Cleansing scores accuracy: a regression has none."""
    with pytest.raises(ValueError, match="classes"):
        bench.evaluate("random", "diabetes", "mlp", task="cleansing")
