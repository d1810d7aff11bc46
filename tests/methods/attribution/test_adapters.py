"""Explainers of other packages give here what they give elsewhere, of the same g and reference."""

import random
import sys
import types
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bench.components import ConfigError, Shelf, build
from bench.models.network import CNN, MLP, Network, initial
from bench.probes import plain
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.setfunction.table import shapley_values
from bench.tasks.attribution import AttributionProblem, predicted
from bench.tasks.base import Unsupported
from bench.tasks.foreign import alone, seeded

SHELF = Shelf()
FOREIGN = [
    name
    for name in SHELF.names("method/attribution")
    if name.startswith(("captum_", "shap_", "lime_package")) and name != "shap_tree"
]


def image_problem() -> AttributionProblem:
    """Three images of 8x8 pixels in sixteen blocks, each with a reference of its own."""
    rng = np.random.default_rng(3)
    net = initial(CNN((4, 6), 8), torch.Size([2, 8, 8]), 3, rng=rng)
    model = Network(net.eval(), 3)
    inputs = torch.from_numpy(rng.normal(size=(3, 2, 8, 8))).float()
    rows = torch.arange(8) // 2
    membership = (rows[:, None] * 4 + rows).expand(2, -1, -1).contiguous()
    partition = Partition(membership, tuple(map(str, range(16))))
    reference = Reference(inputs[:, None] / 2)
    return AttributionProblem(model, inputs, predicted(model, inputs), partition, reference)


EXACT_WHERE_AFFINE = [
    *("captum_integrated_gradients", "captum_deep_lift", "captum_deep_lift_shap"),
    *("captum_gradient_shap", "captum_feature_ablation", "captum_shapley_value_sampling"),
    *("captum_kernel_shap", "shap_kernel", "shap_permutation", "shap_sampling"),
    *("shap_gradient", "shap_deep", "function"),
]


@pytest.mark.parametrize("sets", [1, 4])
@pytest.mark.parametrize("name", EXACT_WHERE_AFFINE)
def test_affine_output_has_one_answer(name: str, sets: int, answer, problem_of):
    """T1: with g affine they all give w_i (x_i - b_i), summed over a feature's positions."""
    problem = problem_of(0, (), sets=sets)
    weights = problem.model.module[1].weight[0].detach()
    wanted = problem.partition.pooled(weights * (problem.inputs - problem.baseline))
    np.testing.assert_allclose(answer(name, problem), wanted, atol=1e-5)


def softmax_problem(problem_of, single_logit: bool) -> tuple[AttributionProblem, nn.Module]:
    """A problem with two draws, and its network with the step to probabilities appended.

    A single logit of two classes has a sigmoid for that step.
    """
    if not single_logit:
        problem = problem_of(3, net=relu_network(3), draws=2)
        return problem, nn.Sequential(problem.model.module, nn.Softmax(1)).eval()
    problem = problem_of(2, net=relu_network(1), draws=2)
    targets = torch.ones_like(problem.targets)
    return (
        replace(problem, targets=targets),
        nn.Sequential(problem.model.module, nn.Sigmoid()).eval(),
    )


def relu_network(outputs: int) -> nn.Module:
    rng = np.random.default_rng(1)
    net = initial(MLP((8, 8), "relu"), torch.Size([7]), outputs, rng=rng)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3)
    return net


@pytest.mark.parametrize("single_logit", [False, True])
def test_deep_lift_is_what_a_user_gets(single_logit: bool, answer, problem_of):
    """Captum and shap called directly on the network and a softmax, instance by instance."""
    captum, shap = pytest.importorskip("captum.attr"), pytest.importorskip("shap")
    problem, net = softmax_problem(problem_of, single_logit)
    draws, found = problem.reference.draws[0], {"lift": [], "lift_shap": [], "deep": []}
    for row in range(4):
        column = 0 if single_logit else int(problem.targets[row])
        x, mean = problem.inputs[[row]], problem.baseline[[row]]
        found["lift"].append(captum.DeepLift(net).attribute(x, mean, target=column))
        found["lift_shap"].append(captum.DeepLiftShap(net).attribute(x, draws, target=column))
        values = shap.DeepExplainer(net, draws).shap_values(x, check_additivity=False)
        found["deep"].append(torch.from_numpy(values[..., column]))
    wanted = {
        name: problem.partition.pooled(torch.cat(each).detach()) for name, each in found.items()
    }
    names = {"lift": "captum_deep_lift", "lift_shap": "captum_deep_lift_shap", "deep": "shap_deep"}
    for short, name in names.items():
        np.testing.assert_allclose(answer(name, problem), wanted[short], atol=1e-6)


