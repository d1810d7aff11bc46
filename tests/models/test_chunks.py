"""How many rows go through a model at once."""

import torch

from bench.models import chunks


def test_rows_at_once():
    """Small images go many at a time, large ones few, never none; tables by their width."""
    sides = (4, 8, 32, 64, 224)
    rows = [chunks.rows_at_once(torch.zeros(1, 3, side, side)) for side in sides]
    assert rows == sorted(rows, reverse=True)
    assert rows[0] == chunks.IMAGE_ROWS
    assert rows[-1] == chunks.FEWEST_IMAGES
    assert chunks.rows_at_once(torch.zeros(1, 30)) * 30 <= chunks.NUMBERS


def test_blocks_hold_every_row_once():
    """In order, a row at least in each, and so few that their copies fit."""
    inputs = torch.zeros(1000, 64)
    blocks = chunks.row_blocks(inputs, copies=500)
    assert torch.equal(torch.cat(blocks), torch.arange(1000))
    assert max(map(len, blocks)) * 500 * 64 <= chunks.NUMBERS
    assert all(len(block) == 1 for block in chunks.row_blocks(inputs, copies=10**9))
