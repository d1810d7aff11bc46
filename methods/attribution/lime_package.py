"""LIME as its authors' package does it."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bench.models.base import Capability
from bench.tasks.attribution import Attribution, AttributionProblem
from bench.tasks.foreign import alone, package, seeded


@dataclass(frozen=True)
class LimePackage:
    """Coefficients of lime's image explainer, the problem's features being its superpixels.

    The package is handed a picture of p pixels that are kept or not, and F as the model of such
    pictures: so it knows any features and any reference, of tables too. (Its explainer of tables
    wants training rows, which no problem holds.)

    Parameters
    ----------
    samples : masks an instance.
    width : of the kernel.
    distance : between masks.

    References
    ----------
    Ribeiro, Singh, Guestrin, *"Why Should I Trust You?"*, KDD 2016, Alg. 1.
    """

    samples: int = 500
    width: float = 0.25
    distance: Literal["cosine", "euclidean"] = "cosine"

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Capability]] = frozenset({"black_box"})
    imports: ClassVar[tuple[str, ...]] = ("lime.lime_image",)

    def __post_init__(self) -> None:
        if self.samples < 2 or not self.width > 0:
            raise ValueError(
                f"samples={self.samples}, width={self.width}: wanted at least 2, and above 0"
            )

    def explain(self, problem: AttributionProblem, *, rng: np.random.Generator) -> Attribution:
        image = package("lime.lime_image")
        values = np.zeros((problem.n, problem.p))
        with seeded(rng) as seed:
            explainer = image.LimeImageExplainer(
                kernel_width=self.width, feature_selection="none", random_state=seed
            )
            for row in range(problem.n):
                one = alone(problem, row)
                explained = explainer.explain_instance(
                    np.ones((1, problem.p, 3)),
                    lambda pictures, one=one: one.value(pictures[:, 0, :, 0] == 0).T,
                    labels=(0,),
                    top_labels=0,
                    hide_color=0,
                    num_samples=self.samples,
                    batch_size=self.samples,
                    segmentation_fn=lambda picture: np.arange(problem.p)[None],
                    distance_metric=self.distance,
                )
                features, coefficients = zip(*explained.local_exp[0], strict=True)
                values[row, list(features)] = coefficients
        return Attribution(values)
