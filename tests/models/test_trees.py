"""Trees joined into one, against a walk from node to node."""

import numpy as np
import pytest

from bench.models.trees import Tree, Trees, joined, restored


def grown(rng: np.random.Generator, depth: int) -> Tree:
    """A random tree of three inputs; what stands in leaves for feature and children is nonsense."""
    nodes: list[tuple[bool, int, float, int, int]] = []

    def grow(left_to_go: int) -> int:
        own = len(nodes)
        nodes.append((True, -2, np.nan, -1, -1))
        if left_to_go and (own == 0 or rng.random() < 0.8):
            left, right = grow(left_to_go - 1), grow(left_to_go - 1)
            nodes[own] = (False, int(rng.integers(3)), float(rng.normal()), left, right)
        return own

    grow(depth)
    columns = [np.array(column) for column in zip(*nodes, strict=True)]
    return Tree(*columns, values=rng.normal(size=(len(nodes), 2)))


def leaf(tree: Tree, row: np.ndarray) -> int:
    node = 0
    while not tree.leaf[node]:
        below = row[tree.feature[node]] <= tree.threshold[node]
        node = (tree.left if below else tree.right)[node]
    return node


@pytest.mark.parametrize("depths", [(3,), (0, 5, 2), (0,)])
def test_the_walk_of_all_trees_at_once_is_the_walk_of_each(depths: tuple[int, ...]):
    """The mean of the leaves' values; a tree that is its own leaf may stand among others."""
    rng = np.random.default_rng(len(depths))
    each = [grown(rng, depth) for depth in depths]
    inputs = rng.normal(size=(300, 3))
    expected = [np.mean([tree.values[leaf(tree, row)] for tree in each], axis=0) for row in inputs]
    np.testing.assert_allclose(joined(each).mean(inputs), expected, atol=1e-15)


def test_a_row_on_the_threshold_goes_left_and_the_depth_is_the_deepest_leafs():
    """One split at .5, joined to one at 0 whose right child splits again at 1."""
    no, values = np.array([0, -1, -1]), np.array([[0.0], [1.0], [2.0]])
    single = Tree(no < 0, no, np.full(3, 0.5), np.array([1, 0, 0]), np.array([2, 0, 0]), values)
    double = Tree(
        leaf=np.array([False, True, False, True, True]),
        feature=np.zeros(5, dtype=np.int64),
        threshold=np.array([0.0, 9.0, 1.0, 9.0, 9.0]),
        left=np.array([1, -1, 3, -1, -1]),
        right=np.array([2, -1, 4, -1, -1]),
        values=np.array([[0.0], [10.0], [0.0], [20.0], [30.0]]),
    )
    trees = joined([single, double])
    assert trees.depth == 2
    found = 2 * trees.mean(np.array([[0.0], [0.5], [0.51], [1.5]]))
    assert found[:, 0].tolist() == [11, 21, 22, 32]


def test_arrays_make_the_same_trees_again():
    """Among arrays of other names, as a cache keeps them."""
    trees = joined([grown(np.random.default_rng(0), 4)])
    again = restored({**trees.arrays(), "seed": np.array(3)})
    for name in Trees.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(trees, name))
