"""The weight decay that cross-validation chooses for the rows that a network is trained on."""

import warnings
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from bench.data import Samples


@runtime_checkable
class WeightDecay(Protocol):
    """A frozen dataclass that chooses alpha of alpha / 2 |theta|^2 by the training rows."""

    def chosen(self, samples: Samples) -> float:
        """alpha; raises `ValueError` where these rows don't let it choose."""
        ...


@dataclass(frozen=True)
class CrossValidated:
    """alpha = 1 / (C n), C being what cross-validation chooses for a logistic regression.

    C multiplies the sum of n losses beside |theta|^2 / 2, so that this alpha weighs the penalty
    of a mean loss alike. Of the C from 1e-4 to 1e4, equally far apart in their logarithm, the one
    of the highest mean accuracy over stratified folds is taken, the smallest among equals. Where
    classes are easy or rows few, many are equal, and alpha jumps from end to end of the grid
    from one draw of rows to the next.

    Parameters
    ----------
    folds : of the training rows, in the order that they have.
    grid : how many C are tried.

    References
    ----------
    Hara, Nitanda, Maehara, *Data Cleansing for Models Trained with SGD*, NeurIPS 2019, Sec. 7.1:
    scikit-learn's `LogisticRegressionCV(cv=5, fit_intercept=False)`, which is this.
    """

    folds: int = 5
    grid: int = 10

    def __post_init__(self) -> None:
        for name, least in (("folds", 2), ("grid", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: wanted at least {least}")

    def chosen(self, samples: Samples) -> float:
        from sklearn import config_context
        from sklearn.linear_model import LogisticRegressionCV
        from threadpoolctl import threadpool_limits

        inputs, targets = (
            samples.inputs.flatten(1).double().cpu().numpy(),
            samples.targets.cpu().numpy(),
        )
        self._check(samples)
        model = LogisticRegressionCV(
            Cs=self.grid, cv=self.folds, fit_intercept=False, scoring="accuracy"
        )
        # Its systems are small: on a busy machine threads that wait for one another take ten times
        # as long as one. Nor are the parameters looked at anew for each of the fits and scores.
        quick = config_context(skip_parameter_validation=True)
        with threadpool_limits(1), quick, warnings.catch_warnings():
            # Names of attributes that will change, and fits that 100 iterations don't end: the
            # paper's neither.
            warnings.simplefilter("ignore")
            model.fit(inputs, targets)
        return 1 / (float(np.ravel(model.C_)[0]) * len(samples))

    def _check(self, samples: Samples) -> None:
        if not samples.n_classes:
            raise ValueError("cross-validated weight decay wants classes, not a regression")
        classes, counts = np.unique(samples.targets.cpu().numpy(), return_counts=True)
        if len(classes) < 2 or counts.min() < self.folds:
            found = ", ".join(f"{c}: {n}" for c, n in zip(classes, counts, strict=True))
            raise ValueError(
                f"cross-validated weight decay wants {self.folds} training rows, as many as "
                f"folds, of two classes or more; of each class there are {found}"
            )
