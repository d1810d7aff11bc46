"""The pictures of cleansing: what is drawn is what the records say, whatever else they hold."""

import base64
import itertools
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from bench import board
from bench.board import figure_cleansing, figure_costs, figure_exhibits
from bench.board.checks import LONGEST, METRIC, REMEDY, UNKNOWN, check_lines, verdict
from bench.board.figure_costs import Point
from bench.board.figure_error_split import PARTS, error_split, mean_bars
from bench.board.figure_mislabels import gain_against_auc, rank_correlation
from bench.board.figure_subsets import lds_by_share, shares
from bench.board.figures import OF_TASK, draw
from bench.board.panels import SOFT, STYLE, settings_in_short, short
from bench.board.rows import number
from bench.record import Record, write

Make = Callable[..., Record]
CURVE = {"removed": [0, 1, 3, 10], "n_train": 100, "accuracy": [0.8, 0.81, 0.83, 0.7]}


def cleansing(make: Make, method: str = "sgd_influence", seed: int = 0, **fields: Any) -> Record:
    """A record of the task; `scored` are values by metric."""
    scored, details = fields.pop("scored", {}), fields.pop("details", {})
    made = make("cleansing", method, seed, **{"value": 0.01, "settings": {"flip": 0.1}} | fields)
    scores = {name: {"value": value, "note": ""} for name, value in scored.items()}
    return replace(made, scores={**made.scores, **scores}, details=details)


def picture(pixels: np.ndarray, shape: Any = None) -> dict[str, Any]:
    squeezed = base64.b64encode(zlib.compress(pixels.astype(np.uint8).tobytes()))
    return {"shape": list(pixels.shape) if shape is None else shape, "zlib": squeezed.decode()}


def texts(sketch: Any) -> list[str]:
    """All that is written in the panels of a figure, and below them."""
    found = [text.get_text() for axes in sketch.drawing.axes for text in axes.texts]
    return found + [axes.get_xlabel() for axes in sketch.drawing.axes]


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    """As `draw` sets it."""
    with mpl.rc_context(STYLE):
        yield


def test_a_panel_says_what_tells_it_apart(make: Make):
    """Fields of the setting that differ; the whole setting where nothing does; none of it where
    the models' own fields do."""
    one = cleansing(make)
    assert settings_in_short([one]) == {one.setting: one.setting}
    other = cleansing(make, model="mlp epochs=6")
    assert settings_in_short([one, other]) == {one.setting: ""}
    shown = [cleansing(make, settings={"flip": f}, setting=f"flip={f} k=1") for f in (0.0, 0.1)]
    expected = {"flip=0.0 k=1": "flip=0.0", "flip=0.1 k=1": "flip=0.1"}
    assert settings_in_short(shown) == expected
    assert settings_in_short([*shown, replace(shown[0], model="mlp epochs=6")]) == expected


# Gain curves


def test_every_method_has_a_line_and_the_best_a_name(make: Make):
    """Thin grey lines for those behind the best, the true leave-one-out named wherever it ranks."""
    names = [f"m{i}" for i in range(9)] + ["leave_one_out", "random"]
    values = [0.09 - 0.01 * i for i in range(9)] + [-0.5, 0.5]
    records = [
        cleansing(make, m, s, value=v, details=CURVE)
        for m, v in zip(names, values, strict=True)
        for s in range(2)
    ]
    named = figure_cleansing.coloured_methods(records)
    assert named == ["m0", "m1", "m2", "m3", "m4", "leave_one_out"]
    sketch = next(figure_cleansing.removal(records))
    (axes,) = sketch.drawing.axes
    thin = [
        line
        for line in axes.lines
        if to_hex(line.get_color()) == SOFT and len(line.get_xdata()) == 4
    ]
    assert len(thin) == len(names) - len(named)
    assert axes.get_legend_handles_labels()[1] == named


def test_thin_lines_do_not_make_the_scale(make: Make):
    """A method that ruins the network leaves the others readable."""
    good = [cleansing(make, f"m{i}", value=0.1, details=CURVE) for i in range(6)]
    ruin = cleansing(make, "z", value=-1.0, details={**CURVE, "accuracy": [0.8, 0.5, 0.2, 0.1]})
    before, after = (
        next(figure_cleansing.removal(r)).drawing.axes[0] for r in (good, [*good, ruin])
    )
    assert after.get_ylim() == before.get_ylim()


