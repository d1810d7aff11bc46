"""The scores of an attribution: the ideal influence, and what other boards report."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from bench.scores import faithfulness
from bench.scores import ideal_influence as scoring
from bench.scores.rank_agreement import kendall_taus, spearman
from bench.setfunction.ideal import Ideal
from bench.setfunction.orders import along
from bench.tasks.attribution_problem import Attribution, AttributionProblem
from bench.tasks.attribution_truth import Held
from bench.tasks.base import Metric, Score, Scores

_PAPER = "Hara, Ikeno, Soma, Maehara, Feature Attribution As Feature Selection, 2018"

LABEL_SHUFFLES = 4
"""Random orders of ties for the label-change curves, whose every point asks the model anew."""

SHOWN, SHOWN_NUMBERS = 6, 20_000
"""Instances kept in the record for pictures, and the pixels that they may have together."""

ROUNDING = 1e-9
"""How far beyond a metric's range a value may be by rounding."""

METRICS = (
    Metric(
        "ideal_influence",
        "higher",
        (-1.0, 1.0),
        "",
        "II = J / J*, J(pi) = A(reverse of pi) - A(pi), A the area under F as features are "
        "deleted in the order pi; J* the largest J of all orders: 1 = ideal, 0 = chance",
        "earnest",
    ),
    Metric(
        "exclusion",
        "higher",
        (-math.inf, 1.0),
        "",
        "EX = (A_rand - A(pi)) / (A_rand - A_min): deleting the most influential first",
        f"earnest; exclusive feature selection: {_PAPER}",
    ),
    Metric(
        "inclusion",
        "higher",
        (-math.inf, 1.0),
        "",
        "IN = (A(reverse of pi) - A_rand) / (A_max - A_rand): keeping the most influential",
        f"earnest; inclusive feature selection: {_PAPER}",
    ),
    Metric("regret", "lower", (0.0, math.inf), "units of g", "J* - J(pi)", "earnest"),
    Metric(
        "auec",
        "higher",
        (0.0, 1.0),
        "",
        "area under q -> P(the label changes) as the q most influential are corrupted",
        _PAPER,
    ),
    Metric(
        "aoic",
        "higher",
        (0.0, 1.0),
        "",
        "area over q -> P(the label changes) as all but the q most influential are corrupted",
        _PAPER,
    ),
    Metric(
        "infidelity",
        "lower",
        (0.0, 1.0),
        "share of variance",
        "what no multiple of the values' sum over a random set explains of F's drop",
        "Yeh et al., On the (In)fidelity and Sensitivity of Explanations, 2019, Def. 2.1, scaled",
    ),
    Metric(
        "max_sensitivity",
        "lower",
        (0.0, math.inf),
        "",
        "largest relative change of the values under small noise on the inputs (perturbed > 0)",
        "Yeh et al., 2019, Def. 3.1",
    ),
    Metric(
        "randomisation",
        "lower",
        (-1.0, 1.0),
        "",
        "rank correlation with the values for a model of random weights (randomised=true)",
        "Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018",
    ),
    Metric(
        "completeness_gap",
        "none",
        (0.0, math.inf),
        "",
        "|sum of values - drop| / |drop|, drop = F(nothing) - F(everything deleted)",
        "Sundararajan, Taly, Yan, Axiomatic Attribution for Deep Networks, ICML 2017",
    ),
    Metric(
        "sparseness",
        "none",
        (0.0, 1.0),
        "",
        "Gini index of the absolute values",
        "Chalasani et al., Concise Explanations of Neural Networks, ICML 2020",
    ),
    Metric(
        "shapley_agreement",
        "none",
        (-1.0, 1.0),
        "",
        "Kendall's tau-b with the exact Shapley values",
        "earnest",
    ),
    Metric(
        "reference_mismatch",
        "none",
        (0.0, 1.0),
        "share of instances",
        "instances whose values refer to another baseline than the criterion's reference",
        "earnest",
    ),
    Metric(
        "tie_mass",
        "none",
        (0.0, 1.0),
        "share of pairs",
        "pairs of features with equal values; scores are means over their random orders",
        "earnest",
    ),
    Metric(
        "nestedness_gap",
        "none",
        (0.0, math.inf),
        "units of g",
        "A_min minus the area under the least F of each size: what every order loses",
        "earnest",
    ),
    Metric(
        "conflict_exclusion",
        "none",
        (-math.inf, 1.0),
        "",
        "EX of the order that is best for inclusion: 1 = the two sides agree",
        "earnest",
    ),
    Metric(
        "conflict_inclusion",
        "none",
        (-math.inf, 1.0),
        "",
        "IN of the order that is best for exclusion: 1 = the two sides agree",
        "earnest",
    ),
)


