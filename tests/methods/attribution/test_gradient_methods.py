"""The gradient family against slow plain oracles, limit cases and sums that must come out."""

import copy
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional

from bench.conformance import CHECKS, NotApplicable, Subject, leaves
from bench.models import chunks
from bench.models.network import CNN, MLP, Network, initial
from bench.probes import plain
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference, reference
from bench.tasks.attribution import AttributionProblem, AttributionTask, predicted
from bench.tasks.base import Unsupported

SMOOTH = [
    "smooth_grad",
    "smooth_grad_absolute",
    "smooth_grad_times_difference",
    "smooth_grad_squared",
    "var_grad",
]
CAMS = ["grad_cam", "hires_cam", "layer_cam", "grad_cam_plus_plus"]
GUIDED = [
    "guided_backprop",
    "guided_backprop_absolute",
    "deconvnet",
    "deconvnet_absolute",
]
LRPS = ["lrp_epsilon_plus", "lrp_epsilon_alpha2_beta1", "lrp_epsilon_gamma_box"]
PATHS = ["integrated_gradients", "blur_integrated_gradients", "guided_integrated_gradients"]
OURS = [*SMOOTH, *CAMS, *GUIDED, *LRPS, *PATHS, "gradient_shap", "deep_lift"]


def problem_of(
    net: nn.Module, n_classes: int, shape: tuple[int, ...] = (6,), draws: int = 1, g: str = "logit"
) -> AttributionProblem:
    """Each position a feature (a pixel's channels one), in float64, four instances."""
    rng = np.random.default_rng(2)
    model = Network(net.double().eval(), n_classes)
    inputs = torch.from_numpy(rng.normal(size=(4, *shape)))
    reference = Reference(torch.from_numpy(rng.normal(size=(1, draws, *shape))))
    space = shape[1:] if len(shape) == 3 else shape
    p = int(np.prod(space))
    membership = torch.arange(p).view(space).expand(shape).contiguous()
    partition = Partition(membership, tuple(map(str, range(p))))
    kind = g if n_classes else "output"
    targets = predicted(model, inputs)
    return AttributionProblem(model, inputs, targets, partition, reference, kind)


def mlp(outputs: int, activation: str = "relu") -> nn.Module:
    net = initial(MLP((9, 7), activation), torch.Size([6]), outputs, rng=np.random.default_rng(0))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    return net


def cnn(outputs: int, shape: tuple[int, ...] = (2, 6, 6)) -> nn.Module:
    return initial(CNN((3, 4), 8), torch.Size(shape), outputs, rng=np.random.default_rng(0))


class Residual(nn.Module):
    """Batch norm, a ReLU module used twice and in place, functions, a sum and a gate.

    `stated`: the second ReLU's output is dropped, its input is what goes on.
    """

    def __init__(self, gated: bool = True, stated: bool = True) -> None:
        super().__init__()
        self.stated = stated
        torch.manual_seed(0)
        self.first, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.second, self.other = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu, self.gate, self.last = nn.ReLU(inplace=True), gated, nn.Linear(4, 3)
        for norm in (self.norm, self.other):
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.normal_(norm.bias)
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        start = self.relu(self.norm(self.first(inputs)))
        inner = self.other(self.second(start))
        inner += start
        if self.stated:
            self.relu(inner)
        else:
            inner = self.relu(inner)
        hidden = functional.max_pool2d(inner, 2)
        if self.gate:
            hidden = hidden * torch.sigmoid(hidden.mean((2, 3), keepdim=True))
        return self.last(hidden.mean((2, 3)))


def ends(problem: AttributionProblem) -> np.ndarray:
    """F(nothing deleted) - F(everything deleted)."""
    values = problem.value(np.array([[False] * problem.p, [True] * problem.p]))
    return values[:, 0] - values[:, 1]


# Sampled gradients


