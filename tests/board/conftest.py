"""A suite of made-up records that look like real ones, and records at will."""

import base64
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.record import Record, key_of, write

METRICS = {
    "attribution": {
        "ideal_influence": ("higher", [-1.0, 1.0]),
        "regret": ("lower", [0.0, None]),
        "tie_mass": ("none", [0.0, 1.0]),
    },
    "cleansing": {"cleansing_gain": ("higher", [-1.0, 1.0]), "kendall_tau": ("higher", [-1, 1])},
    "companion": {"autac_completed": ("higher", [0.0, 1.0]), "length": ("lower", [0.0, None])},
}
LEVELS = {
    "attribution": {
        "exact_optimum": 1.0,
        "kernel_shap_polished": 0.99,
        "greedy_joint": 0.985,
        "kernel_shap": 0.95,
        "integrated_gradients": 0.93,
        "lime": 0.92,
        "occlusion": 0.8,
        "gradient_input": 0.5,
        "gradient_magnitude": 0.45,
        "gradient": -0.05,
        "random": 0.0,
    },
    "cleansing": {
        "leave_one_out": 0.009,
        "sgd_influence": 0.007,
        "koh_liang": 0.006,
        "own_loss": 0.0,
        "random": -0.001,
    },
    "companion": {"annealing": 0.86, "cart_leaves": 0.855, "greedy": 0.84, "random": 0.78},
}
PROBLEMS = {
    "attribution": (("digits", "cnn"), ("breast_cancer", "mlp"), ("wine", "mlp")),
    "cleansing": (("breast_cancer", "mlp_small"), ("digits", "mlp_small")),
    "companion": (("breast_cancer", "random_forest"),),
}
SETTINGS = {
    "attribution": ({"reference": "mean"}, {"reference": "zero"}),
    "cleansing": ({"flip": 0.0}, {"flip": 0.1}),
    "companion": ({"objective": "autac_completed"},),
}


def made(task: str = "attribution", method: str = "lime", seed: int = 0, **fields: Any) -> Record:
    """A record; its metrics are those of `METRICS`, `value` that of the headline."""
    settings = fields.pop("settings", {"reference": "mean"})
    dataset, model = fields.pop("dataset", "digits"), fields.pop("model", "cnn")
    value, status = fields.pop("value", None), fields.get("status", "ok")
    known = METRICS.get(task, {"score": ("higher", [None, None])})
    metrics = {
        name: {
            "direction": direction,
            "range": limits,
            "unit": "",
            "definition": f"what {name} means",
            "source": "earnest",
        }
        for name, (direction, limits) in known.items()
    }
    scores = {name: {"value": None, "n": 20, "se": 0.01, "note": ""} for name in known}
    scores[next(iter(known))]["value"] = value
    choices = {
        "task": task,
        "setting": settings,
        "dataset": dataset,
        "model": model,
        "method": method,
        "seed": seed,
    }
    config = fields.pop("config", choices)
    record = Record(
        key=key_of(config),
        suite="made",
        task=task,
        setting=" ".join(f"{k}={v}" for k, v in settings.items()),
        settings=settings,
        dataset=dataset,
        model=model,
        method=method,
        seed=seed,
        status=status,
        metrics=metrics,
        scores=scores if status == "ok" else {},
        seconds={"load": 0.01, "train": 1.0, "case": 0.2, "explain": 0.02, "score": 0.1},
        calls={"forward": 100, "backward": 0, "values": 100},
        started=f"2026-01-01T00:00:{seed:02}",
        hardware="a machine",
        config=config,
        choices=choices,
    )
    return replace(record, **fields)


@pytest.fixture(scope="session")
def attribution_details() -> Callable[..., dict[str, Any]]:
    return _attribution_details


@pytest.fixture(scope="session")
def make() -> Callable[..., Record]:
    return made


@pytest.fixture(scope="session")
def records() -> list[Record]:
    return list(suite_records())


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory, records: list[Record]) -> Path:
    """A folder with the made-up suite."""
    folder = tmp_path_factory.mktemp("results") / "made"
    for record in records:
        write(record, folder)
    return folder


def suite_records(seeds: int = 4) -> Iterator[Record]:
    for task, levels in LEVELS.items():
        for settings in SETTINGS[task]:
            for dataset, model in PROBLEMS[task]:
                for seed in range(seeds):
                    rng = np.random.default_rng([seed, len(dataset)])
                    for method, level in levels.items():
                        cell = {
                            "task": task,
                            "method": method,
                            "seed": seed,
                            "settings": settings,
                            "dataset": dataset,
                            "model": model,
                        }
                        yield _suite_record(cell, level, rng)


