"""Sets that are asked once against all of them written out."""

import numpy as np
import pytest

from bench.setfunction.distinct import Remembered, distinct
from bench.setfunction.table import Tabulated, masks_of


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("p", [3, 64, 70, 130])
def test_distinct_sets_are_those_of_a_python_set(p: int, own: bool):
    """One for each different set of features that aren't null, and each set finds its own."""
    rng = np.random.default_rng(p)
    n, m = 4, 40
    null = rng.random((n, p)) < (0.5 if p < 10 else 0.98)
    null[0] = False
    null[1] = True
    masks = rng.random((n, m, p) if own else (m, p)) < 0.5
    masks[..., 7, :] = masks[..., 5, :]
    found = distinct(masks, null)
    each = np.broadcast_to(masks, (n, m, p)) & ~null[:, None]
    wanted = {(row, each[row, at].tobytes()) for row in range(n) for at in range(m)}
    chosen = [
        (row, each[row, at].tobytes()) for row, at in zip(found.rows, found.masks, strict=True)
    ]
    assert len(chosen) == len(wanted)
    assert set(chosen) == wanted
    for row in range(n):
        for at in range(m):
            assert chosen[found.place[row, at]] == (row, each[row, at].tobytes())


def test_no_sets_are_no_sets():
    """Nothing asked, nothing there."""
    found = distinct(np.zeros((0, 5), dtype=bool), np.zeros((3, 5), dtype=bool))
    assert len(found.rows) == 0
    assert found.place.shape == (3, 0)


def test_what_was_asked_is_remembered():
    """The answers are the table's, whatever is asked in which order, and no set comes twice.

    But for an instance that knows more of the asked sets than another, which asks one again.
    """
    n, p, asked = 3, 6, []
    table = np.random.default_rng(0).random((n, 2**p))

    def value(masks: np.ndarray) -> np.ndarray:
        asked.append(masks)
        return Tabulated(table)(masks)

    remembered = Remembered(value, n, p)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        own = bool(seed % 2)
        masks = rng.random((n, 9, p) if own else (9, p)) < 0.4
        np.testing.assert_array_equal(remembered(masks), Tabulated(table)(masks))
    everything = masks_of(np.arange(2**p), p)
    np.testing.assert_array_equal(remembered(everything), table)
    calls = len(asked)
    np.testing.assert_array_equal(remembered(everything[::-1]), table[:, ::-1])
    assert len(asked) == calls
    sets = np.concatenate(asked, axis=1) @ (1 << np.arange(p))
    for row in range(n):
        assert len(np.unique(sets[row])) == 2**p
    assert sets.shape[1] < 2**p + 40
