"""Is a published sample, or surrogate, honest? Tests with a p-value, and how often they say no.

Null hypothesis of the tests: sample and reference are independent draws from one distribution.
The reference must not contain the rows from which the sample was drawn: an auditor's own data.
p-values of permutation tests are exact at any size: P(p <= level) <= level.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Shaped

Inputs = Float[np.ndarray, "_ _"]
Correction = Literal["bonferroni", "holm"]


@dataclass(frozen=True)
class Detection:
    """What a test says of a sample.

    Attributes
    ----------
    statistic : larger is more suspicious.
    p_value : in (0, 1]; of the hypothesis as a whole. NaN: the statistic is no test by itself,
        and is compared with those of honest samples or models by `monte_carlo_p`.
    parts : p-values of its parts (features, groups), corrected for their number; only itself
        where it has none.
    """

    statistic: float
    p_value: float
    parts: tuple[float, ...]

    def rejects(self, level: float = 0.05) -> bool:
        """Whether the sample is called dishonest."""
        return self.p_value <= level


@dataclass(frozen=True)
class Power:
    """How often samples were detected.

    Attributes
    ----------
    rate : of rejections, in [0, 1]; low, high : the interval; n : samples.
    """

    rate: float
    low: float
    high: float
    n: int


def power(
    rejections: Sequence[bool] | np.ndarray,
    *,
    confidence: float = 0.95,
    method: Literal["wilson", "exact"] = "wilson",
) -> Power:
    """Rate of rejections over independent samples with its binomial interval.

    Parameters
    ----------
    method : Wilson's interval, or that of Clopper and Pearson (`exact`), which never covers too
        seldom.
    """
    from scipy.stats import binomtest  # a second to import, which planning shouldn't pay

    n, rejected = len(rejections), int(np.sum(rejections))
    if not n:
        raise ValueError("power of no samples: wanted one at least")
    interval = binomtest(rejected, n).proportion_ci(confidence, method)
    return Power(rejected / n, float(interval.low), float(interval.high), n)


def monte_carlo_p(statistic: float, null: Float[np.ndarray, " draws"]) -> float:
    """(1 + how many of the null's statistics are as large) / (1 + draws).

    The null's are of permutations, or of honest samples or surrogates: so any score becomes a
    test with a level.

    References
    ----------
    Phipson, Smyth, *Permutation P-values Should Never Be Zero*, 2010.
    """
    return float(monte_carlo_p_values(np.array([statistic]), null)[0])


def monte_carlo_p_values(
    statistics: Float[np.ndarray, " k"], null: Float[np.ndarray, "*k draws"]
) -> Float[np.ndarray, " k"]:
    """`monte_carlo_p` of many statistics, against the same null or one each."""
    least = statistics - 1e-12 * np.abs(statistics)  # sums in another order are the same
    found: np.ndarray = (1 + (null >= least[:, None]).sum(axis=1)) / (1 + null.shape[-1])
    return found


def corrected(
    p_values: Float[np.ndarray, " parts"], correction: Correction = "holm"
) -> Float[np.ndarray, " parts"]:
    """p-values that may each be compared with the level: one false rejection or more among true
    hypotheses has at most its probability.

    The least one is the same for both corrections, and so is the test of the whole.
    """
    n = len(p_values)
    if correction == "bonferroni":
        return np.asarray(np.minimum(n * p_values, 1.0))
    order = np.argsort(p_values, kind="stable")
    steps = np.maximum.accumulate(p_values[order] * (n - np.arange(n)))
    holm = np.empty(n)
    holm[order] = np.minimum(steps, 1.0)
    return holm


def ks_by_feature(
    sample: Inputs, reference: Inputs, *, correction: Correction = "holm"
) -> Detection:
    """Two-sample Kolmogorov-Smirnov test of each feature.

    Ties make it conservative: categories are compared better by `classifier_test`. Where only
    the test of the whole is wanted, `largest_ks` is faster.

    Parameters
    ----------
    sample, reference : rows of the same features; [x, s, y] to test the joint margins.
    """
    _check(sample, reference)
    return _ks([*sample.T], [*reference.T], correction)


def ks_on_scores(
    sample: Float[np.ndarray, " k"],
    reference: Float[np.ndarray, " m"],
    sample_groups: Shaped[np.ndarray, " k"] | None = None,
    reference_groups: Shaped[np.ndarray, " m"] | None = None,
    *,
    correction: Correction = "holm",
) -> Detection:
    """The same test of one number a row, such as the model's score; given s, if groups are given.

    Raises
    ------
    ValueError
        where a group is missing in the sample or the reference.
    """
    if sample_groups is None or reference_groups is None:
        return _ks([sample], [reference], correction)
    names = np.union1d(sample_groups, reference_groups)
    of_group = [(sample[sample_groups == s], reference[reference_groups == s]) for s in names]
    for name, (first, second) in zip(names, of_group, strict=True):
        if not len(first) or not len(second):
            raise ValueError(f"group {name}: {len(first)} and {len(second)} rows; wanted both")
    return _ks([pair[0] for pair in of_group], [pair[1] for pair in of_group], correction)


def _ks(
    samples: list[Float[np.ndarray, " _"]],
    references: list[Float[np.ndarray, " _"]],
    correction: Correction,
) -> Detection:
    from scipy.stats import ks_2samp

    tests = [ks_2samp(one, other) for one, other in zip(samples, references, strict=True)]
    parts = corrected(np.array([test.pvalue for test in tests], dtype=np.float64), correction)
    largest = max(float(test.statistic) for test in tests)
    return Detection(largest, float(parts.min()), tuple(parts.tolist()))


def largest_ks(samples: Sequence[Inputs], references: Sequence[Inputs]) -> Detection:
    """`ks_by_feature` of several pairs (of groups) in one test, many times faster.

    Features of one pair have one null distribution, which ties only make conservative: the
    largest statistic has the least p-value, the only one that the whole needs.

    Returns
    -------
    detection : statistic and p-value as of all features of all pairs; its parts are the pairs.
    """
    from scipy.stats import ks_2samp

    p_values, gaps, features = list[float](), list[float](), 0
    for sample, reference in zip(samples, references, strict=True):
        _check(sample, reference)
        of_features = ks_statistics(sample, reference)
        at, features = int(of_features.argmax()), features + len(of_features)
        p_values.append(float(ks_2samp(sample[:, at], reference[:, at]).pvalue))
        gaps.append(float(of_features[at]))
    parts = np.minimum(features * np.array(p_values), 1.0)
    return Detection(max(gaps), float(parts.min()), tuple(parts.tolist()))


def ks_statistics(sample: Inputs, reference: Inputs) -> Float[np.ndarray, " features"]:
    """The largest difference between the two empirical distribution functions of each feature."""
    k, m = len(sample), len(reference)
    pooled = np.concatenate([sample, reference]).T
    order = np.argsort(pooled, axis=1)
    gaps = np.abs(np.where(order < k, m, -k).cumsum(axis=1))
    values = np.take_along_axis(pooled, order, axis=1)
    # of equal values all have come before the functions are compared
    gaps[:, :-1][values[:, :-1] == values[:, 1:]] = 0
    statistics: np.ndarray = gaps.max(axis=1) / (k * m)
    return statistics


def transport_cost(sample: Inputs, reference: Inputs) -> float:
    """Least cost (squared Euclid) of moving the sample onto the reference: W_2 squared.

    Inputs are taken as they are scaled. k x m pairs (POT): some .003 s for 200 rows each.

    Raises
    ------
    Unsupported
        where POT isn't installed.
    """
    from bench.sampling.dense import package

    ot = package()
    _check(sample, reference)
    if sample.shape[1] == 1:
        return float(ot.emd2_1d(sample[:, 0], reference[:, 0], metric="sqeuclidean"))
    return float(ot.emd2([], [], _squares(sample, reference)))


def wasserstein_test(
    sample: Inputs,
    reference: Inputs,
    *,
    rng: np.random.Generator,
    permutations: int = 199,
    exceedances: int | None = None,
) -> Detection:
    """`transport_cost` against permutations, each of which is such a problem: take fewer rows of
    a large reference.

    Parameters
    ----------
    exceedances : after so many permutations that cost as much it is clear enough, and p is their
        share (Besag, Clifford, *Sequential Monte Carlo p-values*, Biometrika 1991); none: all
        permutations are made. As exact, and where nothing is wrong soon done.

    Raises
    ------
    Unsupported
        where POT isn't installed.
    """
    from bench.sampling.dense import package

    ot, k = package(), _check(sample, reference)
    pooled = np.concatenate([sample, reference])
    if pooled.shape[1] == 1:
        line = pooled[:, 0]

        def cost(order: Int[np.ndarray, " rows"]) -> float:
            return float(ot.emd2_1d(line[order[:k]], line[order[k:]], metric="sqeuclidean"))
    else:
        squares = _squares(pooled, pooled)

        def cost(order: Int[np.ndarray, " rows"]) -> float:
            return float(ot.emd2([], [], squares[np.ix_(order[:k], order[k:])]))

    return _permuted(cost, len(pooled), rng, permutations, exceedances=exceedances)


def mmd_test(
    sample: Inputs,
    reference: Inputs,
    *,
    rng: np.random.Generator,
    permutations: int = 199,
    bandwidth: float | None = None,
) -> Detection:
    """Squared maximum mean discrepancy by a Gaussian kernel, against permutations.

    Parameters
    ----------
    bandwidth : of exp(-|x - x'|^2 / (2 bandwidth^2)); unless given, the median distance of two
        different rows of both samples.

    References
    ----------
    Gretton et al., *A Kernel Two-Sample Test*, JMLR 2012, Eq. (5).
    """
    from scipy.spatial.distance import pdist, squareform

    k = _check(sample, reference)
    squares = pdist(np.concatenate([sample, reference]), "sqeuclidean")  # each pair once
    apart = squares[squares > 0]
    if not len(apart):
        return Detection(0.0, 1.0, (1.0,))
    width = bandwidth or float(np.sqrt(np.median(apart)))
    kernel = squareform(np.exp(-squares / (2 * width**2)))
    np.fill_diagonal(kernel, 1.0)
    signs = np.concatenate([np.full(k, 1 / k), np.full(len(reference), -1 / len(reference))])
    orders = [np.arange(len(signs)), *(rng.permutation(len(signs)) for _ in range(permutations))]
    weights = signs[np.stack(orders)]
    statistics = ((weights @ kernel) * weights).sum(axis=1)
    p_value = monte_carlo_p(float(statistics[0]), statistics[1:])
    return Detection(float(statistics[0]), p_value, (p_value,))


def classifier_test(
    sample: Inputs,
    reference: Inputs,
    *,
    rng: np.random.Generator,
    model: Literal["logistic", "forest"] = "logistic",
    folds: int = 5,
    permutations: int = 99,
) -> Detection:
    """Can a classifier tell sample from reference? Cross-fitted, against permutations.

    Statistic: AUC on the fold that was held out, mean over folds. The folds aren't independent
    of each other (with two, each classifier's luck is the other's), so the classifiers are
    trained again for each permutation of the labels.

    References
    ----------
    Lopez-Paz, Oquab, *Revisiting Classifier Two-Sample Tests*, ICLR 2017.
    """
    k = _check(sample, reference)
    if min(k, len(reference)) < folds:
        raise ValueError(f"{k} and {len(reference)} rows in {folds} folds: wanted more rows")
    inputs = _standardized(np.concatenate([sample, reference]))

    def area(order: Int[np.ndarray, " rows"]) -> float:
        # the k places that come first in the order are called the sample, dealt to folds in turn
        fold = np.empty(len(order), dtype=np.int64)
        fold[order] = np.concatenate([np.arange(k), np.arange(len(order) - k)]) % folds
        is_sample = np.zeros(len(order), dtype=bool)
        is_sample[order[:k]] = True
        held = [fold == f for f in range(folds)]
        return float(np.mean([_auc(model, inputs, is_sample, ~test, test, rng) for test in held]))

    first = np.concatenate([rng.permutation(k), k + rng.permutation(len(reference))])
    return _permuted(area, len(inputs), rng, permutations, first)


def held_out_classifier_test(
    sample: Inputs,
    reference: Inputs,
    *,
    rng: np.random.Generator,
    model: Literal["logistic", "forest"] = "logistic",
) -> Detection:
    """The same, trained once on half of the rows; the ranks of the others are tested by Mann and
    Whitney's U. Much faster, and weaker. Inputs that tell nothing: AUC .5, p-value 1."""
    from scipy.stats import mannwhitneyu

    k = _check(sample, reference)
    inputs = _standardized(np.concatenate([sample, reference]))
    is_sample = np.arange(len(inputs)) < k
    train = np.zeros(len(inputs), dtype=bool)
    for rows in (np.flatnonzero(is_sample), np.flatnonzero(~is_sample)):
        train[rng.permutation(rows)[: len(rows) // 2]] = True
    scores = _scores(model, inputs, is_sample, train, ~train, rng)
    of_sample = is_sample[~train]
    if scores.min() == scores.max():
        return Detection(0.5, 1.0, (1.0,))
    test = mannwhitneyu(scores[of_sample], scores[~of_sample], alternative="greater")
    pairs = of_sample.sum() * (~of_sample).sum()
    return Detection(float(test.statistic / pairs), float(test.pvalue), (float(test.pvalue),))


def confusions(
    surrogate: Int[np.ndarray, " n"],
    black_box: Int[np.ndarray, " n"],
    groups: Shaped[np.ndarray, " n"],
    *,
    pseudocount: float = 0.0,
) -> Float[np.ndarray, "groups labels labels"]:
    """P(black box says b, surrogate says c | s) for each group s (in order), label b, label c.

    Parameters
    ----------
    pseudocount : rows that are added to each cell.
    """
    labels = np.union1d(surrogate, black_box)
    cells = [
        [(groups == s) & (black_box == b) & (surrogate == c) for b, c in product(labels, labels)]
        for s in np.unique(groups)
    ]
    counts = np.sum(cells, axis=2) + pseudocount
    shares: np.ndarray = counts / counts.sum(axis=1, keepdims=True)
    return shares.reshape(len(counts), len(labels), len(labels))


def confusion_divergence(
    surrogate: Int[np.ndarray, " n"],
    black_box: Int[np.ndarray, " n"],
    groups: Shaped[np.ndarray, " n"],
    *,
    pseudocount: float = 0.5,
    reverse: bool = False,
    given_decision: bool = False,
) -> float:
    """FRAUD-Detect: KL divergence, in nats, of the first group's confusion matrix of surrogate
    and black box from the second's; large where a surrogate is unfaithful to one group only.

    No test by itself: an honest surrogate of an unfair black box has a divergence too. Compare
    with those of honest surrogates, by `monte_carlo_p` or as AUROC.

    Parameters
    ----------
    surrogate, black_box : labels that they give to the same rows.
    groups : two of them.
    pseudocount : rows added to each cell, so that an empty one leaves the divergence finite;
        ours, not the paper's: 0 gives the plain definition, which may be infinite.
    reverse : of the second from the first.
    given_decision : of P(surrogate says c | black box says b, s) instead, each b weighing the
        same: rates of the black box's decisions, which differ where it is unfair, play no part.
        The authors' code names this in a docstring, and computes the other. It needs a
        pseudocount.

    References
    ----------
    Shamsabadi et al., *Washing The Unwashable: On The (Im)possibility of Fairwashing Detection*,
    NeurIPS 2022, Algorithm 1.
    """
    names = np.unique(groups)
    if len(names) != 2:
        raise ValueError(f"groups {names.tolist()}: wanted two; compare more of them by pairs")
    if given_decision and not pseudocount > 0:
        raise ValueError(
            f"pseudocount={pseudocount} given the decision: wanted more than 0, since a group "
            "without a decision has no rates"
        )
    shares = confusions(surrogate, black_box, groups, pseudocount=pseudocount)
    if given_decision:
        shares = shares / shares.sum(axis=2, keepdims=True) / shares.shape[1]
    first, second = shares
    p, q = (second, first) if reverse else (first, second)
    with np.errstate(divide="ignore"):
        terms = p[p > 0] * (np.log(p[p > 0]) - np.log(q[p > 0]))
    return float(terms.sum())


def _check(sample: Inputs, reference: Inputs) -> int:
    """The sample's size."""
    if sample.shape[1] != reference.shape[1]:
        raise ValueError(
            f"{sample.shape[1]} and {reference.shape[1]} features: wanted the same in both"
        )
    if not sample.shape[1]:
        raise ValueError("no features: wanted one at least to compare")
    if min(len(sample), len(reference)) < 2:
        raise ValueError(f"{len(sample)} and {len(reference)} rows: wanted two at least of both")
    if not (np.isfinite(sample).all() and np.isfinite(reference).all()):
        raise ValueError("some inputs are not finite: wanted numbers, as a model is given them")
    return len(sample)


def _permuted(
    statistic: Callable[[Int[np.ndarray, " rows"]], float],
    n: int,
    rng: np.random.Generator,
    permutations: int,
    first: Int[np.ndarray, " rows"] | None = None,
    exceedances: int | None = None,
) -> Detection:
    """The statistic of rows as given against those of rows in random order."""
    found = statistic(np.arange(n) if first is None else first)
    null: list[float] = []
    least, above = found - 1e-12 * abs(found), 0
    while len(null) < permutations:
        null.append(statistic(rng.permutation(n)))
        above += null[-1] >= least
        if above == exceedances:
            p_value = above / len(null)
            return Detection(found, p_value, (p_value,))
    p_value = monte_carlo_p(found, np.array(null))
    return Detection(found, p_value, (p_value,))


def _squares(
    points: Float[np.ndarray, "n d"], others: Float[np.ndarray, "m d"]
) -> Float[np.ndarray, "n m"]:
    """Squared Euclid of all pairs."""
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(points, others, "sqeuclidean"))


def _standardized(inputs: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """By all rows: labels play no part."""
    spread = inputs.std(axis=0)
    scaled: np.ndarray = (inputs - inputs.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled


def _auc(
    model: str,
    inputs: Float[np.ndarray, "n d"],
    labels: Shaped[np.ndarray, " n"],
    train: Shaped[np.ndarray, " n"],
    test: Shaped[np.ndarray, " n"],
    rng: np.random.Generator,
) -> float:
    from bench.scores.rank_agreement import auc

    return auc(_scores(model, inputs, labels, train, test, rng), labels[test])


def _scores(
    model: str,
    inputs: Float[np.ndarray, "n d"],
    labels: Shaped[np.ndarray, " n"],
    train: Shaped[np.ndarray, " n"],
    test: Shaped[np.ndarray, " n"],
    rng: np.random.Generator,
) -> Float[np.ndarray, " held"]:
    """Of rows that were held out; larger: rather of the sample."""
    if model == "logistic":
        weights = logistic_weights(inputs[train], labels[train])
        return np.asarray(inputs[test] @ weights[:-1] + weights[-1])
    from sklearn.ensemble import RandomForestClassifier

    seed = int(rng.integers(2**31))
    forest = RandomForestClassifier(50, min_samples_leaf=5, n_jobs=1, random_state=seed)
    fitted = forest.fit(inputs[train], labels[train])
    return np.asarray(fitted.predict_proba(inputs[test])[:, 1], dtype=np.float64)


def logistic_weights(
    inputs: Float[np.ndarray, "n d"], labels: Shaped[np.ndarray, " n"], ridge: float = 1.0
) -> Float[np.ndarray, " d_and_1"]:
    """Logistic regression, the intercept last: least sum of log losses + ridge |w|^2 / 2, the
    intercept free, as scikit-learn's, by Newton's steps: a few times faster for few rows.

    Parameters
    ----------
    labels : true or false, both there.
    """
    from scipy.special import expit

    design = np.column_stack([inputs, np.ones(len(inputs))])
    signs, penalty = np.where(labels, 1.0, -1.0), np.full(design.shape[1], ridge)
    penalty[-1] = 0.0

    def loss(weights: Float[np.ndarray, " d_and_1"]) -> float:
        wrong = np.logaddexp(0.0, -signs * (design @ weights)).sum()
        return float(wrong + penalty @ weights**2 / 2)

    weights = np.zeros(design.shape[1])
    least = loss(weights)
    for _ in range(100):
        found = expit(design @ weights)
        slope = design.T @ (found - (signs > 0)) + penalty * weights
        curvature = (design.T * (found * (1 - found))) @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, slope)
        if slope @ step < 1e-12:  # of the loss, twice what the step gains
            return weights - step
        while (reached := loss(weights - step)) > least:  # too far for the parabola
            step = step / 2
        weights, least = weights - step, reached
    return weights