def _suite_record(cell: dict[str, Any], level: float, rng: np.random.Generator) -> Record:
    if cell["method"] == "lime" and cell["dataset"] == "wine" and cell["seed"] == 1:
        return made(
            **cell,
            status="failed",
            stage="explain",
            error_type="ValueError",
            reason="array must not contain infs",
            traceback='Traceback (most recent call last):\n  File "lime.py", line 3\nValueError',
        )
    if cell["method"] == "exact_optimum" and cell["dataset"] == "breast_cancer":
        return made(**cell, status="unsupported", stage="explain", reason="too many features")
    spread = {"attribution": 0.04 * (1.02 - abs(level)), "cleansing": 0.004, "companion": 0.012}
    shared = np.random.default_rng(cell["seed"]).normal()
    noise = spread[cell["task"]] * (0.6 * shared + 0.8 * rng.normal())
    record = made(
        **cell,
        value=float(np.clip(level + noise, -1, 1)),
        details=DETAILS[cell["task"]](level, rng),
    )
    second = list(record.scores)[1]
    record.scores[second]["value"] = float(abs(1 - level) + 0.02 * rng.random())
    record.seconds["explain"] = float(10 ** rng.uniform(-3, 0.5))
    return replace(record, cpu_seconds=record.seconds["explain"])


def _attribution_details(level: float, rng: np.random.Generator) -> dict[str, Any]:
    steps = np.linspace(0, 1, 17)
    y, x = np.mgrid[-1:1:8j, -1:1:8j]
    ring = np.exp(-(((np.hypot(x, y) - 0.6) / 0.25) ** 2))
    block = (np.arange(8)[:, None] // 2) * 4 + np.arange(8)[None] // 2
    truth = np.array([ring[block == b].mean() for b in range(16)]) - 0.3
    lines = {"ideal": 8.0, "chance": 1.5}
    curves = {name: np.exp(-k * steps) for name, k in {**lines, "method": 1.5 + 6 * level}.items()}
    return {
        "ideal_influence": [level] * 3,
        "values": (level * truth + (1 - level) * 0.3 * rng.normal(size=(3, 16))).tolist(),
        "curves": {
            "deletion": {name: curve.tolist() for name, curve in curves.items()},
            "inclusion": {name: (1 - curve).tolist() for name, curve in curves.items()},
        },
        "shown": [{"target": t, "pixels": [(255 * ring).astype(int).tolist()]} for t in range(3)],
        "instance": {"membership": block.tolist()},
    }


def _cleansing_details(level: float, rng: np.random.Generator) -> dict[str, Any]:
    removed = np.array([0, 2, 4, 7, 17, 34, 68])
    rise = level * np.sin(removed / 34) + 0.002 * rng.normal(size=7) * (removed > 0)
    picture = packed(rng.integers(0, 256, (1, 8, 8)))
    return {
        "removed": removed.tolist(),
        "n_train": 341,
        "accuracy": (0.94 + rise).tolist(),
        "accuracy_last": (0.94 + 0.5 * rise).tolist(),
        "accuracy_random": (0.94 - 0.0001 * removed).tolist(),
        "check": {"rows": 15, "correlation": 0.95, "relative_error": 0.3},
        "error_split": {
            "SGD-influence": {"read_out": 0.05, "cross_epoch": -0.02, "step": 0.2},
            "no Hessian": {"read_out": 0.05, "cross_epoch": 0.1, "step": 0.2, "curvature": 0.4},
        },
        "exhibits": [
            {"row": row, "kind": kind, "value": 0.1, "label": "4", "truly": "9", "picture": picture}
            for row, kind in enumerate(("harmful", "helpful"))
        ],
    }


def packed(pixels: np.ndarray) -> dict[str, Any]:
    """A picture as a record holds it."""
    squeezed = base64.b64encode(zlib.compress(pixels.astype(np.uint8).tobytes()))
    return {"shape": list(pixels.shape), "zlib": squeezed.decode()}


def _companion_details(level: float, rng: np.random.Generator) -> dict[str, Any]:
    transparency = np.sort(np.r_[0, rng.random(5), 1])
    accuracy = 0.95 - (0.95 - level) * 2 * transparency**2 + 0.003 * rng.normal(size=7)
    return {
        "transparency": transparency.tolist(),
        "accuracy": accuracy.tolist(),
        "black_box_accuracy": 0.95,
    }


DETAILS = {
    "attribution": _attribution_details,
    "cleansing": _cleansing_details,
    "companion": _companion_details,
}
