import json

import numpy as np
import pytest
from earnest.datasets.mnist_label_errors import MNISTLabelErrors, majority

from bench.data import wrong_labels


@pytest.mark.data
def test_ten_labels_are_wrong_and_five_images_left_out():
    """The paper states 15 errors in 10,000; image 947, an 8 by its label, is a 9 to all five."""
    data = MNISTLabelErrors().load()
    assert data.pixels.shape == (9_995, 1, 28, 28)
    wrong = np.flatnonzero(wrong_labels(data))
    assert len(wrong) == 10
    assert wrong[0] == 947
    assert (data.targets[947], data.clean[947]) == (8, 9)


def test_a_majority_decides():
    """Three of five: another label, no label, or the given one."""

    def judged(image: int, given: int, guessed: int) -> dict:
        votes = {"given": given, "guessed": guessed, "neither": 5 - given - guessed}
        return {"id": image, "our_guessed_label": 7, "mturk": votes}

    found = majority(
        json.dumps([judged(0, 0, 5), judged(1, 2, 2), judged(3, 3, 2), judged(4, 2, 3)]).encode(),
        np.arange(5),
    )
    assert found.tolist() == [7, -1, 2, 3, 7]