@pytest.mark.parametrize(
    ("removals", "wanted", "label"),
    [
        ("percent 1/3/10", [0, 1, 3, 10], "% of the training rows removed"),
        ("rows 2/6/20", [0, 2, 6, 20], "training rows removed"),
    ],
)
def test_removals_are_counted_as_the_setting_does(
    removals: str, wanted: list[int], label: str, make: Make
):
    """In percent of the training rows or in rows; the untouched network at the left."""
    details = {**CURVE, "n_train": 200, "removed": [0, 2, 6, 20]}
    record = cleansing(make, settings={"removals": removals}, details=details)
    for sketch in figure_cleansing.removal([record]):
        (axes,) = sketch.drawing.axes
        assert axes.get_xlabel() == label
        line = next(line for line in axes.lines if line.get_label() == "sgd_influence")
        assert line.get_xdata().tolist() == wanted
        sketch.drawing.draw_without_rendering()
        places = axes.transData.transform(np.column_stack([line.get_xdata(), [0.0] * 4]))[:, 0]
        assert (np.diff(places) > 0).all()


def test_the_error_is_what_accuracy_leaves(make: Make):
    """In percent, level where the network is trained on all rows; gains in points."""
    record = cleansing(make, details={**CURVE, "accuracy_last": [0.8, 0.8, 0.9, 0.9]})
    drawn = {sketch.name: sketch.drawing.axes[0] for sketch in figure_cleansing.removal([record])}
    lines = {
        n: next(x for x in a.lines if x.get_label() == "sgd_influence") for n, a in drawn.items()
    }
    assert lines["removal"].get_ydata() == pytest.approx([0, 1, 3, -10])
    assert lines["removal_last"].get_ydata() == pytest.approx([0, 0, 10, 10])
    assert lines["test_error"].get_ydata() == pytest.approx([20, 19, 17, 30])
    assert drawn["test_error"].lines[0].get_ydata() == pytest.approx([20, 20])


def test_labels_keep_their_distance():
    """Those that matter first; none over another, long ones neither."""
    ticks = np.array([0.0, 1, 3, 6, 10, 30, 60, 100, 300, 600, 1000, 3000, 6000, 10000])
    places = np.log10(np.maximum(ticks, 0.3))
    labels = figure_cleansing.spaced(ticks, places, [0, 1, 4, 7, 10, 13])
    assert [labels[i] for i in (0, 1, 4, 7, 10, 13)] == ["0", "1", "10", "100", "1,000", "10,000"]
    half = figure_cleansing.LETTER * np.ptp(places) / 2
    ends = [
        (p - half * len(text), p + half * len(text))
        for p, text in zip(places, labels, strict=True)
        if text
    ]
    assert all(one[1] < other[0] for one, other in itertools.pairwise(ends))


# Exhibits


def rows_shown(**more: Any) -> list[dict[str, Any]]:
    kinds = ("harmful", "helpful")
    return [
        {"row": i, "kind": k, "value": 0.1, "label": "4", **more} for k in kinds for i in range(3)
    ]


def test_pictures_come_back_as_they_were():
    """Grey and colour."""
    for shape in ((1, 5, 7), (3, 4, 4)):
        pixels = np.random.default_rng(0).integers(0, 256, shape)
        assert np.array_equal(figure_exhibits.unpacked(picture(pixels)), pixels)


PLAIN = np.zeros((1, 4, 4))
ODD_PICTURES = [
    *(None, 3, [], {}, {"shape": [1, 4, 4]}, {"shape": [1, 4, 4], "zlib": 3}),
    *({"shape": [1, 4, 4], "zlib": text} for text in ("", "é", "AAAA", "===")),
    *(picture(PLAIN, shape) for shape in (3, [], [4, 4], [2, 4, 2], [1, 4, 5], [1, -4, -4])),
    *(picture(PLAIN, shape) for shape in ([1, 16, True], [1.0, 4, 4], ["1", 4, 4], [1, 0, 0])),
    picture(PLAIN, [1, 10**9, 10**9]),
    picture(np.zeros(10_000_000), [1, 4, 4]),
]


@pytest.mark.parametrize("odd", ODD_PICTURES, ids=range(len(ODD_PICTURES)))
def test_odd_pictures_are_none(odd: Any):
    """Whatever isn't exactly what its shape says; a bomb isn't opened."""
    assert figure_exhibits.unpacked(odd) is None