def test_deep_lift_of_a_single_logit_is_complete(answer, problem_of):
    """Summation to delta, for either class: g(x) minus the mean of g(r)."""
    problem, _ = softmax_problem(problem_of, True)
    problem = replace(problem, targets=torch.tensor([0, 1, 0, 1]))
    masks = np.array([[False] * 5, [True] * 5])
    change = -np.diff(problem.value(masks), axis=1)[:, 0]
    for name in ("captum_deep_lift_shap", "shap_deep"):
        np.testing.assert_allclose(answer(name, problem).sum(1), change, atol=1e-6)


GRADIENTS = [
    *("captum_deconvolution", "captum_deep_lift", "captum_deep_lift_shap", "captum_gradient_shap"),
    *("captum_guided_backprop", "captum_input_x_gradient", "captum_integrated_gradients"),
    *("captum_saliency", "captum_smooth_grad", "shap_deep", "shap_gradient"),
]


@pytest.mark.parametrize("name", GRADIENTS)
def test_the_label_has_no_gradient(name: str, answer, problem_of):
    """An answer with a reason, as our own methods give."""
    with pytest.raises(Unsupported, match="the label has no gradient"):
        answer(name, replace(problem_of(3), g="label"))


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        ("captum_input_x_gradient", {}, 0.0),
        ("captum_integrated_gradients", {"baselines": 0.5}, 0.5),
        ("captum_deep_lift", {"baselines": None}, 0.0),
        ("captum_feature_ablation", {"baselines": 0.0}, 0.0),
        ("captum_feature_ablation", {}, None),
        ("captum_integrated_gradients", {}, None),
    ],
)
def test_other_baselines_are_reported(name: str, options: dict, wanted, method, problem_of):
    """So that the record's reference_mismatch sees them."""
    pytest.importorskip("captum")
    problem = problem_of(3)
    explained = method(name, options=options).explain(problem, rng=np.random.default_rng(0))
    if wanted is None:
        assert explained.baseline is None
    else:
        assert torch.equal(explained.baseline, torch.full_like(problem.inputs, wanted))


ALIKE_IN_BLOCKS = [
    *("captum_saliency", "captum_integrated_gradients", "captum_deep_lift", "captum_lime"),
    *("captum_feature_ablation", "captum_occlusion", "captum_kernel_shap"),
]


@pytest.mark.parametrize("name", ALIKE_IN_BLOCKS)
def test_blocks_of_rows_change_nothing(name: str, answer, problem_of, monkeypatch):
    """Two points at a time, or all: the same answer."""
    problem = problem_of(3, n=5)
    wanted = answer(name, problem)
    monkeypatch.setattr("bench.models.chunks.NUMBERS", 14)
    np.testing.assert_allclose(answer(name, problem), wanted, atol=1e-9)


@pytest.mark.parametrize("name", ["captum_smooth_grad", "captum_gradient_shap"])
def test_noise_in_blocks_has_the_same_mean(name: str, answer, problem_of, monkeypatch):
    """Other draws, no other expectation: affine g has one answer, whatever the noise."""
    problem = problem_of(0, ())
    wanted = answer(name, problem)
    monkeypatch.setattr("bench.models.chunks.NUMBERS", 14)
    np.testing.assert_allclose(answer(name, problem), wanted, atol=1e-6)


def test_lime_package_shrinks_the_affine_truth(answer, problem_of):
    """The penalty of 1 alone parts it from the affine truth: it shrinks, and keeps signs."""
    problem = problem_of(0, ())
    weights = problem.model.module[1].weight[0].detach()
    wanted = problem.partition.pooled(weights * (problem.inputs - problem.baseline))
    found = answer("lime_package", problem, samples=2000)
    big = np.abs(wanted) > 0.1 * np.abs(wanted).max()
    ratio = found[big] / wanted[big]
    assert ((ratio > 0.5) & (ratio < 1.2)).all()


