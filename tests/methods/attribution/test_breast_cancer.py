"""Breast cancer in its ten natural groups: the order of methods that the criterion is known for."""

import pytest

import bench

METHODS = [
    *("exact_optimum", "greedy_backward", "kernel_shap_polish", "integrated_gradients"),
    *("occlusion", "absolute_gradient", "random"),
]


def test_the_order_of_methods():
    """Exact, 30-64-64-2, zero reference: near the ideal, IG, occlusion, |gradient|, chance."""
    found = bench.evaluate(
        METHODS, "breast_cancer", "mlp", setting={"reference": "zero", "instances": 60}, seeds=3
    )
    headline = found[found.metric == "ideal_influence"]
    assert set(headline.note) == {"exact"}
    mean = headline.groupby("method").value.mean()
    assert mean["exact_optimum"] == pytest.approx(1.0)
    assert mean["greedy_backward"] > 0.98
    assert mean["kernel_shap_polish"] > 0.99
    assert mean["integrated_gradients"] > mean["occlusion"] > mean["absolute_gradient"] > 0.3
    control = headline[headline.method == "random"]
    spread = (control.se.pow(2).sum() ** 0.5) / len(control)
    assert abs(mean["random"]) < 4 * spread