def test_the_best_method_and_the_truth_are_shown_from_the_first_seed(make: Make):
    """Not the control, though it rank first; wrong labels are marked."""
    values = {"random": 0.9, "a": 0.1, "b": 0.3, "leave_one_out": 0.2}
    details = {"exhibits": rows_shown(truly="9", picture=picture(PLAIN))}
    records = [
        cleansing(make, m, s, value=v, details=details) for m, v in values.items() for s in (2, 5)
    ]
    (sketch,) = figure_exhibits.exhibits(records)
    titles = [axes.get_title(loc="left") for axes in sketch.drawing.axes]
    assert [t for t in titles if t] == [
        *("b: most harmful", "b: most helpful"),
        *("leave_one_out: most harmful", "leave_one_out: most helpful"),
    ]
    assert texts(sketch).count("4\ntruly 9") == 12
    assert "seed 2" in sketch.caption


def test_rows_of_a_table_are_lines(make: Make):
    """With their labels, none longer than the sheet, all on it."""
    details = {"exhibits": rows_shown(truly="9", text="age=3, " * 40)}
    (sketch,) = figure_exhibits.exhibits([cleansing(make, details=details)])
    assert texts(sketch).count("4, truly 9") == 6
    sketch.drawing.draw_without_rendering()
    sheet = sketch.drawing.bbox
    for text in sketch.drawing.axes[0].texts:
        box = text.get_window_extent()
        assert sheet.x0 <= box.x0 <= box.x1 <= sheet.x1
        assert sheet.y0 <= box.y0 <= box.y1 <= sheet.y1


def test_few_problems_are_shown(make: Make):
    """The first caption says how many are not."""
    details = {"exhibits": rows_shown(text="a")}
    records = [cleansing(make, dataset=f"d{i}", details=details) for i in range(9)]
    sketches = list(figure_exhibits.exhibits(records))
    assert len(sketches) == figure_exhibits.FIGURES
    assert f"{9 - figure_exhibits.FIGURES} more problems" in sketches[0].caption


# Scores against each other


def test_tau_has_a_front_of_its_own(make: Make):
    """Kendall's tau, not the headline; a problem without the truth has no panel."""
    records = [
        replace(cleansing(make, f"m{i}", scored={"kendall_tau": tau}), cpu_seconds=cost)
        for i, (tau, cost) in enumerate([(0.1, 0.01), (0.9, 1.0), (0.5, 2.0)])
    ]
    unknown = replace(cleansing(make, "a", dataset="wine"), cpu_seconds=1.0)
    (sketch,) = figure_costs.tau_against_seconds([*records, unknown])
    (axes,) = sketch.drawing.axes
    assert axes.get_title(loc="left") == "digits · cnn"
    assert axes.lines[-1].get_xydata() == pytest.approx(np.array([[0.01, 0.1], [1.0, 0.9]]))
    assert [text.get_text() for text in axes.texts][1:] == ["m0", "m1"]
    assert not list(figure_costs.tau_against_seconds([unknown]))


def test_gain_against_auc_names_its_methods(make: Make):
    """A point a method at the mean over seeds; where no wrong labels are known, nothing."""
    records = [
        cleansing(make, m, s, value=gain, scored={"mislabel_auc": auc + 0.1 * s})
        for m, gain, auc in (("a", 0.03, 0.9), ("b", 0.02, 0.6), ("c", 0.01, 0.7))
        for s in range(2)
    ]
    (sketch,) = gain_against_auc(records)
    (axes,) = sketch.drawing.axes
    assert axes.get_title(loc="right") == "rank correlation 0.50"
    places = {tuple(line.get_xydata().round(9).ravel()) for line in axes.lines[2:]}
    assert places == {(0.95, 3.0), (0.65, 2.0), (0.75, 1.0)}
    assert {"a", "b", "c"} <= set(texts(sketch))
    assert not list(gain_against_auc([cleansing(make)]))


def test_rank_correlation_wants_ranks():
    """1 and -1 where the order is the same or reversed; none of two methods, or of equal ones.

    The random order is no method."""
    points = [Point(str(i), i, i**3) for i in range(5)]
    assert rank_correlation(points) == pytest.approx(1)
    assert rank_correlation([replace(p, score=-p.score) for p in points]) == pytest.approx(-1)
    with_chance = [*points, Point("random seed=1", 100.0, -100.0)]
    assert rank_correlation(with_chance) == pytest.approx(1)
    for none in (points[:2], [replace(p, score=1.0) for p in points]):
        assert np.isnan(rank_correlation(none))