@pytest.mark.parametrize("draws", [1, 6])
def test_shap_with_all_masks_is_exact(draws: int, answer, problem_of):
    """All 2^5 - 2 masks: the Shapley values of F, averaged over the draws."""
    problem = problem_of(3, draws=draws)
    wanted = shapley_values(problem.table())
    np.testing.assert_allclose(answer("shap_kernel", problem), wanted, atol=1e-6)
    found = answer("shap_permutation", problem, options={"npermutations": 200, "silent": True})
    np.testing.assert_allclose(found, wanted, atol=0.03)


def test_captum_samples_towards_the_exact_values(answer, problem_of):
    """Captum's two estimators of Shapley values come near them where there is one draw."""
    problem = problem_of(3)
    wanted = shapley_values(problem.table())
    orders = {"n_samples": 300, "perturbations_per_eval": 64}
    found = answer("captum_shapley_value_sampling", problem, options=orders)
    np.testing.assert_allclose(found, wanted, atol=0.04)
    masks = {"n_samples": 2000, "perturbations_per_eval": 1000}
    found = answer("captum_kernel_shap", problem, options=masks)
    np.testing.assert_allclose(found, wanted, atol=0.06)


def test_what_both_have_agrees(answer, problem_of):
    """Captum's integral, ablation and gradients are ours; so is the example function."""
    problem = problem_of(3)
    steps = {"n_steps": 200, "method": "gausslegendre"}
    np.testing.assert_allclose(
        answer("captum_integrated_gradients", problem, options=steps),
        answer("integrated_gradients", problem, steps=200),
        atol=1e-9,
    )
    occlusion = answer("occlusion", problem)
    np.testing.assert_allclose(answer("captum_feature_ablation", problem), occlusion, atol=1e-9)
    np.testing.assert_allclose(answer("function", problem), occlusion, atol=1e-9)
    np.testing.assert_allclose(
        answer("captum_saliency", problem), answer("absolute_gradient", problem), atol=1e-9
    )
    np.testing.assert_allclose(
        answer("captum_input_x_gradient", problem),
        answer("gradient_times_input", problem),
        atol=1e-9,
    )


def test_noise_tunnel_without_noise_is_the_gradient(answer, problem_of):
    """SmoothGrad's limit case."""
    problem = problem_of(3)
    still = {"nt_type": "smoothgrad", "nt_samples": 3, "stdevs": 0.0}
    found = answer("captum_smooth_grad", problem, tunnel=still)
    np.testing.assert_allclose(found, answer("gradient", problem), atol=1e-9)
    assert not np.allclose(answer("captum_smooth_grad", problem), found)


@pytest.mark.parametrize("name", FOREIGN)
def test_images_with_references_of_their_own(name: str, answer):
    """Every adapter explains images in blocks, each instance against its own reference."""
    problem = image_problem()
    values = answer(name, problem)
    assert values.shape == (3, 16)
    assert np.isfinite(values).all()
    assert problem.model.module.training is False
    assert not any(part._forward_hooks for part in problem.model.module.modules())
    assert not any("input_ref" in vars(part) for part in problem.model.module.modules())


@pytest.mark.parametrize("name", ["captum_feature_ablation", "function", "shap_kernel"])
def test_partitions_of_their_own(name: str, answer, problem_of):
    """Where each instance is parted in its own way, each row is what it gets alone."""
    problem = problem_of(3)
    shared = problem.partition.membership
    memberships = torch.stack([shared, shared.flip(0), shared, shared.roll(2)])
    together = replace(problem, partition=Partition(memberships, tuple("abcde"), True))
    found = answer(name, together)
    for row in range(4):
        one = answer(name, alone(together, row))
        np.testing.assert_allclose(found[row], one[0], atol=1e-6)
    assert not np.allclose(found[1], answer(name, problem)[1])


def test_grad_cam_takes_the_last_convolution_or_the_named_layer(answer):
    """Layer Grad-CAM by hand: the map's channels weighted by their mean gradients."""
    pytest.importorskip("captum")
    problem = image_problem()
    kept = {}
    last = problem.model.module[2]
    handle = last.register_forward_hook(lambda _m, _i, out: kept.update(map=out))
    total = problem.output(problem.inputs, torch.arange(3)).sum()
    handle.remove()
    (slopes,) = torch.autograd.grad(total, kept["map"])
    cam = (slopes.mean((2, 3), keepdim=True) * kept["map"]).sum(1, keepdim=True).relu()
    wanted = problem.partition.pooled(cam.expand(-1, 2, -1, -1).detach() / 2)
    found = answer("captum_layer_gradcam", problem)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("name", ["captum_integrated_gradients", "shap_deep", "shap_gradient"])
