"""Certificates against full tables: no size, and no order, exceeds its bound."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bench.models.network import Network
from bench.setfunction import certificate
from bench.setfunction.certificate import Certificate, Effort, certify, instance, search
from bench.setfunction.chain import Chain, read_chain
from bench.setfunction.ideal import exact_ideal
from bench.setfunction.outcome import G
from bench.setfunction.partition import Partition
from bench.setfunction.reference import Reference
from bench.tasks.attribution import Attribution, AttributionProblem, predicted
from bench.tasks.attribution_scores import scores_of
from bench.tasks.attribution_truth import hold


def problem(
    p: int,
    seed: int,
    *,
    hidden: tuple[int, ...] = (8, 8),
    outputs: int = 2,
    n: int = 1,
    g: G = "probability",
) -> AttributionProblem:
    """Random instances of a random network whose values are far from linear."""
    torch.manual_seed(seed)
    widths = (p, *hidden, outputs)
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        with torch.no_grad():
            layers[-2].weight.mul_(3)
    model = Network(nn.Sequential(*layers[:-1]).eval(), outputs)
    x = torch.randn(n, p)
    columns = Partition(torch.arange(p), tuple(map(str, range(p))))
    reference = Reference(torch.randn(1, 1, p) / 4)
    return AttributionProblem(model, x, predicted(model, x), columns, reference, g)


def certified(asked: AttributionProblem, effort: Effort) -> Certificate:
    best = exact_ideal(asked.table())
    found = certify(
        asked.model.module,
        asked.inputs,
        asked.targets,
        asked.reference,
        asked.partition,
        asked.g,
        best.orders,
        best.joint,
        effort,
    )
    assert isinstance(found, Certificate)
    return found


def check(asked: AttributionProblem, effort: Effort) -> Certificate:
    """Bounds hold for the exact optima of the full table; closed ones are as tight as said."""
    found = certified(asked, effort)
    table = asked.table()
    ideal = exact_ideal(table)
    assert (found.joint >= ideal.joint).all()
    assert (found.least <= ideal.least).all()
    assert (found.most >= ideal.most).all()
    sizes = np.bitwise_count(np.arange(2**asked.p))
    h = table[:, ::-1] - table
    weights = np.ones(asked.p + 1) / asked.p
    weights[[0, -1]] /= 2
    scale = np.abs(table).max(axis=1)
    for bound, values in ((found.joint, h), (found.most, table), (-found.least, -table)):
        by_size = np.stack([values[:, sizes == k].max(axis=1) for k in range(asked.p + 1)], 1)
        assert (bound >= by_size @ weights).all()
        slack = (
            effort.eps * np.maximum(ideal.joint, 1e-3 * scale) + 2 * certificate.ROUNDING * scale
        )
        assert (bound <= by_size @ weights + slack)[found.closed].all()
    return found


@pytest.mark.parametrize("seed", range(200))
def test_bounds_hold_on_random_networks(monkeypatch: pytest.MonkeyPatch, seed: int):
    """200 networks, 6 to 12 features, two to four classes, trees down to single sets."""
    monkeypatch.setattr(certificate, "LEAF", seed % 3)
    p, outputs = 6 + seed % 7, 2 + seed % 3
    hidden = ((8, 8), (10,), (6, 6, 6))[seed // 3 % 3]
    check(problem(p, seed, hidden=hidden, outputs=outputs), Effort(eps=1e-2, products=2e7))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_bounds_hold_on_larger_random_networks(seed: int):
    """200 networks with 13 to 16 features."""
    check(problem(13 + seed % 4, seed, hidden=(16, 16)), Effort())


@pytest.mark.parametrize("g", ["probability", "logit", "margin", "label"])
def test_bounds_hold_for_each_g(monkeypatch: pytest.MonkeyPatch, g: G):
    """All are functions of the margins that rise in each."""
    monkeypatch.setattr(certificate, "LEAF", 1)
    for seed in range(4):
        check(problem(8, seed, outputs=3, g=g), Effort(eps=1e-2))


@pytest.mark.parametrize("products", [6000.0, 1e5, 1e6, 1e7])
def test_bounds_hold_whenever_the_search_stops(monkeypatch: pytest.MonkeyPatch, products: float):
    """At the root, in the middle, and closed; more effort never gives a worse bound."""
    monkeypatch.setattr(certificate, "LEAF", 1)
    asked = problem(10, 5, hidden=(16, 16), n=3)
    found = check(asked, Effort(eps=1e-4, products=products))
    more = certified(asked, Effort(eps=1e-4, products=10 * products))
    assert (more.joint <= found.joint + 1e-12).all()
    assert found.closed.all() == (products >= 1e6)


def test_the_same_effort_gives_the_same_answer():
    """Without a time limit nothing depends on the machine's speed."""
    asked = problem(12, 3, n=2)
    one, two = (certified(asked, Effort(products=1e6)) for _ in range(2))
    np.testing.assert_array_equal(one.joint, two.joint)
    np.testing.assert_array_equal(one.nodes, two.nodes)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_few_features(p: int):
    """Where the tree is a single leaf."""
    assert check(problem(p, 0, n=2), Effort()).closed.all()