LDS = {"lds_20": 0.9, "lds_0_5": 0.6, "lds_1": 0.7, "lds_5": 0.8}


def test_shares_are_read_from_the_metrics(make: Make):
    """`lds_0_5` is half a percent; other names are other metrics."""
    record = cleansing(make, scored={**LDS, "lds_x": 1.0, "lds_0": 1.0, "lds_1_": 1.0})
    assert shares([record]) == {0.5: "lds_0_5", 1: "lds_1", 5: "lds_5", 20: "lds_20"}


def test_lds_stands_beside_tau(make: Make):
    """A line over the shares, a diamond at tau; SGD-influence however it ranks."""
    records = [
        cleansing(make, m, s, scored={**LDS, "kendall_tau": tau})
        for m, tau in {**{f"m{i}": 0.9 - 0.01 * i for i in range(8)}, "sgd_influence": 0.2}.items()
        for s in range(2)
    ]
    (sketch,) = lds_by_share(records)
    (axes,) = sketch.drawing.axes
    assert axes.get_legend_handles_labels()[1] == [*(f"m{i}" for i in range(6)), "sgd_influence"]
    diamonds = [line for line in axes.lines if line.get_marker() == "D"]
    assert diamonds[-1].get_ydata() == pytest.approx([0.2])
    assert axes.lines[0].get_xydata().tolist() == [
        [x, pytest.approx(y)] for x, y in ((0.5, 0.6), (1, 0.7), (5, 0.8), (20, 0.9))
    ]
    assert not list(lds_by_share([cleansing(make)]))


# The split of the error, and the check


def test_parts_of_the_error_add_up(make: Make):
    """Each bar ends at 100 %, its negative parts left of 0; all methods share a seed's split."""
    split = {
        "SGD-influence": {"read_out": 0.3, "cross_epoch": -0.1, "step": 0.2},
        "no Hessian": {"read_out": 0.1, "cross_epoch": 0.1, "step": 0.1, "curvature": 0.5},
    }
    other = {**split, "SGD-influence": {"read_out": 0.5, "cross_epoch": -0.1, "step": 0.4}}
    records = [
        cleansing(make, m, s, details={"error_split": held})
        for s, held in enumerate((split, other))
        for m in ("a", "b", "c")
    ]
    assert mean_bars(records)["SGD-influence"] == pytest.approx(
        {"read_out": 0.4, "cross_epoch": -0.1, "step": 0.3}
    )
    (sketch,) = error_split(records)
    (axes,) = sketch.drawing.axes
    for y in {patch.get_y() for patch in axes.patches}:
        bars = [p for p in axes.patches if p.get_y() == y]
        signed = [p.get_width() * (1 if p.get_x() >= 0 else -1) for p in bars]
        assert sum(signed) == pytest.approx(100)
    assert {"SGD-influence: relative error 0.60", "no Hessian: relative error 0.80"} <= set(
        texts(sketch)
    )


def check(correlation: Any, error: Any = 0.36, rows: Any = 15) -> dict[str, Any]:
    return {"check": {"rows": rows, "correlation": correlation, "relative_error": error}}


def test_the_check_is_one_line_a_problem(make: Make):
    """The mean over seeds, each counted once however many methods it has."""
    records = [
        cleansing(make, m, s, details=check(c))
        for s, c in enumerate((0.98, 0.88))
        for m in (["a", "b", "c"] if s else ["a"])
    ]
    records.append(cleansing(make, dataset="wine", details=check(0.5, 2.0)))
    one, other = check_lines(records)
    assert one == (
        "influence can be trusted: digits · cnn flip=0.1: correlation 0.93, relative error 0.36 "
        "(15 rows removed one by one, 2 seeds)"
    )
    assert other.startswith("influence cannot be trusted: wine")
    assert other.endswith(f"1 seed){REMEDY}")


@pytest.mark.parametrize(
    ("correlation", "words"),
    [
        (1.0, "can be"),
        (0.9, "can be"),
        (0.89, "care"),
        (0.6, "care"),
        (0.59, "cannot"),
        (-1, "cannot"),
    ],
)
def test_verdicts(correlation: float, words: str):
    """Trusted from .9 on, with care from .6 on."""
    assert words in verdict(correlation)


