"""Confident learning: labels that models trained without a row would not give it."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int

from bench.models.base import Capability
from bench.tasks.cleansing import CleansingProblem, Influence
from bench.tasks.foreign import package


@dataclass(frozen=True)
class ConfidentLearning:
    """cleanlab's label quality of a row, minus 1 where it calls the label wrong.

    The probabilities are out of sample: the network is trained again without each fold, in the
    same order of batches. cleanlab calls a row's label wrong by thresholds of its own for each
    class and the joint counts of given and true labels that follow. It knows nothing of the
    query: lowest = likeliest wrong, called harmful.

    Parameters
    ----------
    folds : of the cross-validation, even by class.
    filter_by : cleanlab's rule, `filter_by` of its `find_label_issues`.
    quality : cleanlab's score, `method` of its `get_label_quality_scores`.

    References
    ----------
    Northcutt, Jiang, Chuang, *Confident Learning: Estimating Uncertainty in Dataset Labels*,
    JAIR 70, 2021, Sec. 3.
    """

    folds: int = 5
    filter_by: str = "prune_by_noise_rate"
    quality: Literal["self_confidence", "normalized_margin"] = "self_confidence"

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"retrain"})

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ValueError(f"folds={self.folds}: wanted at least 2")

    def explain(self, problem: CleansingProblem, *, rng: np.random.Generator) -> Influence:
        finding, ranking = package("cleanlab.filter"), package("cleanlab.rank")
        labels = problem.train.targets.cpu().numpy()
        probabilities = out_of_sample(problem, even_folds(labels, self.folds, rng))
        wrong = finding.find_label_issues(labels, probabilities, filter_by=self.filter_by, n_jobs=1)
        quality = ranking.get_label_quality_scores(labels, probabilities, method=self.quality)
        return Influence(np.asarray(quality, dtype=float) - wrong)


def even_folds(
    labels: Int[np.ndarray, " n"], folds: int, rng: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """Each row's fold, from 0: every class is dealt to the folds in turn, at random."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(len(labels), dtype=int)
    fold[order] = np.arange(len(labels)) % folds
    return fold


def out_of_sample(
    problem: CleansingProblem, fold: Int[np.ndarray, " n_train"]
) -> Float[np.ndarray, "n_train classes"]:
    """Each row's probabilities by the model trained without the row's fold."""
    numbers = np.unique(fold)
    models = problem.model.retrain(torch.from_numpy(fold != numbers[:, None]))
    found = np.empty((len(fold), problem.train.n_classes))
    with torch.no_grad():
        for number, model in zip(numbers, models, strict=True):
            held = fold == number
            margins = model.margins(problem.train.inputs[torch.from_numpy(held)])
            found[held] = margins.softmax(1).cpu().numpy()
    return found
