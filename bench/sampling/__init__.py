"""Samples that look fair and like their population: bins, closest weights, exact draws."""

from bench.sampling.bins import Bins, located
from bench.sampling.design import Design, PerBin, Simple, Weighted
from bench.sampling.draw import case_control, honest, pivotal, successive, systematic
from bench.sampling.plan import Plan
from bench.sampling.transport import closest_weights

__all__ = [
    "Bins",
    "Design",
    "PerBin",
    "Plan",
    "Simple",
    "Weighted",
    "case_control",
    "closest_weights",
    "honest",
    "located",
    "pivotal",
    "successive",
    "systematic",
]
