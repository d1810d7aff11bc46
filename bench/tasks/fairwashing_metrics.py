"""The scores of a fairwash, and how to read them."""

import math
from collections.abc import Sequence

from bench.tasks.base import Metric
from bench.tasks.fairwashing_looks import FLOORS, SLIP
from bench.tasks.fairwashing_problem import Detector

TOLERATED = 0.10
"""Of audits that may end badly for an informed attacker: twice the level."""
_RISK = "Aivodji, Arai, Fortineau, Gambs, Hara, Tapp, Fairwashing, ICML 2019"
_CHARACTERIZING = "Aivodji, Arai, Gambs, Hara, Characterizing the risk of fairwashing, NeurIPS 2021"
_STEALTHY = "Fukuchi, Hara, Maehara, Faking Fairness, AAAI 2020"

METRICS = (
    Metric(
        "washability",
        "higher",
        (0.0, 1.0),
        "",
        "share of the black box's unfairness that is washed away: 1 - the least unfairness of a "
        f"candidate at each floor of fidelity from {FLOORS[0]:.2f} to {FLOORS[-1]:.2f}, over that "
        "of the black box, mean over floors; of a sample, whose decisions are the true ones, 1 - "
        "what is left of it",
        f"{_CHARACTERIZING}; the area: earnest",
    ),
    Metric(
        "unfairness",
        "lower",
        (0.0, 1.0),
        "",
        "of what is published, by the setting's measure, on the suing group; of samples the mean. "
        "Published is the fairest candidate whose fidelity is that of the most faithful list less "
        f"{SLIP:g} at least, else the truest",
        _RISK,
    ),
    Metric("fidelity", "higher", (0.0, 1.0), "", "share of decisions that it gives", _RISK),
    Metric(
        "fidelity_at_half",
        "higher",
        (0.0, 1.0),
        "",
        "the largest fidelity of a candidate at most half as unfair as the black box, or of the "
        "same answer to all",
        _CHARACTERIZING,
    ),
    Metric(
        "test_washability",
        "higher",
        (-math.inf, 1.0),
        "",
        "washability of the same candidates among people whom the attacker hasn't seen",
        _CHARACTERIZING,
    ),
    Metric("test_unfairness", "lower", (0.0, 1.0), "", "unfairness among these", _CHARACTERIZING),
    Metric("test_fidelity", "higher", (0.0, 1.0), "", "fidelity among these", _CHARACTERIZING),
    Metric(
        "transfer_fidelity",
        "none",
        (0.0, 1.0),
        "",
        "fidelity among these to other black boxes, mean: large where what is published would "
        "serve to explain them as well",
        _CHARACTERIZING,
    ),
    Metric(
        "transfer_unfairness",
        "none",
        (0.0, 1.0),
        "",
        "unfairness among these where other black boxes' decisions count as the right ones, mean",
        _CHARACTERIZING,
    ),
    Metric("size", "none", (0.0, math.inf), "rules", "of what is published", _RISK),
    Metric("candidates", "none", (0.0, math.inf), "", "from which it was chosen", "earnest"),
    Metric(
        "gap",
        "lower",
        (0.0, math.inf),
        "",
        "how much better the best candidate's objective may be, the largest over candidates; of a "
        "sample, by what part of its cost a nearer one may be cheaper",
        "earnest",
    ),
    Metric(
        "cost",
        "none",
        (0.0, math.inf),
        "squared standard deviations",
        "what the method made small: of a sample the distance of its weights from uniform ones",
        _STEALTHY,
    ),
    Metric(
        "distance",
        "none",
        (0.0, math.inf),
        "squared standard deviations",
        "the least cost of moving a sample onto as many people whom the auditor knows, mean",
        _STEALTHY,
    ),
    Metric(
        "power",
        "lower",
        (0.0, 1.0),
        "",
        "share of audits in which the detector that catches it most often does so, at 5 %",
        "earnest",
    ),
    Metric(
        "evasion_cost",
        "lower",
        (0.0, 1.0),
        "",
        "washability lost to an informed attacker, who publishes no candidate that some detector "
        f"catches in more than {TOLERATED:.0%} of audits",
        "earnest",
    ),
)


def metrics_of(detectors: Sequence[Detector]) -> tuple[Metric, ...]:
    """All metrics, two for each detector among them."""
    watched = [
        metric
        for detector in detectors
        for metric in (
            Metric(
                f"power_{detector.name}",
                "lower",
                (0.0, 1.0),
                "",
                f"share of audits in which {detector.name} rejects what is published, at 5 %",
                "earnest",
            ),
            Metric(
                f"auroc_{detector.name}",
                "lower",
                (0.0, 1.0),
                "",
                f"share of pairs of a washed and an honest publication in which {detector.name} "
                "finds the washed one more suspicious; of models about the same people",
                "earnest",
            ),
        )
    ]
    return (*METRICS, *watched)