def test_smooth_grad_without_noise(answer):
    """Level 0: the gradient, its absolute value, times x - b, its square; no variance."""
    problem = problem_of(mlp(3, "tanh"), 3, draws=3)
    gradient = answer("gradient", problem)
    expected = {
        "smooth_grad": gradient,
        "smooth_grad_absolute": np.abs(gradient),
        "smooth_grad_times_difference": answer("gradient_times_difference", problem),
        "smooth_grad_squared": gradient**2,
        "var_grad": 0 * gradient,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(answer(name, problem, level=0.0), values, atol=1e-12)


def test_smooth_grad_of_a_square(answer):
    """g = sum x^2 has the gradient 2x: mean 2x, variance 4 s^2, mean square their sum, s being
    the level times the instance's range."""

    class Square(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Parameter(torch.ones(1))

        def forward(self, inputs: Tensor) -> Tensor:
            return self.one * (inputs**2).sum(1, keepdim=True)

    problem, many = problem_of(Square(), 0), {"samples": 40_000, "level": 0.2}
    x = problem.inputs.numpy()
    variance = 4 * (0.2 * np.ptp(x, axis=1, keepdims=True)) ** 2 * np.ones_like(x)
    np.testing.assert_allclose(answer("smooth_grad", problem, **many), 2 * x, atol=0.03)
    np.testing.assert_allclose(answer("var_grad", problem, **many), variance, rtol=0.05)
    squared = answer("smooth_grad_squared", problem, **many)
    np.testing.assert_allclose(squared, 4 * x**2 + variance, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("own", [False, True])
def test_gradient_shap_is_expected_gradients(own: bool, answer):
    """Its mean over many samples is that of integrated gradients over all draws, also where
    each instance has draws of its own; noise is drawn with its deviation."""
    problem = problem_of(mlp(3, "tanh"), 3, draws=4)
    if own:
        draws = torch.from_numpy(np.random.default_rng(5).normal(size=(4, 4, 6)))
        problem = replace(problem, reference=Reference(draws))
    exact = answer("integrated_gradients", problem)
    found = answer("gradient_shap", problem, samples=40_000)
    np.testing.assert_allclose(found, exact, atol=0.03 * np.abs(exact).max())
    noisy = answer("gradient_shap", problem, samples=40_000, noise=1e-3)
    np.testing.assert_allclose(noisy, found, atol=0.02 * np.abs(exact).max())
    assert (noisy != found).any()


@pytest.mark.parametrize("name", ["integrated_gradients", "smooth_grad", "gradient_shap"])
@pytest.mark.parametrize("shape", [(6,), (2, 6, 6)])
def test_blocks_change_nothing(
    name: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch, answer
):
    """One instance in a block, and all in one: the same answer."""
    problem = problem_of(mlp(3) if len(shape) == 1 else cnn(3), 3, shape, draws=2)
    whole = answer(name, problem)
    monkeypatch.setattr(chunks, "NUMBERS", 1)
    np.testing.assert_allclose(answer(name, problem), whole, atol=1e-12)


# Paths


def gradient_at(problem: AttributionProblem, point: Tensor, row: int) -> Tensor:
    x = point.clone().requires_grad_()
    return torch.autograd.grad(problem.output(x[None], torch.tensor([row])).sum(), x)[0]


def blurred_by(problem: AttributionProblem, width: float) -> Reference:
    images = problem.inputs
    return reference(f"blur {width}", images, images, 1, rng=np.random.default_rng(0))


def test_blur_by_hand(answer):
    """scipy's Gaussian of each width, one image and one step at a time; channels aren't mixed."""
    problem = problem_of(cnn(3, (2, 6, 5)), 3, (2, 6, 5))
    found = answer("blur_integrated_gradients", problem, widest=0.3, steps=7)
    widths = [1.5 * (1 - k / 7) for k in range(8)]
    for row, x in enumerate(problem.inputs.numpy()):
        total = torch.zeros(2, 6, 5, dtype=torch.float64)
        images = [
            torch.from_numpy(gaussian_filter(x, (0, width, width), mode="nearest", truncate=4))
            for width in widths
        ]
        for here, there in pairwise(images):
            total += (there - here) * gradient_at(problem, (here + there) / 2, row)
        np.testing.assert_allclose(found[row], total.sum(0).flatten(), atol=1e-12)


def test_blur_is_complete_and_names_its_baseline(method):
    """It sums to g(x) - g(blurred); blurred is the reference of the same width."""
    problem = problem_of(cnn(3), 3, (2, 6, 6))
    blurred = blurred_by(problem, 1.5)
    built = method("blur_integrated_gradients", steps=500)
    found = built.explain(problem, rng=np.random.default_rng(0))
    torch.testing.assert_close(found.baseline, blurred.draws[:, 0])
    ended = ends(replace(problem, reference=blurred))
    np.testing.assert_allclose(found.values.sum(1), ended, atol=0.01 * np.abs(ended).max())


def test_blur_of_affine_outputs_and_flat_images(answer):
    """Limit cases: w (x - blurred) at any number of steps; nothing where blurring changes none."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(72, 1))
    problem = problem_of(net, 0, (2, 6, 6))
    blurred = blurred_by(problem, 1.5)
    wanted = answer("gradient_times_difference", replace(problem, reference=blurred))
    found = answer("blur_integrated_gradients", problem, steps=1)
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    flat = replace(problem, inputs=torch.ones_like(problem.inputs))
    np.testing.assert_allclose(answer("blur_integrated_gradients", flat), 0, atol=1e-12)
    with pytest.raises(Unsupported, match="no neighbours"):
        answer("blur_integrated_gradients", problem_of(mlp(3), 3))


def literal_guided(
    problem: AttributionProblem, row: int, start: Tensor, steps: int, share: float, anchors: int
) -> np.ndarray:
    """One instance, one position at a time, lists and floats."""
    x, r = problem.inputs[row].tolist(), start.tolist()
    d, at, found = len(x), list(r), [0.0] * len(x)
    for anchor in range(1, anchors + 2):
        goal = [b + (a - b) * anchor / (anchors + 1) for a, b in zip(x, r, strict=True)]
        whole = sum(abs(a - b) for a, b in zip(goal, at, strict=True))
        each = max(1, steps // (anchors + 1))
        for step in range(1, each + 1):
            wanted = whole * (1 - step / each)
            while True:
                slope = gradient_at(problem, torch.tensor(at, dtype=torch.float64), row).tolist()
                free = [i for i in range(d) if abs(goal[i] - at[i]) > 1e-12]
                least = sorted(free, key=lambda i: abs(slope[i]))[: max(1, round(share * d))]
                far = sum(abs(goal[i] - at[i]) for i in free) - wanted
                reach = sum(abs(goal[i] - at[i]) for i in least)
                part = min(1.0, far / reach) if reach else 0.0
                for i in least:
                    change = part * (goal[i] - at[i])
                    found[i] += change * slope[i]
                    at[i] += change
                if reach >= far - 1e-12:
                    break
    return np.array(found)


@pytest.mark.parametrize(("share", "anchors"), [(0.2, 0), (0.5, 2), (0.34, 4), (1.0, 0)])
def test_guided_path_by_hand(share: float, anchors: int, answer):
    """A plain search for the path, averaged over the draws."""
    problem = problem_of(mlp(3, "tanh"), 3, draws=2)
    fields = {"steps": 15, "share": share, "anchors": anchors}
    found = answer("guided_integrated_gradients", problem, **fields)
    for row in range(4):
        each = [literal_guided(problem, row, r, **fields) for r in problem.reference.draws[0]]
        np.testing.assert_allclose(found[row], np.mean(each, axis=0), atol=1e-9)


def test_guided_path_that_is_straight(answer):
    """Limit cases: all positions at once, or an anchor a step, are integrated gradients."""
    problem = problem_of(mlp(3, "tanh"), 3, draws=2)
    straight = answer("integrated_gradients", problem, steps=200)
    for fields in ({"share": 1.0, "anchors": 0}, {"share": 0.2, "anchors": 399}):
        found = answer("guided_integrated_gradients", problem, steps=400, **fields)
        np.testing.assert_allclose(found, straight, atol=0.03 * np.abs(straight).max())


@pytest.mark.parametrize("anchors", [0, 20])
def test_guided_path_is_complete(anchors: int, answer):
    """It sums to F(nothing) - F(everything), and is w (x - r) where g is affine."""
    problem = problem_of(mlp(3, "tanh"), 3, draws=2)
    found = answer("guided_integrated_gradients", problem, steps=1000, anchors=anchors)
    wanted = ends(problem)
    np.testing.assert_allclose(found.sum(1), wanted, atol=0.03 * np.abs(wanted).max())
    affine = problem_of(nn.Sequential(nn.Flatten(), nn.Linear(6, 1)), 0, draws=2)
    np.testing.assert_allclose(
        answer("guided_integrated_gradients", affine, anchors=anchors),
        answer("gradient_times_difference", affine),
        atol=1e-9,
    )


def test_guided_path_takes_the_easy_way_first(answer):
    """g = x0 x1 from (1, 0) to (3, 2), where straight is (2, 4): x0, whose slope x1 is 0 at
    first, goes the whole way before x1 moves, which then gets all."""

    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Parameter(torch.ones(1))

        def forward(self, inputs: Tensor) -> Tensor:
            return self.one * inputs.prod(1, keepdim=True)

    problem = problem_of(Product(), 0, (2,))
    inputs = torch.tensor([[3.0, 2.0]], dtype=torch.float64).expand(4, -1)
    start = Reference(torch.tensor([[[1.0, 0.0]]], dtype=torch.float64))
    problem = replace(problem, inputs=inputs, reference=start)
    free = answer("guided_integrated_gradients", problem, anchors=0)
    np.testing.assert_allclose(free, [[0.0, 6.0]] * 4, atol=1e-9)
    straight = answer("integrated_gradients", problem)
    np.testing.assert_allclose(straight, [[2.0, 4.0]] * 4, atol=1e-9)


# DeepLIFT


def literal_rescale(net: nn.Sequential, x: Tensor, r: Tensor, top: Tensor) -> Tensor:
    """(x - r) m of linear and elementwise layers, one instance, multipliers by hand."""
    befores, afters = [r], [x]
    for layer in net:
        befores.append(layer(befores[-1][None])[0])
        afters.append(layer(afters[-1][None])[0])
    m = top
    for i, layer in reversed(list(enumerate(net))):
        if isinstance(layer, nn.Linear):
            m = m @ layer.weight
        elif not isinstance(layer, nn.Flatten):
            m = m * (afters[i + 1] - befores[i + 1]) / (afters[i] - befores[i])
    return ((x - r) * m).detach()


@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus", "gelu"])
@pytest.mark.parametrize("g", ["logit", "probability"])
def test_deep_lift_by_hand(activation: str, g: str, answer):
    """The multipliers of a chain, layer by layer; of a probability of two classes, too: its
    last step is one more function of one number."""
    problem = problem_of(mlp(2, activation), 2, draws=3, g=g)
    net, found = problem.model.module, answer("deep_lift", problem)
    for row, x in enumerate(problem.inputs):
        own, total = int(problem.targets[row]), torch.zeros(6, dtype=torch.float64)
        for r in problem.reference.draws[0]:
            logits = [float(z[own] - z[1 - own]) for z in (net(x[None])[0], net(r[None])[0])]
            top = torch.zeros(2, dtype=torch.float64)
            top[own], top[1 - own] = 1, -1
            if g == "probability":
                high, low = (1 / (1 + np.exp(-z)) for z in logits)
                top *= (high - low) / (logits[0] - logits[1])
            total += literal_rescale(net, x, r, top) / 3
        np.testing.assert_allclose(found[row], total, atol=1e-9)


@pytest.mark.parametrize("g", ["logit", "probability", "margin"])
@pytest.mark.parametrize("net", ["mlp", "cnn", "residual"])
@pytest.mark.parametrize("own", [False, True])
def test_deep_lift_is_complete(net: str, g: str, own: bool, answer):
    """Contributions sum to F(nothing) - F(everything): max pooling, products, batch norms,
    functions in place and layers used twice among them, draws shared or not."""
    module = {"mlp": mlp(3, "tanh"), "cnn": cnn(3), "residual": Residual()}[net]
    shape = (6,) if net == "mlp" else (2, 6, 6)
    problem = problem_of(module, 3, shape, draws=2, g=g)
    if own:
        draws = torch.from_numpy(np.random.default_rng(5).normal(size=(4, 2, *shape)))
        problem = replace(problem, reference=Reference(draws))
    found = answer("deep_lift", problem)
    np.testing.assert_allclose(found.sum(1), ends(problem), atol=1e-9)


def test_deep_lift_near_the_reference(answer):
    """A draw next to the instance: the gradient times the difference; at it: 0."""
    problem = problem_of(cnn(3), 3, (2, 6, 6))
    for distance in (1e-5, 0.0):
        near = Reference(problem.inputs[:, None] + distance)
        close = replace(problem, reference=near)
        np.testing.assert_allclose(
            answer("deep_lift", close), answer("gradient_times_difference", close), atol=1e-8
        )


def test_deep_lift_equals_captums(answer):
    """On a plain ReLU network of one output, zeros for reference."""
    captum = pytest.importorskip("captum.attr")
    problem = problem_of(mlp(1), 0)
    zero = replace(problem, reference=Reference(torch.zeros(1, 1, 6, dtype=torch.float64)))
    net = copy.deepcopy(problem.model.module)
    peer = captum.DeepLift(net).attribute(zero.inputs.clone(), torch.zeros_like(zero.inputs))
    np.testing.assert_allclose(answer("deep_lift", zero), peer.detach(), atol=1e-6)


def test_deep_lift_says_what_it_cannot_do(answer):
    """A function without a rule makes the sum come out wrong, which is noticed."""
    net = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3))
    with pytest.raises(Unsupported, match="no rule"):
        answer("deep_lift", problem_of(net, 3))


# Guided backpropagation


@pytest.mark.parametrize("name", ["guided_backprop", "deconvnet"])
def test_guided_by_hand(name: str, answer):
    """Two ReLU layers, a row at a time: which gradients pass."""
    problem = problem_of(mlp(1), 0)
    one, two, three = (layer for layer in problem.model.module if isinstance(layer, nn.Linear))
    for row, x in enumerate(problem.inputs):
        first = one(x)
        second = two(first.relu())
        back = three.weight[0].clamp(min=0)
        back = back * (second > 0) if name == "guided_backprop" else back
        back = (back @ two.weight).clamp(min=0)
        back = back * (first > 0) if name == "guided_backprop" else back
        wanted = (back @ one.weight).detach()
        np.testing.assert_allclose(answer(name, problem)[row], wanted, atol=1e-12)
        absolute = answer(f"{name}_absolute", problem)[row]
        np.testing.assert_allclose(absolute, wanted.abs(), atol=1e-12)


@pytest.mark.parametrize("name", ["guided_backprop", "deconvnet"])
def test_guided_where_nothing_is_held_back(name: str, answer):
    """All weights and biases positive, inputs too: every gradient passes, it is the gradient."""
    net = mlp(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
    problem = problem_of(net, 0)
    problem = replace(problem, inputs=problem.inputs.abs())
    np.testing.assert_allclose(answer(name, problem), answer("gradient", problem), atol=1e-12)


def test_guided_in_place_and_reused(answer):
    """A ReLU used twice, in place and by statement, is the same as separate ones."""

    class Plain(Residual):
        def forward(self, inputs: Tensor) -> Tensor:
            start = torch.relu(self.norm(self.first(inputs)))
            hidden = torch.relu(self.other(self.second(start)) + start)
            return self.last(functional.max_pool2d(hidden, 2).mean((2, 3)))

    shape = (2, 6, 6)
    for name in GUIDED:
        one = answer(name, problem_of(Residual(gated=False), 3, shape))
        other = answer(name, problem_of(Plain(gated=False), 3, shape))
        np.testing.assert_allclose(one, other, atol=1e-12)


# Class activation maps


@pytest.mark.parametrize("name", CAMS)
def test_cam_by_hand(name: str, answer):
    """The last ReLU of the convolutions, split off: maps, weights and interpolation, a row and
    a channel at a time."""
    problem = problem_of(cnn(3), 3, (2, 6, 6))
    layers = list(problem.model.module)
    last = max(i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)) + 2
    lower, upper = nn.Sequential(*layers[:last]), nn.Sequential(*layers[last:])
    found = answer(name, problem)
    for row, x in enumerate(problem.inputs):
        maps = lower(x[None]).detach().requires_grad_()
        z = upper(maps)[0]
        c = int(problem.targets[row])
        others = torch.cat([z[:c], z[c + 1 :]])
        slopes = torch.autograd.grad(z[c] - others.logsumexp(0), maps)[0][0]
        total = torch.zeros(6, 6, dtype=torch.float64)
        for a, s in zip(maps.detach()[0], slopes, strict=True):
            square, cube = s**2, s**3
            share = torch.nan_to_num(square / (2 * square + a.sum() * cube))
            weight = {
                "grad_cam": s.mean(),
                "hires_cam": s,
                "layer_cam": s.clamp(min=0),
                "grad_cam_plus_plus": (share * s.clamp(min=0)).mean(),
            }[name]
            total += weight * a
        # The map is as large as the input here: nothing is stretched.
        np.testing.assert_allclose(found[row], total.clamp(min=0).flatten(), atol=1e-9)


def test_cam_is_stretched(answer):
    """Behind a stride of 2 a 3x3 map is drawn bilinearly on 6x6 pixels; a residual network's is
    that of its last sum."""
    net = nn.Sequential(nn.Conv2d(2, 1, 2, 2), nn.Flatten(), nn.Linear(9, 1)).double()
    problem = problem_of(net, 0, (2, 6, 6))
    maps = net[0](problem.inputs).detach()
    drawn = net[2].weight[0].mean().detach() * maps
    wanted = functional.interpolate(drawn.clamp(min=0), (6, 6), mode="bilinear").flatten(1)
    np.testing.assert_allclose(answer("grad_cam", problem), wanted, atol=1e-9)


def test_cam_of_a_network_without_convolutions(answer):
    """A reason, not a crash; a map of one pixel shows nothing, either."""
    with pytest.raises(Unsupported, match="convolutions"):
        answer("grad_cam", problem_of(mlp(3), 3))
    net = nn.Sequential(nn.Conv2d(2, 3, 6), nn.Flatten())
    with pytest.raises(Unsupported, match="1x1"):
        answer("grad_cam", problem_of(net, 3, (2, 6, 6)))


class Images(AttributionTask):
    """The task with images and a convolutional network for its tiny problem."""

    def tiny(self) -> AttributionProblem:
        problem = problem_of(cnn(3).float(), 3, (2, 6, 6), g="probability")
        model = Network(cnn(3), 3)
        inputs = problem.inputs.float()
        zero = Reference(torch.zeros(1, 1, 2, 6, 6))
        return AttributionProblem(
            model, inputs, predicted(model, inputs), problem.partition, zero, "probability"
        )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [*CAMS, *GUIDED, *LRPS, *PATHS[1:], "deep_lift"])
def test_promises_on_images(name: str, check, method):
    """The conformance checks where the networks have convolutions."""
    if name.startswith("lrp"):
        pytest.importorskip("zennit")
    try:
        check(Subject(method(name), Images()))
    except NotApplicable as reason:
        pytest.skip(str(reason))


# LRP


@pytest.mark.parametrize("name", LRPS)
def test_lrp_of_a_relu_network_is_gradient_times_input(name: str, answer):
    """The epsilon rule, of a single logit and of an output; class 0 has minus the logit."""
    for net, classes in ((mlp(1), 2), (mlp(1), 0)):
        for module in net.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        problem = problem_of(net, classes)
        wanted = answer("gradient_times_input", problem)
        np.testing.assert_allclose(answer(name, problem), wanted, atol=1e-4)


@pytest.mark.parametrize("name", LRPS)
@pytest.mark.parametrize("net", ["cnn", "residual"])
def test_lrp_keeps_relevance(name: str, net: str, answer):
    """Without biases and batch norms' shifts it sums to the target's own output."""
    module = cnn(3) if net == "cnn" else Residual(gated=False, stated=False)
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            nn.init.zeros_(part.bias)
        if isinstance(part, nn.BatchNorm2d):
            nn.init.zeros_(part.running_mean)
    problem = problem_of(module, 3, (2, 6, 6))
    margins = problem.model.margins(problem.inputs).gather(1, problem.targets[:, None])[:, 0]
    found = answer(name, problem)
    np.testing.assert_allclose(found.sum(1), margins.detach(), rtol=1e-3, atol=1e-5)


def test_lrp_of_a_resnet_equals_zennits(answer):
    """Sums and batch norms as zennit treats them in torchvision's own residual networks."""
    zennit = pytest.importorskip("zennit")
    from torchvision.models.resnet import BasicBlock, ResNet
    from zennit import attribution, composites
    from zennit.torchvision import ResNetCanonizer

    assert zennit
    torch.manual_seed(0)
    net = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=3)
    problem = problem_of(net, 3, (3, 32, 32))
    composite = composites.EpsilonPlus(canonizers=[ResNetCanonizer()])
    start = functional.one_hot(problem.targets, 3)
    with attribution.Gradient(copy.deepcopy(net), composite) as attributor:
        _, relevance = attributor(problem.inputs.clone(), lambda output: output * start)
    found = answer("lrp_epsilon_plus", problem)
    wanted = problem.partition.pooled(relevance)
    np.testing.assert_allclose(found, wanted, atol=2e-3 * np.abs(wanted).max())


def test_lrp_says_what_it_cannot_do(answer):
    """A layer or a product without a rule; a mask of zennit's absence is its extra's name."""
    pytest.importorskip("zennit")
    net = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3))
    with pytest.raises(Unsupported, match="LayerNorm"):
        answer("lrp_epsilon_plus", problem_of(net, 3))
    with pytest.raises(Unsupported, match="product"):
        answer("lrp_epsilon_plus", problem_of(Residual(), 3, (2, 6, 6)))