def scores_of(
    problem: AttributionProblem,
    held: Held,
    explanation: Attribution,
    *,
    perturbed: Sequence[Attribution] = (),
    randomised: Attribution | None = None,
) -> Scores:
    """All scores of an explanation.

    Parameters
    ----------
    perturbed : the method's answers to slightly noisy inputs.
    randomised : its answer for a model of random weights.
    """
    values = checked(explanation, problem)
    measured = _measured(problem, held, values)
    others = [checked(other, problem) for other in perturbed]
    random = None if randomised is None else checked(randomised, problem)
    scores = {
        **_criterion(measured, held),
        **_label_change(problem, held, values),
        **_others(problem, held, explanation, values),
        "max_sensitivity": _sensitivity(values, others),
        "randomisation": _randomisation(values, random),
        "tie_mass": Score.mean(scoring.tie_mass(values)),
    }
    means = {m.name: float(_in_range(m.name, np.array(scores[m.name].value))) for m in METRICS}
    return Scores(
        {name: replace(scores[name], value=mean) for name, mean in means.items()},
        _details(problem, held, values, measured),
    )


def _in_range(name: str, values: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Values of a metric, back in its range where rounding carried them out."""
    limits = next(metric.range for metric in METRICS if metric.name == name)
    inside = np.clip(values, *limits)
    rounded: np.ndarray = np.where(np.abs(values - inside) <= ROUNDING, inside, values)
    return rounded


def checked(explanation: Attribution, problem: AttributionProblem) -> Float[np.ndarray, "n p"]:
    """The values; raises `ValueError` for a wrong shape and for numbers that aren't finite."""
    if not isinstance(explanation, Attribution):
        raise ValueError(
            f"the method answered with {type(explanation).__name__}: wanted "
            "Attribution(values), of bench.tasks.attribution"
        )
    values = np.asarray(explanation.values, dtype=float)
    if values.shape != (problem.n, problem.p):
        raise ValueError(
            f"attributions of shape {values.shape}: wanted ({problem.n}, {problem.p}), a row an "
            "instance and a column a feature of the partition"
        )
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"{np.isnan(values).sum()} NaN and {np.isinf(values).sum()} infinite attributions, "
            f"the first at instance {row}, feature {problem.partition.names[column]!r}"
        )
    return values


@dataclass(frozen=True)
class _Measured:
    """F along an explanation's orders (means over the shuffles of ties), and the yardstick.

    `best` and `best_reverse` are F along the ideal's orders and their reverses.
    """

    deletion: Float[np.ndarray, "n levels"]
    reverse: Float[np.ndarray, "n levels"]
    ideal: Ideal
    scale: Float[np.ndarray, " n"]
    best: Float[np.ndarray, "n 3 levels"]
    best_reverse: Float[np.ndarray, "n 3 levels"]

    @property
    def influence(self) -> Float[np.ndarray, " n"]:
        """J."""
        influence: np.ndarray = scoring.area(self.reverse) - scoring.area(self.deletion)
        return influence

    @property
    def conflict(self) -> dict[str, Float[np.ndarray, " n"]]:
        """EX of the order best for inclusion, and IN of the one best for exclusion."""
        ideal, (least, most) = self.ideal, (0, 1)
        deleted, kept = scoring.area(self.best[:, most]), scoring.area(self.best_reverse[:, least])
        chance = ideal.chance_area
        return {
            "conflict_exclusion": scoring.exclusion(deleted, chance, ideal.least, self.scale),
            "conflict_inclusion": scoring.inclusion(kept, chance, ideal.most, self.scale),
        }


def _measured(
    problem: AttributionProblem, held: Held, values: Float[np.ndarray, "n p"]
) -> _Measured:
    tied = scoring.tie_mass(values).any()
    orders = scoring.shuffled_orders(values, held.tie_keys if tied else held.tie_keys[:, :1])
    value = held.lookup(problem)
    deletion, reverse = along(value, orders), along(value, orders[..., ::-1])
    ideal = held.ideal
    if not ideal.exact:
        ideal = ideal.raised(scoring.area(deletion), scoring.area(reverse))
    seen = np.concatenate([deletion, reverse], axis=1) if held.table is None else held.table
    scale = np.abs(seen.reshape(problem.n, -1)).max(axis=1)
    best, best_reverse = along(value, ideal.orders), along(value, ideal.orders[..., ::-1])
    means = deletion.mean(axis=1), reverse.mean(axis=1)
    return _Measured(*means, ideal, scale, best, best_reverse)