def test_a_problem_that_was_not_checked_is_named(make: Make):
    """Where the task checks and no seed could; a failed cell says nothing."""
    records = [
        cleansing(make, dataset="mnist"),
        cleansing(make, dataset="wine", details=check(0.95)),
        cleansing(make, dataset="wine", seed=1),
        cleansing(make, dataset="digits", status="failed"),
    ]
    asked = [replace(r, metrics={**r.metrics, METRIC: {}}) for r in records]
    one, other = check_lines(asked)
    assert one == "not checked whether influence can be trusted: mnist · cnn flip=0.1: " + UNKNOWN
    assert "1 seed)" in other


@pytest.mark.parametrize(
    ("reason", "told"),
    [("\x1b it is dear", " it is dear"), (3, UNKNOWN), ("a" * 999, " " + "a" * LONGEST)],
)
def test_why_a_problem_was_not_checked(make: Make, reason: Any, told: str):
    """In the words of the first record that tells, which steer no terminal."""
    record = cleansing(make, details={"unchecked": reason, **check(math.nan)})
    (line,) = check_lines([replace(record, metrics={**record.metrics, METRIC: {}})])
    assert line.endswith(told)
    assert "\x1b" not in line


def test_the_page_has_the_checks(make: Make, tmp_path: Path):
    """In the section of their task, as text."""
    write(cleansing(make, dataset="<b>wine", details=check(0.7)), tmp_path)
    page = board.publish(tmp_path).read_text()
    assert page.count("Can influence be trusted here?") == 1
    assert "<li>influence with care: &lt;b&gt;wine · cnn" in page
    write(cleansing(make, dataset="<b>wine"), tmp_path / "without")
    assert "Can influence" not in board.publish(tmp_path / "without").read_text()


def test_the_summary_ends_with_the_checks(make: Make, tmp_path: Path):
    """After the table; nothing where no record holds one; alone as often as one asks."""
    write(cleansing(make, details=check(0.7)), tmp_path / "with")
    write(cleansing(make), tmp_path / "without")
    for _ in range(2):
        assert board.trust(tmp_path / "with").startswith("influence with care")
        assert not board.trust(tmp_path / "without")
    assert board.summary(tmp_path / "with").splitlines()[-1].startswith("influence with care")
    assert "influence" not in board.summary(tmp_path / "without").splitlines()[-1].split(":")[0][:9]


def test_control_characters_are_not_printed(make: Make):
    """A stranger's data set can't steer the terminal."""
    (line,) = check_lines([cleansing(make, dataset="\x1b[31m", details=check(0.95))])
    assert "\x1b" not in line


# Strangers


HUGE = 10**400
ODD: list[dict[str, Any]] = [
    {},
    {name: 3 for name in (*CURVE, "exhibits", "error_split", "check", "accuracy_last")},
    {name: [] for name in (*CURVE, "exhibits", "error_split", "check", "accuracy_last")},
    {name: {} for name in (*CURVE, "exhibits", "error_split", "check", "accuracy_last")},
    {name: HUGE for name in (*CURVE, "exhibits", "error_split", "check", "accuracy_last")},
    {
        "exhibits": [
            3,
            None,
            [],
            {},
            {"kind": []},
            {"kind": "harmful"},
            {"kind": "harmful", "text": 3},
        ]
    },
    {"exhibits": [{"kind": "harmful", "text": "\x00\x1b<b>$x_1$\n" * 90, "label": 3, "truly": {}}]},
    {"exhibits": [{"kind": "harmful", "picture": odd, "label": []} for odd in ODD_PICTURES]},
    {"exhibits": [{"kind": "helpful", "label": "<script>", "picture": picture(PLAIN)}] * 900},
    {"error_split": {"SGD-influence": 3, "no Hessian": {"read_out": "x", "step": None}}},
    {"error_split": {"SGD-influence": {"read_out": 1e300, "step": -1e300, "cross_epoch": 1e-9}}},
    {"error_split": {"SGD-influence": {part: -1.0 for part in PARTS}, "x": {}}},
    *(
        check(c, e, r)
        for c, e, r in ((None, 1, 15), ("x", [], {}), (HUGE, 1, 15), (0.9, 1e300, 1e300))
    ),
    {**CURVE, "removed": [0]},
    {**CURVE, "removed": [0], "accuracy": [0.9]},
    {**CURVE, "removed": [-5, 3, None, 1e300], "accuracy": [None, 2, "x", -1e300]},
    {**CURVE, "n_train": 0},
    {**CURVE, "n_train": "x", "accuracy": "y"},
    {**CURVE, "accuracy_random": [1], "accuracy_last": [[1], [2]]},
]