def test_lrp_without_zennit(monkeypatch: pytest.MonkeyPatch, method):
    """The reason names the extra."""
    monkeypatch.setitem(__import__("sys").modules, "zennit.types", None)
    with pytest.raises(Unsupported, match=r"earnest\[lrp\]"):
        method("lrp_epsilon_plus").explain(problem_of(mlp(3), 3), rng=np.random.default_rng(0))


# All of them


@pytest.mark.parametrize("name", OURS)
def test_nothing_is_left_behind(name: str, answer):
    """A residual network's weights, statistics, hooks and flags are as before, whether the
    method answers or not; its parameters need no gradients."""
    module = Residual(gated=not name.startswith("lrp")).requires_grad_(False)
    problem = problem_of(module, 3, (2, 6, 6))
    before = leaves(problem)
    assert np.isfinite(answer(name, problem)).all()
    assert leaves(problem) == before


@pytest.mark.parametrize("name", [*CAMS, *LRPS, *PATHS, "deep_lift", "guided_backprop"])
def test_black_boxes_and_labels(name: str, answer):
    """A reason where there is nothing to differentiate."""
    problem = problem_of(cnn(3), 3, (2, 6, 6))
    blind = replace(problem, model=plain(problem.model))
    with pytest.raises(Unsupported, match="differentiable"):
        answer(name, blind)
    if not name.startswith("lrp"):
        with pytest.raises(Unsupported, match="label"):
            answer(name, replace(problem, g="label"))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("smooth_grad", {"kind": "median"}),
        ("smooth_grad", {"samples": 0}),
        ("smooth_grad", {"level": -0.1}),
        ("gradient_shap", {"samples": 0}),
        ("gradient_shap", {"noise": -1.0}),
        ("blur_integrated_gradients", {"widest": 0.0}),
        ("blur_integrated_gradients", {"steps": 0}),
        ("guided_integrated_gradients", {"steps": 0}),
        ("guided_integrated_gradients", {"share": 0.0}),
        ("guided_integrated_gradients", {"anchors": -1}),
        ("guided_backprop", {"rule": "none"}),
        ("grad_cam", {"weights": "none"}),
        ("lrp_epsilon_plus", {"composite": "none"}),
        ("lrp_epsilon_plus", {"epsilon": 0.0}),
    ],
)
def test_impossible_numbers(name: str, fields: dict[str, Any], method):
    """Refused when the method is made."""
    with pytest.raises(Exception, match="wanted|is no"):
        method(name, **fields)
