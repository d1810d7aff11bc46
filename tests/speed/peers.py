"""The same work for earnest and for other packages, each called as its users call it."""

import contextlib
import io
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from bench.components import Shelf, build
from bench.data import encode, split
from bench.models.network import Network
from bench.seeding import stream
from bench.setfunction.partition import partition
from bench.setfunction.reference import Reference
from bench.tasks.attribution import AttributionProblem, predicted

INSTANCES, SAMPLES = 100, 500
LONG_RUN = 20_000
"""Masks of the run that errors are measured against: shap's own, forty times the samples."""

SHELF = Shelf()


@dataclass(frozen=True)
class Work:
    """A trained network, rows to explain and a reference of zeros, each position a feature.

    Attributes
    ----------
    name : of data and network.
    problem : as earnest sees it.
    train : training rows, flat: what lime's explainer of tables asks for.
    """

    name: str
    problem: AttributionProblem
    train: np.ndarray

    @property
    def flat(self) -> np.ndarray:
        """The inputs, a row each."""
        rows: np.ndarray = self.problem.inputs.flatten(1).numpy()
        return rows

    @property
    def targets(self) -> list[int]:
        classes: list[int] = self.problem.targets.tolist()
        return classes

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """`m C` for flat rows: the model as another package sees it."""
        inputs = torch.as_tensor(np.asarray(rows, dtype=np.float32))
        module = self.problem.model.module
        assert module is not None
        with torch.no_grad():
            found: np.ndarray = (
                module(inputs.view(-1, *self.problem.inputs.shape[1:])).softmax(1).numpy()
            )
        return found

    def first(self, rows: int) -> "Work":
        """The same with fewer instances."""
        whole = self.problem
        part = AttributionProblem(
            whole.model,
            whole.inputs[:rows],
            whole.targets[:rows],
            whole.partition,
            whole.reference,
        )
        return Work(self.name, part, self.train)


@cache
def work(name: str) -> Work:
    """`digits` with its CNN (64 pixels), or `breast_cancer` with an MLP (30 columns)."""
    data = build(SHELF.config("dataset", name), name).load()
    parts = split(data, "percent 60/20/20", rng=stream(0, "split", name))
    encoding = encode(data, parts.train)
    train = encoding.samples.rows(parts.train)
    recipe, kind = ("cnn", "pixels") if name == "digits" else ("mlp", "columns")
    model = build(SHELF.config("model", recipe), recipe).fit(train, rng=stream(0, "model", name))
    inputs = encoding.samples.inputs[torch.from_numpy(parts.test[:INSTANCES])]
    problem = AttributionProblem(
        Network(model.module, model.n_classes),
        inputs,
        predicted(model, inputs),
        partition(kind, data, encoding),
        Reference(torch.zeros(1, 1, *inputs.shape[1:])),
    )
    return Work(f"{name} {recipe}", problem, train.inputs.flatten(1).numpy())


@cache
def method(name: str, **fields: Any) -> Any:
    """Built once: reading its yaml is no part of explaining."""
    return build({**SHELF.config("method/attribution", name), **fields}, name)


def ours(some: Work, name: str, seed: int = 0, **fields: Any) -> np.ndarray:
    """Values `n p` of a method of earnest."""
    rng = np.random.default_rng(seed)
    found: np.ndarray = method(name, **fields).explain(some.problem, rng=rng).values
    return found


def captum_kernel_shap(some: Work, seed: int = 0, samples: int = SAMPLES) -> np.ndarray:
    """Captum's, its forward calls in batches of 250: a fifth of the time of its default."""
    from captum.attr import KernelShap

    torch.manual_seed(seed)
    with quiet():
        found = KernelShap(lambda x: some.problem.model.module(x).softmax(1)).attribute(
            some.problem.inputs,
            baselines=0,
            target=some.problem.targets,
            feature_mask=some.problem.partition.membership[None],
            n_samples=samples,
            perturbations_per_eval=250,
        )
    values: np.ndarray = found.flatten(1).numpy()
    return values


def shap_kernel_all(some: Work, samples: int = SAMPLES) -> np.ndarray:
    """Shap's as its users call it: handed the function of all classes, which it explains."""
    import shap

    with quiet():
        explainer = shap.KernelExplainer(some.probabilities, np.zeros((1, some.problem.p)))
        found = explainer.shap_values(some.flat, nsamples=samples, l1_reg=0, silent=True)
    values: np.ndarray = np.asarray(found)
    return values