def test_a_constant_network_is_closed_at_once():
    """Its J* is 0, and II undefined: the bracket says so."""
    asked = problem(9, 0)
    with torch.no_grad():
        for parameter in asked.model.module.parameters():
            parameter.zero_()
    found = certified(asked, Effort())
    assert found.closed.all()
    assert abs(found.joint[0]) < 1e-4
    assert np.isnan(found.bracket(np.zeros(1), np.zeros(1))).all()


def test_a_single_logit_stands_for_two_classes():
    """One output z is read as the margins (0, z), for either class."""
    asked = problem(8, 1, outputs=1)
    model = Network(asked.model.module, 2)
    for target in (0, 1):
        check(replace(asked, model=model, targets=torch.tensor([target])), Effort(eps=1e-2))


def test_a_regression_is_bounded():
    """g = output."""
    asked = problem(8, 1, outputs=1)
    asked = replace(asked, model=Network(asked.model.module, 0), g="output")
    check(replace(asked, targets=torch.tensor([0])), Effort(eps=1e-2))


def test_convolutions(monkeypatch: pytest.MonkeyPatch):
    """A network with pooling, pixels in blocks, a tree down to pairs of features."""
    monkeypatch.setattr(certificate, "LEAF", 2)
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 8),
        nn.ReLU(),
        nn.Linear(8, 3),
    ).eval()
    with torch.no_grad():
        for layer in module:
            if hasattr(layer, "weight"):
                layer.weight.mul_(2)
    model = Network(module, 3)
    x = torch.randn(2, 1, 6, 6)
    rows = torch.arange(6)[:, None] // 2
    membership = (rows * 3 + torch.arange(6) // 2)[None]
    asked = AttributionProblem(
        model,
        x,
        predicted(model, x),
        Partition(membership, tuple("abcdefghi")),
        Reference(torch.randn(2, 1, 1, 6, 6) / 4),
    )
    check(asked, Effort(eps=1e-2))


@pytest.mark.slow
def test_bounds_hold_for_twenty_features():
    """p = 20, 20 points of a random network."""
    check(problem(20, 0, hidden=(32, 32), n=20), Effort())


def test_brackets():
    """[J / J*'s bound, J / best] for J >= 0, the ends swapped below; width that of the best."""
    nothing = np.zeros(2)
    found = Certificate(
        np.array([0.5, 0.5]), nothing, nothing, nothing == 0, nothing.astype(int), 1
    )
    low, high = found.bracket(np.array([0.2, -0.2]), np.array([0.4, 0.4]))
    np.testing.assert_allclose(low, [0.4, -0.5])
    np.testing.assert_allclose(high, [0.5, -0.4])
    np.testing.assert_allclose(found.width(np.array([0.4, 0.4])), [0.2, 0.2])


def test_no_certificate_says_why():
    """Several draws and other modules are no chain of one input."""
    asked = problem(5, 0)
    draws = Reference(torch.zeros(1, 3, 5))
    rest = (asked.partition, asked.g, np.zeros((1, 3, 5), dtype=int), np.ones(1), Effort())
    found = certify(asked.model.module, asked.inputs, asked.targets, draws, *rest)
    assert isinstance(found, str)
    assert "draw" in found
    found = certify(None, asked.inputs, asked.targets, asked.reference, *rest)
    assert isinstance(found, str)


def test_scores_report_the_bracket():
    """Beyond `exact_up_to` a record holds between which numbers II lies, and the note says so."""
    asked = problem(9, 4, n=3)
    values = np.random.default_rng(0).normal(size=(3, 9))
    exact, bounded, bare = (
        hold(asked, up_to, 4, np.random.default_rng(0), certify=products)
        for up_to, products in ((20, 1e9), (0, 1e9), (0, 0.0))
    )
    wanted = scores_of(asked, exact, Attribution(values)).details
    scores = scores_of(asked, bounded, Attribution(values))
    bracket = scores.details["certificate"]
    assert (np.array(bracket["low"]) <= np.array(wanted["ideal_influence"]) + 1e-9).all()
    assert (np.array(bracket["high"]) >= np.array(wanted["ideal_influence"]) - 1e-9).all()
    assert "3 of 3 closed" in scores.values["ideal_influence"].note
    assert wanted["certificate"] is None
    assert (
        scores_of(asked, bare, Attribution(values)).details["certificate"] == "none was asked for"
    )


def test_a_time_limit_stops_the_search():
    """Its bound is valid all the same: root intervals at least."""
    asked = problem(12, 0, hidden=(16, 16))
    chain = read_chain(asked.model.module, (12,))
    assert isinstance(chain, Chain)
    reference = asked.reference.draws[0, 0]
    seen = instance(chain, asked.inputs[0], reference, asked.partition.membership, 0, "logit")
    orders = np.tile(np.arange(12), (3, 1))
    _, closed, nodes = search(seen, orders, 1e-3, Effort(seconds=1e-9))
    assert not closed
    assert nodes <= 1


@pytest.mark.parametrize(
    "wrong", [{"eps": 0.0}, {"products": 0.0}, {"seconds": 0.0}, {"eps": float("nan")}]
)
def test_efforts_that_make_no_sense(wrong: dict[str, float]):
    """Named with the value met."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Effort(**wrong)


def test_each_instance_may_have_its_own_partition():
    """As superpixels have: the instances' own features are bounded."""
    asked = problem(8, 2, n=2)
    own = torch.stack([torch.arange(8) // 2, torch.arange(8) % 4])
    check(replace(asked, partition=Partition(own, tuple("abcd"), True)), Effort())


def test_a_network_too_large_for_the_effort_has_none():
    """Rather than one node that takes for ever."""
    asked = problem(6, 0)
    rest = (asked.reference, asked.partition, asked.g, np.zeros((1, 3, 6), dtype=int), np.ones(1))
    found = certify(asked.model.module, asked.inputs, asked.targets, *rest, Effort(products=10))
    assert isinstance(found, str)
    assert "multiplications" in found


@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_a_linear_network_is_closed_at_the_root(outputs: int):
    """Logistic and linear regression: nothing is relaxed, so the bounds are the optimum itself."""
    asked = problem(12, 3, hidden=(), outputs=outputs, g="margin" if outputs > 1 else "output")
    if outputs == 1:
        asked = replace(asked, model=Network(asked.model.module, 0))
    found = check(asked, Effort())
    assert found.closed.all()
    if outputs <= 2:  # one margin, and not the least of several
        ideal = exact_ideal(asked.table())
        np.testing.assert_allclose(found.joint, ideal.joint, rtol=1e-4)


def test_a_hopeless_search_gives_up(monkeypatch: pytest.MonkeyPatch):
    """A bound of J* that is far off after a quarter of the effort isn't followed to the end."""
    asked = problem(24, 1, hidden=(16, 16, 16))
    best = np.array([1e-3])
    orders = np.tile(np.arange(24), (1, 3, 1))
    chain = read_chain(asked.model.module, asked.inputs.shape[1:])
    assert isinstance(chain, Chain)
    products = 400 * 24 * chain.products

    def nodes(loose: float) -> int:
        monkeypatch.setattr(certificate, "LOOSE", loose)
        found = certify(
            asked.model.module, asked.inputs, asked.targets, asked.reference, asked.partition,
            asked.g, orders, best, Effort(products=products),
        )  # fmt: skip
        assert isinstance(found, Certificate)
        return int(found.nodes[0])

    assert nodes(np.inf) >= 400
    assert 100 <= nodes(1.0) < 400


def test_a_network_that_is_not_its_layers_has_none():
    """A hook that changes what a layer says would make the bounds those of another network."""
    asked = problem(9, 0)
    best = exact_ideal(asked.table())
    assert asked.model.module is not None
    asked.model.module[1].register_forward_hook(lambda _layer, _inputs, output: 3 * output)
    found = certify(
        asked.model.module, asked.inputs, asked.targets, asked.reference, asked.partition,
        asked.g, best.orders, best.joint, Effort(),
    )  # fmt: skip
    assert isinstance(found, str)
    assert "hook" in found