def _criterion(measured: _Measured, held: Held) -> dict[str, Score]:
    ideal, scale = measured.ideal, measured.scale
    deleted, kept = scoring.area(measured.deletion), scoring.area(measured.reverse)
    note = _exactness(ideal)
    gap = Score(math.nan, 0, note="needs the table of all sets")
    if held.table is not None:
        gap = Score.mean(scoring.nestedness_gap(held.table, ideal.least), note)
    by_instance = {
        "ideal_influence": scoring.ideal_influence(measured.influence, ideal.joint, scale),
        "exclusion": scoring.exclusion(deleted, ideal.chance_area, ideal.least, scale),
        "inclusion": scoring.inclusion(kept, ideal.chance_area, ideal.most, scale),
        "regret": ideal.joint - measured.influence,
        **measured.conflict,
    }
    return {
        **{name: Score.mean(v, note + _undefined(v)) for name, v in by_instance.items()},
        "nestedness_gap": gap,
    }


def _label_change(
    problem: AttributionProblem, held: Held, values: Float[np.ndarray, "n p"]
) -> dict[str, Score]:
    """AUEC and AOIC, from the share of draws that keep the label along the order."""
    if not problem.model.n_classes:
        nothing = Score(math.nan, 0, note="a regression has no label")
        return {"auec": nothing, "aoic": nothing}
    keys = held.tie_keys[:, : LABEL_SHUFFLES if scoring.tie_mass(values).any() else 1]
    orders = scoring.shuffled_orders(values, keys)
    label = replace(problem, g="label").value
    deletion, reverse = (along(label, o).mean(axis=1) for o in (orders, orders[..., ::-1]))
    return {
        "auec": Score.mean(faithfulness.label_change(deletion)),
        "aoic": Score.mean(1 - faithfulness.label_change(reverse)),
    }


def _others(
    problem: AttributionProblem,
    held: Held,
    explanation: Attribution,
    values: Float[np.ndarray, "n p"],
) -> dict[str, Score]:
    scale = np.abs(held.drops).max(axis=1, initial=0.0)
    agreement = Score(math.nan, 0, note="needs the table of all sets")
    if held.shapley is not None:
        agreement = Score.mean(kendall_taus(values, held.shapley))
    return {
        "infidelity": Score.mean(faithfulness.infidelity(values, held.probes, held.drops)),
        "completeness_gap": Score.mean(faithfulness.completeness_gap(values, held.drop, scale)),
        "sparseness": Score.mean(faithfulness.gini(values)),
        "shapley_agreement": agreement,
        "reference_mismatch": Score.mean(_mismatch(problem, explanation)),
    }


def _mismatch(problem: AttributionProblem, explanation: Attribution) -> Float[np.ndarray, " n"]:
    """1 for each instance where the explanation's own baseline isn't the reference's mean."""
    if explanation.baseline is None:
        return np.zeros(problem.n)
    own = torch.as_tensor(explanation.baseline).detach().to(problem.inputs)
    try:
        own = own.expand_as(problem.inputs)
    except RuntimeError:
        raise ValueError(
            f"a baseline of shape {tuple(own.shape)}: wanted that of the inputs, "
            f"{tuple(problem.inputs.shape)}, or one input's"
        ) from None
    close = torch.isclose(own, problem.baseline, rtol=1e-4, atol=1e-5).flatten(1).all(1)
    mismatch: np.ndarray = (~close).double().numpy()
    return mismatch


def _sensitivity(
    values: Float[np.ndarray, "n p"], others: Sequence[Float[np.ndarray, "n p"]]
) -> Score:
    if not others:
        return Score(math.nan, 0, note="asked with perturbed > 0")
    return Score.mean(faithfulness.change(values, np.stack(others)))


def _randomisation(
    values: Float[np.ndarray, "n p"], random: Float[np.ndarray, "n p"] | None
) -> Score:
    if random is None:
        return Score(math.nan, 0, note="asked with randomised=true, of a network")
    return Score.mean(spearman(values, random))


