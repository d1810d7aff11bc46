"""Every promise of `bench.conformance`, of every yaml under conf/method, unasked."""

import pytest
import torch

from bench.components import Shelf, build
from bench.conformance import CHECKS, NotApplicable, Subject

SHELF = Shelf()
TASKS = SHELF.names("task")
METHODS = [(task, method) for task in TASKS for method in SHELF.names(f"method/{task}")]

CONTROL = "a control knows nothing and has no source"
ONE_STREAM = "the package draws for all instances at once, so each one's noise hangs on the others"
HONEST = "a control washes nothing"
BLIND = "it never sees a label, and the truth is which labels are wrong"
NO_CONVOLUTION = "Unsupported: the tiny problem's network has no convolutions"
ONE_PRICE = "one lambda parts the features in two, and those of a part tie"
EXCUSES = {
    ("attribution", "captum_gradient_shap", "check_rows_are_independent"): ONE_STREAM,
    ("attribution", "captum_smooth_grad", "check_rows_are_independent"): ONE_STREAM,
    ("attribution", "shap_gradient", "check_rows_are_independent"): ONE_STREAM,
    ("attribution", "blur_integrated_gradients", "check_answers"): (
        "Unsupported: the tiny problem's inputs are no images"
    ),
    ("attribution", "captum_guided_gradcam", "check_answers"): NO_CONVOLUTION,
    ("attribution", "captum_layer_gradcam", "check_answers"): NO_CONVOLUTION,
    ("attribution", "grad_cam", "check_answers"): NO_CONVOLUTION,
    ("attribution", "grad_cam_plus_plus", "check_answers"): NO_CONVOLUTION,
    ("attribution", "hires_cam", "check_answers"): NO_CONVOLUTION,
    ("attribution", "layer_cam", "check_answers"): NO_CONVOLUTION,
    ("attribution", "c_efs_paper", "check_known_truth"): ONE_PRICE,
    ("attribution", "c_ifs_paper", "check_known_truth"): ONE_PRICE,
    ("attribution", "pertmap_lp", "check_known_truth"): (
        "a linear programme ends at corners, where most features tie"
    ),
    ("attribution", "var_grad", "check_known_truth"): (
        "each instance is constant: its range, and with it the noise, is 0"
    ),
    ("attribution", "shap_tree", "check_answers"): (
        "Unsupported: the tiny problem's model is no forest"
    ),
    ("attribution", "random", "check_constant_model"): "random values, whatever the model",
    ("attribution", "random", "check_known_truth"): CONTROL,
    ("cleansing", "autoencoder_pooled", "check_known_truth"): BLIND,
    ("cleansing", "isolation_forest_pooled", "check_known_truth"): BLIND,
    ("cleansing", "random", "check_documented"): CONTROL,
    ("cleansing", "random", "check_known_truth"): CONTROL,
    ("companion", "imodels_greedy_list", "check_known_truth"): (
        "each rule is one condition and makes label 1 likelier: no such list says a and b"
    ),
    ("companion", "random_rules", "check_documented"): CONTROL,
    ("companion", "random_rules", "check_known_truth"): CONTROL,
    ("fairwashing", "honest_sample", "check_known_truth"): HONEST,
    ("fairwashing", "random_list", "check_documented"): CONTROL,
    ("fairwashing", "random_list", "check_known_truth"): CONTROL,
    ("unified", "random", "check_known_truth"): CONTROL,
}
"""(task, method, check) -> why the promise isn't kept; strictly expected to fail."""


NOT_ON_A_GPU = {
    ("attribution", "captum_smooth_grad", "check_rows_are_independent"): (
        "captum draws on the GPU, whose generator deals its numbers to all rows at once"
    ),
}
"""What only the CPU's generator keeps."""


def task_called(name: str):
    """The task as its yaml describes it; `setting` holds the setting's defaults."""
    config = SHELF.config("task", name)
    return build({key: value for key, value in config.items() if key != "setting"}, name)


def promise(task: str, method: str, check):
    """A test's parameters; an excused one must fail."""
    reason = EXCUSES.get((task, method, check.__name__))
    marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
    return pytest.param(task, method, check, id=f"{task}-{method}-{check.__name__}", marks=marks)


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
@pytest.mark.parametrize(
    ("task", "method", "check"), [promise(*pair, check) for pair in METHODS for check in CHECKS]
)
def test_promise(task: str, method: str, check, device: str):
    """The check's own docstring says what is promised; on a GPU too where there is one."""
    if device == "cuda" and (task, method, check.__name__) in NOT_ON_A_GPU:
        pytest.skip(NOT_ON_A_GPU[task, method, check.__name__])
    built = build(SHELF.config(f"method/{task}", method), method)
    try:
        check(Subject(built, task_called(task), device))
    except NotApplicable as reason:
        pytest.skip(str(reason))


def test_every_excuse_has_its_method():
    """No excuse outlives the method or the check that it was made for."""
    names = {check.__name__ for check in CHECKS}
    for task, method, check in EXCUSES:
        assert (task, method) in METHODS
        assert check in names