def test_gradients_want_a_network(name: str, answer, problem_of):
    """A black box has none, and is told so."""
    problem = problem_of(3)
    with pytest.raises(Unsupported, match="differentiable"):
        answer(name, replace(problem, model=plain(problem.model)))


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("captum_saliency", "captum.attr"),
        ("captum_lime", "captum.attr"),
        ("shap_kernel", "shap"),
        ("shap_deep", "shap"),
        ("lime_package", "lime.lime_image"),
    ],
)
def test_absent_packages_are_named_with_the_way_out(name, module, monkeypatch, method, problem_of):
    """`Unsupported`, never an ImportError."""
    monkeypatch.setitem(sys.modules, module, None)
    extra = module.partition(".")[0]
    built = method(name)
    with pytest.raises(Unsupported, match=rf"needs {extra}: pip install 'earnest\[{extra}\]'"):
        built.explain(problem_of(3), rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("captum_saliency", {"attribution": "Salience"}),
        ("captum_saliency", {"attribution": "Lime"}),
        ("captum_lime", {"attribution": "Saliency"}),
        ("shap_kernel", {"explainer": "KernelExplain"}),
    ],
)
def test_unknown_classes_are_refused(name: str, fields: dict[str, str], answer, problem_of):
    """The value met and the value wanted."""
    with pytest.raises(ValueError, match=f"{next(iter(fields.values()))!r}: wanted"):
        answer(name, problem_of(3), **fields)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("function", {"function": "no_colon"}),
        ("function", {"function": "module:"}),
        ("shap_deep", {"explainer": "TreeExplainer"}),
        ("lime_package", {"samples": 1}),
        ("lime_package", {"width": 0.0}),
    ],
)
def test_bad_parameters(name: str, fields: dict[str, object]):
    """Refused before anything runs."""
    with pytest.raises(ConfigError, match="wanted"):
        build({**SHELF.config("method/attribution", name), **fields}, name)


def test_a_users_function_is_one_yaml_away(monkeypatch, answer, problem_of):
    """It gets plain arrays, g of every class, a seeded global state, and copies to spoil."""
    problem = problem_of(3, draws=4)
    before = problem.inputs.clone()
    seen = {}

    def mine(predict, inputs, targets, baseline, feature_of):
        seen.update(g=predict(inputs), drawn=np.random.rand())  # noqa: NPY002
        seen.update(targets=targets, baseline=baseline, feature_of=feature_of)
        inputs[:] = 0
        return np.arange(20.0).reshape(4, 5)

    module = types.ModuleType("theirs")
    module.mine = mine
    module.wrong = lambda *_: np.zeros((5, 4))
    monkeypatch.setitem(sys.modules, "theirs", module)
    found = answer("function", problem, function="theirs:mine")
    np.testing.assert_array_equal(found, np.arange(20.0).reshape(4, 5))
    np.testing.assert_allclose(seen["g"].sum(1), 1)
    np.testing.assert_array_equal(seen["g"].argmax(1), seen["targets"])
    np.testing.assert_allclose(seen["baseline"], problem.reference.draws[0].mean(0).expand(4, 7))
    np.testing.assert_array_equal(seen["feature_of"], problem.partition.membership.expand(4, 7))
    assert torch.equal(problem.inputs, before)
    first = seen["drawn"]
    answer("function", problem, function="theirs:mine")
    assert seen["drawn"] == first
    with pytest.raises(ValueError, match=r"gave the shape \(5, 4\), wanted \(4, 5\)"):
        answer("function", problem, function="theirs:wrong")


def test_global_states_come_back_even_from_a_crash(capsys):
    """Torch's, numpy's and Python's; warnings and progress stay out of sight."""
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002

    def crash():
        with seeded(np.random.default_rng(0)):
            warnings.warn("unseen", stacklevel=1)
            print("unseen", file=sys.stderr)
            torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
            raise RuntimeError

    with pytest.raises(RuntimeError):
        crash()
    assert torch.equal(states[0], torch.get_rng_state())
    np.testing.assert_array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002
    assert states[2] == random.getstate()
    assert capsys.readouterr().err == ""