def _exactness(ideal: Ideal) -> str:
    if ideal.exact:
        return "exact"
    error, found = float(ideal.chance_se.mean()), ideal.certificate
    note = f"against the best order known, not the exact one; chance estimated to {error:.1g}; "
    if isinstance(found, str):
        return f"{note}no certificate: {found}"
    widths = found.width(ideal.joint)
    if not np.isfinite(widths).any():
        return f"{note}nothing to certify, the best J known is 0"
    closed = f"{found.closed.sum()} of {len(found.closed)} closed to {found.eps:g}"
    return f"{note}II certified to {np.nanmean(widths):.2g} on average, {closed}"


def _bracket(
    influence: Float[np.ndarray, " n"], ideal: Ideal
) -> Mapping[str, Sequence[float | bool | int]] | str | None:
    """Between which numbers II lies where it isn't exact, or why that isn't known."""
    found = ideal.certificate
    if ideal.exact:
        return None
    if isinstance(found, str):
        return found
    low, high = found.bracket(influence, ideal.joint)
    return {
        "low": low.tolist(),
        "high": high.tolist(),
        "joint": found.joint.tolist(),
        "least": found.least.tolist(),
        "most": found.most.tolist(),
        "closed": found.closed.tolist(),
        "nodes": found.nodes.tolist(),
    }


def _undefined(values: Float[np.ndarray, " n"]) -> str:
    count = int(np.isnan(values).sum())
    if not count:
        return ""
    return (
        f"; undefined on {count} of {len(values)} instances: no order differs from another by "
        f"more than {scoring.TOLERANCE:g} of the largest |F|"
    )


def _details(
    problem: AttributionProblem,
    held: Held,
    values: Float[np.ndarray, "n p"],
    measured: _Measured,
) -> dict[str, Any]:
    """Scores by instance, the values, and what figures show of some instances."""
    ideal = measured.ideal
    influence = scoring.ideal_influence(measured.influence, ideal.joint, measured.scale)
    return {
        "ideal": "exact" if ideal.exact else "best_known",
        "ideal_influence": _in_range("ideal_influence", influence).tolist(),
        "certificate": _bracket(measured.influence, ideal),
        "best": ideal.joint.tolist(),
        "conflict": {name: _in_range(name, v).tolist() for name, v in measured.conflict.items()},
        "nothing_deleted": measured.deletion[:, 0].tolist(),
        "everything_deleted": measured.deletion[:, -1].tolist(),
        "draw_spread": held.draw_spread.tolist(),
        "values": _short(values),
        "curves": _curves(measured, slice(None)),
        "shown": _shown(problem),
        "instance": {
            "target": int(problem.targets[0]),
            "features": list(problem.partition.names),
            "values": values[0].tolist(),
            "membership": problem.partition.only(0).membership.tolist(),
            "pixels" if problem.inputs.ndim == 4 else "input": problem.inputs[0].tolist(),
            **_curves(measured, slice(0, 1)),
        },
    }


def _curves(measured: _Measured, rows: slice) -> Mapping[str, Mapping[str, list[float]]]:
    """Means over these instances against the share of features deleted, or kept: 0, 1/p, .., 1."""
    joint, chance = 2, measured.ideal.chance[rows].mean(axis=0)
    deletion = {
        "method": measured.deletion[rows],
        "ideal": measured.best[rows, joint],
    }
    inclusion = {
        "method": measured.reverse[rows, ::-1],
        "ideal": measured.best_reverse[rows, joint, ::-1],
    }
    return {
        "deletion": {**_means(deletion), "chance": chance.tolist()},
        "inclusion": {**_means(inclusion), "chance": chance[::-1].tolist()},
    }


def _means(curves: Mapping[str, Float[np.ndarray, "n levels"]]) -> dict[str, list[float]]:
    return {name: curve.mean(axis=0).tolist() for name, curve in curves.items()}


def _shown(problem: AttributionProblem) -> list[dict[str, Any]]:
    """The first instances as images of whole numbers 0 to 255; nothing where there are none."""
    if problem.inputs.ndim != 4:
        return []
    count = min(SHOWN, max(1, SHOWN_NUMBERS // problem.inputs[0].numel()))
    some = problem.inputs[:count]
    low, high = some.min(), some.max()
    grey = ((some - low) / (high - low).clamp(min=1e-12) * 255).round().int()
    return [
        {
            "target": int(problem.targets[row]),
            "pixels": pixels.tolist(),
            "membership": problem.partition.only(row).membership[0].tolist(),
        }
        for row, pixels in enumerate(grey)
    ]


def _short(values: Float[np.ndarray, "n p"]) -> list[list[float]]:
    """Six significant digits, which leave the order of all but near ties."""
    return [[float(f"{value:.6g}") for value in row] for row in values]
