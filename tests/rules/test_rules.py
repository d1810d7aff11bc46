import re
from itertools import combinations

import numpy as np
import pytest

from bench.data import Column, Images, Table
from bench.rules import Literals, Rule, RuleList, binarize, mine, pack, sizes


def table(values: np.ndarray, columns: tuple[Column, ...]) -> Table:
    targets = np.arange(len(values)) % 2
    return Table("toy", values, columns, targets, ("a", "b"), "none", "made here")


def mixed(n: int = 300) -> Table:
    rng = np.random.default_rng(0)
    columns = (
        Column("age"),
        Column("share"),
        Column("sex", ("Male", "Female")),
        Column("work", ("none", "Private", "State")),
        Column("rare"),
        Column("constant"),
    )
    numbers = rng.integers(17, 90, n), rng.normal(size=n), rng.integers(0, 2, n)
    rest = rng.integers(0, 3, n), np.arange(n) > 2, np.ones(n)
    return table(np.column_stack([*numbers, *rest]).astype(float), columns)


def said(data: Table, name: str) -> np.ndarray:
    """What a literal's name says, read by a person: the oracle."""
    column, sign, value = re.fullmatch(r"(.+?) (>|<=|=|!=) (.+)", name).groups()
    numbers = data.column(column)
    if sign in (">", "<="):
        return (numbers > float(value)) == (sign == ">")
    levels = next(c.levels for c in data.columns if c.name == column)
    return (numbers == levels.index(value)) == (sign == "=")


def test_a_literal_holds_where_its_name_says_so():
    """Names are exact: parsing them and applying them to the raw values gives the bits back."""
    data = mixed()
    literals = binarize(data, np.arange(200))
    assert len(set(literals.names)) == len(literals.names)
    for index, name in enumerate(literals.names):
        np.testing.assert_array_equal(literals.values[:, index], said(data, name), err_msg=name)


def test_literals_come_with_their_negations_and_constants_are_left_out():
    """Literal j ^ 1 is the negation of j; neither is constant on the rows that were fitted."""
    fit = np.arange(200)
    literals = binarize(mixed(), fit)
    np.testing.assert_array_equal(literals.values[:, ::2], ~literals.values[:, 1::2])
    assert not literals.values[fit].all(axis=0).any()
    assert not any(name.startswith("constant") for name in literals.names)
    expected = {"sex = Male", "sex = Female", "work = State", "work != State", "rare > 0"}
    assert expected <= set(literals.names)


def test_cuts_are_the_quantiles_of_the_fitted_rows():
    """Seven bins of 700 distinct numbers hold 100 each, whatever the other rows are."""
    values = np.concatenate([np.random.default_rng(1).permutation(700), np.full(50, 1e6)])
    data = table(values[:, None].astype(float), (Column("x"),))
    literals = binarize(data, np.arange(700), bins=7)
    above = literals.values[:700, ::2].sum(axis=0)
    np.testing.assert_array_equal(above, [600, 500, 400, 300, 200, 100])


@pytest.mark.parametrize(
    ("numbers", "name"),
    [
        ([1.0] * 99 + [5.0], "x > 1"),
        ([5.0] * 99 + [1.0], "x > 1"),
        ([0.11840001, 0.11840002] * 50, "x > 0.11840001"),
        ([-3.0, 8.0] * 50, "x > 0"),
        ([48.0, 60.0] * 50, "x > 50"),
    ],
)
def test_a_cut_is_written_shortly_between_two_neighbours(numbers: list[float], name: str):
    """The shortest decimal t with low <= t < high; rare extremes are still told apart."""
    data = table(np.array(numbers)[:, None], (Column("x"),))
    assert name in binarize(data, np.arange(100)).names


