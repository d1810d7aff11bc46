"""Records of fairwashing as the task writes them, for the tests of their pictures."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.record import Record

Make = Callable[..., Record]

OF_MODELS, OF_SAMPLES = ("fraud_detect", "error_gap"), ("ks_by_feature", "mmd")
SETTING = {"scope": "global", "measure": "demographic_parity", "rate": None, "audit_size": 200}
METRICS = (
    "washability",
    *(f"{kind}_{name}" for name in OF_SAMPLES + OF_MODELS for kind in ("power", "auroc")),
)
METRIC = {"range": [0, 1], "unit": "", "definition": "", "source": "earnest"}
GROUPS = ["African-American", "Caucasian"]
CANDIDATES = [
    {"fidelity": 0.95, "unfairness": 0.18},
    {"fidelity": 0.9, "unfairness": 0.02},
    {"fidelity": 0.7, "unfairness": 0.1},
]
MODEL: dict[str, Any] = {
    "black_box": {
        "unfairness": 0.2,
        "test_unfairness": 0.22,
        "rates": {"African-American": 0.4, "Caucasian": 0.6},
    },
    "candidates": CANDIDATES,
    "published": {
        "text": ["if priors > 3 then new charge", "else no new charge"],
        "fidelity": 0.9,
        "unfairness": 0.02,
        "test_fidelity": 0.88,
        "test_unfairness": 0.041,
        "rates": {"African-American": 0.51, "Caucasian": 0.53},
    },
    "honest": {
        "text": ["if age <= 22 then new charge", "if priors > 1 then new charge", "else no"],
        "fidelity": 0.95,
        "unfairness": 0.21,
        "test_fidelity": 0.94,
        "test_unfairness": 0.19,
        "rates": {"African-American": 0.41, "Caucasian": 0.62},
    },
}


def fairwash(
    make: Make,
    method: str,
    kind: str,
    seed: int = 0,
    settings: dict[str, Any] | None = None,
    scores: dict[str, float] | None = None,
    dataset: str = "compas",
    **details: Any,
) -> Record:
    """A record; `scores` are by name, each of 100 audits."""
    fields = {**SETTING, **(settings or {})}
    made = make("fairwashing", method, seed, settings=fields, dataset=dataset, model="forest")
    given = {"washability": 0.5, **(scores or {})}
    directions = {"washability": "higher"}
    return replace(
        made,
        scores={n: {"value": given.get(n), "n": 100, "se": None, "note": ""} for n in METRICS},
        metrics={n: {**METRIC, "direction": directions.get(n, "lower")} for n in METRICS},
        details={"kind": kind, "measure": fields["measure"], "groups": GROUPS, **details},
    )


def a_model(make: Make, method: str = "laundry_ml", seed: int = 0, **changed: Any) -> Record:
    """Of which a model was published, with `MODEL` as details."""
    names = ("settings", "scores", "dataset")
    fields = {name: changed.pop(name) for name in names if name in changed}
    return fairwash(make, method, "model", seed, **fields, **{**MODEL, **changed})


def watched(detectors: tuple[str, ...], *power: float) -> dict[str, float]:
    """Scores of detectors, whose AUROC lies half way from .5 to 1 where the power does."""
    pairs = dict(zip(detectors, power, strict=True))
    aurocs = {f"auroc_{name}": 0.5 + value / 2 for name, value in pairs.items()}
    return {**{f"power_{name}": value for name, value in pairs.items()}, **aurocs}