@pytest.mark.parametrize("dataset", ["digits", "wine"])
def test_strangers_cost_nobody_else_a_figure(
    dataset: str, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """All sorts of odd details beside good ones: every figure is there, nothing warns."""
    good = {
        **CURVE,
        "accuracy_last": CURVE["accuracy"],
        "exhibits": rows_shown(text="a=b"),
        **check(0.95),
    }
    good["error_split"] = {"SGD-influence": {"read_out": 0.1}, "no Hessian": {"curvature": 0.2}}
    scored = {**LDS, "kendall_tau": 0.5, "mislabel_auc": 0.7}
    records = [cleansing(make, "a", scored=scored, details=good, cpu_seconds=0.1)]
    records += [
        cleansing(make, f"odd_{i}", dataset=dataset, details=odd, scored=scored, cpu_seconds=0.1)
        for i, odd in enumerate(ODD)
    ]
    names = {f.svg.stem.removeprefix("cleansing_") for f in draw(records, tmp_path)}
    wanted = {"by_method", "removal", "removal_last", "test_error", "exhibits", "costs", "lds"}
    assert names - {"exhibits_2"} == {*wanted, "mislabels", "error_split"}
    assert not caplog.records
    assert check_lines(records)[0].startswith("influence can be trusted: digits")


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_a_stranger_alone_breaks_nothing(odd: dict, make: Make):
    """What can be drawn of it is, the rest isn't."""
    record = cleansing(make, details=odd)
    assert len(check_lines([record])) <= 1
    for sketcher in OF_TASK["cleansing"]:
        for sketch in sketcher([record]):
            sketch.drawing.draw_without_rendering()


@pytest.mark.parametrize("odd", [None, "x", [], {}, HUGE, float("nan"), float("inf"), True])
def test_odd_scores_cost_no_figure(odd: Any, make: Make, caplog: pytest.LogCaptureFixture):
    """Nor do odd settings: they are no removals in rows."""
    scored = dict.fromkeys((*LDS, "kendall_tau", "mislabel_auc"), odd)
    settings = {"removals": odd}
    record = cleansing(make, scored=scored, settings=settings, details=CURVE)
    for sketcher in OF_TASK["cleansing"]:
        for sketch in sketcher([record]):
            sketch.drawing.draw_without_rendering()


def test_numbers_have_no_largest():
    """A whole number beyond floating point is no number, and no crash."""
    assert np.isnan(number(HUGE))
    assert number(-3) == -3


def test_figures_hold_no_more_than_a_page(make: Make):
    """Forty methods on four problems: a size that fits, and names that don't pile up."""
    rng = np.random.default_rng(0)
    records = [
        cleansing(
            make,
            f"a_rather_long_name_{m}",
            seed,
            dataset=f"data {d}",
            value=rng.normal() / 50,
            cpu_seconds=float(10 ** rng.uniform(-4, 2)),
            scored={name: rng.random() for name in (*LDS, "kendall_tau", "mislabel_auc")},
            details=CURVE,
        )
        for m in range(40)
        for d in range(4)
        for seed in range(2)
    ]
    for sketcher in OF_TASK["cleansing"]:
        for sketch in sketcher(records):
            assert 96 * sketch.drawing.get_size_inches()[0] < 1300, sketch.name
    (sketch,) = gain_against_auc(records)
    sketch.drawing.draw_without_rendering()
    for axes in sketch.drawing.axes:
        names = [text for text in axes.texts if text.get_text().startswith("a_")]
        boxes = [Text.get_window_extent(name) for name in names]  # without its leader
        assert boxes or not axes.axison
        for i, box in enumerate(boxes):
            assert not any(box.shrunk(0.9, 0.9).overlaps(b.shrunk(0.9, 0.9)) for b in boxes[:i])


def test_long_names_leave_room():
    """Round numbers are written shorter, others aren't changed; both ends of a name stay."""
    assert short("leave_one_out flops=20000000000000.0") == "leave_one_out flops=2e+13"
    assert short("random seed=12345678") == "random seed=12345678"
    assert short("dattri_arnoldi damping=10.0") == "dattri_arnoldi damping=10.0"
    assert short("screen_and_verify flops=20000000000000.0") == "screen_and_ve…fy flops=2e+13"