def test_pixels_are_columns():
    """An image's literals say row and place, and hold where the pixel is bright."""
    pixels = np.random.default_rng(0).random((40, 1, 2, 3))
    images = Images("toy", pixels, np.arange(40) % 2, ("a", "b"), "none", "made here")
    literals = binarize(images, np.arange(40), bins=2)
    assert len(literals.names) == 2 * 6
    cut = float(literals.names[10].removeprefix("pixel 1,2 > "))
    np.testing.assert_array_equal(literals.values[:, 10], pixels[:, 0, 1, 2] > cut)


def test_missing_values_are_refused():
    """Neither a literal nor its negation would hold."""
    data = table(np.array([[1.0], [np.nan]]), (Column("x"),))
    with pytest.raises(ValueError, match="missing values in x"):
        binarize(data, np.arange(2))


@pytest.mark.parametrize("n", [1, 63, 64, 65, 200])
def test_packed_sets_count_like_booleans(n: int):
    """Sizes of intersections and differences, at and around the ends of words."""
    rows = np.random.default_rng(n).random((5, n)) < 0.4
    packed = pack(rows)
    assert packed.shape == (5, -(-n // 64))
    for i, j in combinations(range(5), 2):
        assert sizes(packed[i] & packed[j]) == (rows[i] & rows[j]).sum()
        assert sizes(packed[i] & ~packed[j]) == (rows[i] & ~rows[j]).sum()


def literal_mine(
    literals: Literals, labels: np.ndarray, least: int, longest: int, per_label: int
) -> list[tuple[list[bytes], dict]]:
    """For each label the best captures, and (-precision, -size) of all conjunctions."""
    best = []
    for label in np.unique(labels):
        found = {}
        for size in range(1, longest + 1):
            for conditions in combinations(range(len(literals.names)), size):
                rows = literals.values[:, list(conditions)].all(axis=1)
                if rows.sum() >= least:
                    share = (labels[rows] == label).mean()
                    found.setdefault(rows.tobytes(), (-share, -rows.sum()))
        ranked = sorted(found, key=lambda rows: found[rows])
        best.append((ranked[:per_label], found))
    return best


@pytest.mark.parametrize("longest", [1, 2, 3])
def test_mining_finds_the_most_precise_conjunctions(longest: int):
    """As good as looking at every conjunction: support, precision, no two with equal rows."""
    rng = np.random.default_rng(longest)
    data = table(rng.normal(size=(150, 3)), tuple(Column(c) for c in "abc"))
    literals = binarize(data, np.arange(150), bins=3)
    labels = (rng.random(150) < 0.4).astype(int)
    pool = mine(
        literals,
        labels,
        min_support=0.1,
        max_conditions=longest,
        per_label=6,
        selection="precision",
    )
    covers = [rule.covers(literals.values) for rule in pool.rules]
    np.testing.assert_array_equal(pack(np.stack(covers)), pool.captures)
    assert len({rows.tobytes() for rows in covers}) == len(pool.rules)
    assert all(len(rule.conditions) <= longest for rule in pool.rules)
    assert all(rows.sum() >= 15 for rows in covers)
    mined = {rows.tobytes() for rows in covers}
    for best, quality in literal_mine(literals, labels, 15, longest, 6):
        worst = quality[best[-1]]
        # Ties at the end of the ranking may go either way.
        assert {rows for rows in best if quality[rows] < worst} <= mined
        assert sum(quality[rows] <= worst for rows in mined) >= 6


def test_bands_hold_the_most_precise_rules_of_each_coverage():
    """Of 60 rules a label over three bands the first 20 of each; narrow ones alone otherwise."""
    rng = np.random.default_rng(0)
    data = table(rng.normal(size=(400, 6)), tuple(Column(c) for c in "abcdef"))
    literals = binarize(data, np.arange(400), bins=7)
    labels = (data.column("a") + rng.normal(size=400) > 0).astype(int)
    settings = {"min_support": 0.15, "max_conditions": 2}
    every = mine(literals, labels, per_label=10**6, selection="precision", **settings)
    pool = mine(literals, labels, per_label=60, **settings)
    precise = mine(literals, labels, per_label=60, selection="precision", **settings)
    positives = sizes(every.captures & pack(labels[None] == 1))
    covered = sizes(every.captures)
    chosen = {capture.tobytes() for capture in pool.captures}
    for low, high in [(60, 120), (120, 240), (240, 401)]:
        band = np.flatnonzero((low <= covered) & (covered < high))
        for share in (positives / covered, 1 - positives / covered):
            best = band[np.lexsort((-covered[band], -share[band]))][:20]
            assert {every.captures[rule].tobytes() for rule in best} <= chosen
    assert sizes(pool.captures).max() > 240 > sizes(precise.captures).max()


def test_mining_without_any_rule_gives_an_empty_pool():
    """A support that nothing reaches."""
    literals = Literals(np.eye(10, dtype=bool), tuple("abcdefghij"))
    pool = mine(literals, np.arange(10) % 2, min_support=0.5, max_conditions=2, per_label=5)
    assert pool.rules == ()
    assert len(pool.captures) == 0


def test_a_row_belongs_to_its_first_rule():
    """Against the definition, row by row; -1 where no rule covers."""
    rng = np.random.default_rng(0)
    values = rng.random((60, 6)) < 0.5
    rules = RuleList((Rule((0, 2)), Rule((1,)), Rule((3, 4, 5))), (1, 0, 1))
    for row, label, place in zip(
        values, rules.predict(values), rules.decided_by(values), strict=True
    ):
        first = [i for i, rule in enumerate(rules.rules) if all(row[c] for c in rule.conditions)]
        assert place == (first[0] if first else -1)
        assert label == (rules.labels[first[0]] if first else -1)


def test_limits_of_rule_lists():
    """No rule: nobody is covered. A rule without conditions covers everyone."""
    values = np.zeros((4, 2), dtype=bool)
    np.testing.assert_array_equal(RuleList((), ()).predict(values), -1)
    np.testing.assert_array_equal(RuleList((Rule(()),), (1,)).predict(values), 1)
    with pytest.raises(ValueError, match="1 rules come with 0 labels"):
        RuleList((Rule(()),), ())


def test_rules_read_like_sentences():
    rules = RuleList((Rule((0, 1)), Rule(())), (1, 0))
    texts = rules.texts(("age > 44", "hours-per-week <= 40"), ("<=50K", ">50K"))
    assert texts == ["age > 44 and hours-per-week <= 40 -> >50K", "always -> <=50K"]


@pytest.mark.parametrize(
    ("n", "min_support", "least"), [(25, 0.1, 3), (30, 0.1, 3), (100, 0.07, 7), (41, 0.2, 9)]
)
def test_the_smallest_support_is_the_share_rounded_up(n: int, min_support: float, least: int):
    """All literals and pairs that cover `least` rows are there, none that covers fewer."""
    rows = np.arange(n)
    single = [rows < least, rows < least - 1]
    overlapping = [rows < 2 * least, rows >= least, rows >= least + 1]
    positive = np.stack([*single, *overlapping], axis=1)
    values = np.stack([positive, ~positive], axis=2).reshape(n, -1)
    literals = Literals(values, tuple(str(j) for j in range(values.shape[1])))
    pairs = [*combinations(range(values.shape[1]), 2), *((j,) for j in range(values.shape[1]))]
    covers = [values[:, list(pair)].all(axis=1) for pair in pairs]
    expected = {rows.tobytes() for rows in covers if rows.sum() >= least}
    assert {least - 1, least} <= {int(rows.sum()) for rows in covers}
    pool = mine(literals, rows % 2, min_support=min_support, max_conditions=2, per_label=10**6)
    assert {rule.covers(values).tobytes() for rule in pool.rules} == expected
    # Rows from least to 2 least - 1 satisfy a pair and no single literal; one fewer is too few.
    assert (values[:, 4] & values[:, 6]).tobytes() in expected
    assert (values[:, 4] & values[:, 8]).tobytes() not in expected
