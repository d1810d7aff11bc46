"""How often each candidate is caught, and what it costs not to be."""

import math

import numpy as np
from jaxtyping import Float

from bench.tasks.base import Score
from bench.tasks.fairwashing_detection import Watch
from bench.tasks.fairwashing_looks import Looks, number, washability
from bench.tasks.fairwashing_metrics import TOLERATED


def caught_by(watches: dict[str, list[Watch]], k: int) -> Float[np.ndarray, " k"]:
    """How often each candidate is caught, by the detector that does so most often; NaN: by none,
    as there is none."""
    if not watches:
        return np.full(k, math.nan)
    rates = np.array([[one.power.rate for one in each] for each in watches.values()])
    return np.asarray(rates.max(axis=0))


def detected(watches: dict[str, list[Watch]], place: int) -> dict[str, Score]:
    """Power, by the best detector and by each, and AUROC of the candidate at this place."""
    values = {"power": Score(float(caught_by(watches, place + 1)[place]))} if watches else {}
    for name, each in watches.items():
        found, n = each[place], len(each[place].rejected)
        rate = found.power.rate
        spread = math.sqrt(rate * (1 - rate) / n)
        values[f"power_{name}"] = Score(rate, n, spread)
        values[f"auroc_{name}"] = Score(found.auroc, n)
    return values


def evasion_cost(found: Looks, caught: Float[np.ndarray, " k"]) -> Score:
    """What is lost where only those may be published that are seldom caught."""
    if np.isnan(caught).any():
        return Score(math.nan, 0, note="no detector")
    safe = caught <= TOLERATED
    careful = Looks(found.fidelity[safe], found.unfairness[safe], found.own)
    lost = washability(found.least, found.own) - washability(careful.least, found.own)
    note = f"{safe.sum()} of {len(safe)} candidates are safe"
    return Score(max(lost, 0.0) if not math.isnan(lost) else lost, note=note)


def power_told(watch: Watch) -> dict[str, float | None]:
    caught, level = watch.power, watch.level if len(watch.accused) else None
    return {
        "power": caught.rate,
        "low": caught.low,
        "high": caught.high,
        "level": None if level is None else level.rate,
        "auroc": number(watch.auroc),
        "washed": float(watch.washed.mean()),
        "honest": float(watch.honest.mean()),
    }