def shap_kernel(some: Work, seed: int = 0, samples: int = SAMPLES) -> np.ndarray:
    """Shap's, one explainer a class that hands it that class alone, its lasso off."""
    import shap

    np.random.seed(seed)  # noqa: NPY002  (shap has no other door)
    values = np.zeros_like(some.flat, dtype=float)
    with quiet():
        for c in set(some.targets):
            rows = np.flatnonzero(np.array(some.targets) == c)
            explainer = shap.KernelExplainer(
                lambda x, c=c: some.probabilities(x)[:, c], np.zeros((1, some.problem.p))
            )
            values[rows] = explainer.shap_values(
                some.flat[rows], nsamples=samples, l1_reg=0, silent=True
            )
    return values


def lime_package(some: Work, samples: int = SAMPLES) -> np.ndarray:
    """Lime's explainer of tables, or that of images with each pixel a superpixel."""
    from lime.lime_image import LimeImageExplainer
    from lime.lime_tabular import LimeTabularExplainer

    values = np.zeros_like(some.flat, dtype=float)
    p, side = some.problem.p, some.problem.inputs.shape[-1]
    with quiet():
        if some.problem.inputs.ndim == 4:
            explainer = LimeImageExplainer(random_state=0, feature_selection="none")
            for row, (x, c) in enumerate(zip(some.flat, some.targets, strict=True)):
                explained = explainer.explain_instance(
                    x.reshape(side, side).astype(float),
                    lambda images: some.probabilities(images[..., 0].reshape(len(images), -1)),
                    labels=(c,),
                    top_labels=0,
                    hide_color=0,
                    num_samples=samples,
                    batch_size=250,
                    segmentation_fn=lambda _: np.arange(p).reshape(side, side),
                )
                features, coefficients = zip(*explained.local_exp[c], strict=True)
                values[row, list(features)] = coefficients
        else:
            explainer = LimeTabularExplainer(some.train, random_state=0, feature_selection="none")
            for row, (x, c) in enumerate(zip(some.flat, some.targets, strict=True)):
                explained = explainer.explain_instance(
                    x, some.probabilities, labels=(c,), num_features=p, num_samples=samples
                )
                features, coefficients = zip(*explained.as_map()[c], strict=True)
                values[row, list(features)] = coefficients
    return values


def shapiq_values(some: Work, kind: str, seed: int = 0, samples: int = SAMPLES) -> np.ndarray:
    """One of shapiq's approximators of Shapley values, on the same game."""
    import shapiq

    options = {"pairing_trick": True} if kind == "KernelSHAP" else {}
    values = []
    with quiet():
        for x, c in zip(some.flat, some.targets, strict=True):
            approximator = getattr(shapiq, kind)(some.problem.p, random_state=seed, **options)
            found = approximator.approximate(
                samples, lambda kept, x=x, c=c: some.probabilities(kept * x)[:, c]
            )
            values.append([found[(i,)] for i in range(some.problem.p)])
    return np.array(values)


def solvex_order(some: Work) -> np.ndarray:
    """Solvex's beam search with a beam of 1, on comprehensiveness and sufficiency."""
    from solvex import BeamSearchExplainer
    from solvex.masker import TabularMasker

    explainer = BeamSearchExplainer(
        TabularMasker([0] * some.problem.p), some.probabilities, beam_size=1
    )
    found = [
        explainer.explain_instance(list(x), label=c, logging="none")["exp"]
        for x, c in zip(some.flat, some.targets, strict=True)
    ]
    return np.array(found, dtype=float)


def quantus_curves(some: Work, values: np.ndarray, batch: int = 10) -> np.ndarray:
    """Quantus' PixelFlipping: the target's probability after each deleted pixel."""
    import quantus

    with quiet():
        metric = quantus.PixelFlipping(
            perturb_baseline="black", disable_warnings=True, display_progressbar=False
        )
        found = metric(
            model=some.problem.model.module,
            x_batch=some.problem.inputs.numpy(),
            y_batch=some.problem.targets.numpy(),
            a_batch=values.reshape(some.problem.inputs.shape),
            channel_first=True,
            softmax=True,
            device="cpu",
            batch_size=batch,
        )
    return np.array(found)


@cache
def long_run(name: str, rows: int, samples: int = LONG_RUN) -> np.ndarray:
    """Shapley values of the first rows by shap's own long run."""
    return shap_kernel(work(name).first(rows), seed=99, samples=samples)


def rms(found: np.ndarray, wanted: np.ndarray) -> float:
    """Root of the mean squared difference, over the instances of `wanted`."""
    return float(np.sqrt(np.mean((found[: len(wanted)] - wanted) ** 2)))


@contextlib.contextmanager
def quiet() -> Any:
    """No warnings and no progress bars."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
