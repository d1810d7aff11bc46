"""What of the margins is looked at."""

import pytest
import torch

from bench.setfunction.outcome import CLASS_KINDS, check_kind, outcome

MARGINS = torch.tensor([[1.0, 3.0, -2.0], [0.5, 0.5, 0.0]], dtype=torch.float64)
TARGETS = torch.tensor([1, 0])


def test_probability_is_the_softmax():
    expected = MARGINS.softmax(1).gather(1, TARGETS[:, None])[:, 0]
    torch.testing.assert_close(outcome(MARGINS, TARGETS, "probability"), expected)


def test_logit_is_the_log_odds():
    torch.testing.assert_close(
        outcome(MARGINS, TARGETS, "logit"), outcome(MARGINS, TARGETS, "probability").logit()
    )


def test_margin_and_label():
    """The lead over the best rival; the first class wins a tie."""
    assert outcome(MARGINS, TARGETS, "margin").tolist() == [2.0, 0.0]
    assert outcome(MARGINS, TARGETS, "label").tolist() == [1.0, 1.0]
    assert outcome(MARGINS, torch.tensor([0, 1]), "label").tolist() == [0.0, 0.0]


def test_saturated_probabilities_keep_their_order():
    """Where float32 says 1 for all, float64 margins still tell them apart, on both sides."""
    margins = torch.tensor([[0.0, m] for m in (-90.0, -89.9, 20.0, 20.1, 30.0, 30.1)])
    found = outcome(margins, torch.ones(6, dtype=torch.int64), "probability")
    assert (found.diff() > 0).all()
    assert found.dtype == torch.float64


def test_output_of_a_regression():
    assert outcome(torch.tensor([[2.5]]), torch.tensor([0]), "output").tolist() == [2.5]


@pytest.mark.parametrize("g", ["probability", "logit", "margin"])
def test_gradients_are_finite(g: str):
    """The masked own class leaves no NaN behind."""
    margins = MARGINS.clone().requires_grad_()
    outcome(margins, TARGETS, g).sum().backward()
    assert torch.isfinite(margins.grad).all()


def test_kinds_fit_the_model():
    """Classes have every number but the output itself, a regression has that alone."""
    for g in CLASS_KINDS:
        check_kind(g, 2)
    check_kind("output", 0)
    for g, n_classes in (("output", 3), ("probability", 0), ("prob", 3), ("prob", 0)):
        with pytest.raises(ValueError, match=f"g='{g}' of"):
            check_kind(g, n_classes)
