"""What companions' pictures and tables say is what the records hold."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from bench import inspection
from bench.board import figure_companion, figure_gap
from bench.board.figure_companion import of_each_data_set, transparency
from bench.board.figure_gap import gap_over_time
from bench.board.figure_rule_list import best, rule_lists
from bench.board.figures import OF_TASK, draw
from bench.board.panels import SOFT
from bench.board.rule_list import LINES, as_text, rule_table, wrapped
from bench.record import Record, write
from bench.rules import Rule
from bench.rules.exact import certify
from bench.tasks.base import Case
from bench.tasks.companion import Companion, Held

Make = Callable[..., Record]

LIST: dict[str, Any] = {
    "rules": ["age > 44 and sex = Male -> yes", "hours <= 40 -> no"],
    "default": "yes",
    "transparency": [0.0, 0.25, 0.6, 1.0],
    "accuracy": [0.9, 0.91, 0.88, 0.8],
    "train_objective": 0.85,
    "alpha": 0.001,
    "certificate": {
        "status": "proved optimal up to 2 rules",
        "optima": [0.6, 0.8, 0.85],
        "cpu_seconds": [0.001, 0.01, 0.1],
        "bound": 0.87,
        "any_length": False,
    },
}


def companion(
    make: Make,
    method: str = "annealing",
    seed: int = 0,
    value: float = 0.8,
    seconds: Any = 0.1,
    fields: Any = None,
    more: dict[str, Any] | None = None,
    **told: Any,
) -> Record:
    """A record with the details `LIST`, some of them replaced; `fields` are the method's own."""
    known = {"settings": {"objective": "autac"}, "dataset": "adult", "model": "forest"}
    made = make("companion", method, seed, value=value, **known | (more or {}))
    config = {**made.config, "method": {"config": fields or {}}}
    return replace(made, details={**LIST, **told}, cpu_seconds=seconds, config=config)


def texts(sketch: Any) -> list[str]:
    return [text.get_text() for axes in sketch.drawing.axes for text in axes.texts]


# The list as a table


def test_lines_of_a_list(make: Make):
    """The black box alone, each rule, the default; T and A after each, the rest is the box's."""
    table = rule_table(companion(make))
    assert table
    assert [(s.lead, s.condition, s.label) for s in table.steps] == [
        ("", "black box alone", ""),
        ("if", "age > 44 and sex = Male", "yes"),
        ("else if", "hours <= 40", "no"),
        ("else", "", "yes"),
    ]
    assert [s.transparency for s in table.steps] == LIST["transparency"]
    assert [s.accuracy for s in table.steps] == LIST["accuracy"]
    assert [s.left for s in table.steps] == pytest.approx([1, 0.75, 0.4, 0])
    assert "proved optimal up to 2 rules" in table.foot
    assert "0.8500" in table.foot


def test_a_list_of_no_rules(make: Make):
    """The black box, then the default rule: no `if` is left over."""
    table = rule_table(companion(make, rules=[], transparency=[0, 1], accuracy=[0.9, 0.7]))
    assert table
    assert [s.lead for s in table.steps] == ["", "else"]


def test_the_task_itself_writes_what_is_read(make: Make):
    """Details of the task's own scores give a table, a proof and an objective."""
    problem = Companion().tiny()
    places = certify(problem.ground, longest=2)
    case = Case(problem, Held(problem.train, certificate=places))
    rules = problem.labelled([Rule((0, 2)), Rule((1,))])
    details = Companion().scores((case,), (rules,)).details
    record = replace(companion(make), details=details)
    table = rule_table(record)
    assert table
    assert [s.condition for s in table.steps] == ["black box alone", "a and b", "not a", ""]
    assert table.steps[-1].transparency == 1
    found = figure_gap.proof(record)
    assert found
    assert found.optima.tolist() == pytest.approx(places.optima)
    assert figure_gap.objective(record) == pytest.approx(problem.value(rules))


HOSTILE = [
    {"rules": None},
    {"rules": "a -> b"},
    {"rules": [3, 4]},
    {"rules": ["no arrow", "hours <= 40 -> no"]},
    {"rules": ["a -> b"] * 5000},
    {"rules": {"a -> b": 1}},
    {"default": 3},
    {"default": None},
    {"transparency": [0, 1]},
    {"transparency": 0.5},
    {"transparency": [0, "a", None, 1]},
    {"transparency": [0, 0.2, 0.5, 2.0]},
    {"accuracy": [0.9, 0.9, 0.9, 1e400]},
    {"accuracy": [-1, 0.9, 0.9, 0.9]},
    {"accuracy": {}},
]


@pytest.mark.parametrize("told", HOSTILE)
def test_what_is_no_list_is_left_out(told: dict[str, Any], make: Make):
    assert rule_table(companion(make, **told)) is None
    assert list(rule_lists([companion(make, **told)])) == []


@pytest.mark.parametrize(
    "told",
    [
        {"certificate": None, "alpha": "x", "train_objective": [1]},
        {"certificate": 3, "alpha": None, "train_objective": math.nan},
        {"certificate": {"status": 3}, "alpha": {}, "train_objective": None},
    ],
)
def test_a_list_without_a_proof_is_shown_all_the_same(told: dict[str, Any], make: Make):
    table = rule_table(companion(make, **told))
    assert table
    assert table.foot == ""
    assert as_text(table).endswith("0 %")
    assert len(list(rule_lists([companion(make, **told)]))) == 1


def test_long_conditions_are_wrapped():
    """Before an `and` where there is one, no word lost; what is longer than three lines ends so."""
    condition = " and ".join(f"column number {i} <= {i}.5" for i in range(6))
    lines = wrapped(condition, 60)
    assert " ".join(lines) == condition
    assert all(line.startswith("and ") for line in lines[1:])
    assert max(map(len, lines)) <= 60
    cut = wrapped(" and ".join([condition] * 5), 60)
    assert len(cut) == LINES
    assert cut[-1].endswith("…")
    assert "".join(wrapped("x" * 100, 40)) == "x" * 100
    assert wrapped("", 40) == [""]


def test_the_table_as_text(make: Make):
    """Columns of one width; control characters of a stranger don't reach the terminal."""
    told = {"rules": ["a\x1b[31m > 1 -> y\nes", f"{'long ' * 40}-> no"], "default": "\x07"}
    table = rule_table(companion(make, **told))
    assert table
    lines = as_text(table).split("\n")
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", "\n".join(lines))
    numbered = [line for line in lines if line.endswith("%")]
    assert [re.findall(r"(\d+) %  (\d\.\d+)", line)[0] for line in numbered] == [
        ("0", "0.900"),
        ("25", "0.910"),
        ("60", "0.880"),
        ("100", "0.800"),
    ]
    assert len({len(line) for line in [lines[0].ljust(len(numbered[0])), *numbered]}) == 1
    assert lines[-1].startswith("training objective 0.8500, alpha 0.001, certificate: proved")


def test_show_prints_the_list(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Below the record, above the command; no table for a record of another task."""
    record = replace(companion(make), config={"a": 1}, key="")
    for record in (make("companion", details=LIST), make("attribution", value=1.0)):
        write(record, tmp_path / "suite")
        assert inspection.show(record.key[:12], tmp_path) == 0
        shown = capsys.readouterr().out
        assert ("else if  hours <= 40" in shown) is (record.task == "companion")
        assert shown.rstrip().split("\n")[-1].startswith("# again: earnest run")


def test_the_best_method_of_the_first_seed_is_shown(make: Make):
    """The best in the mean over seeds; a control only where there is nothing else."""
    values = {"greedy": (0.9, 0.1), "annealing": (0.7, 0.8), "random_rules": (0.99, 0.99)}
    records = [
        companion(make, method, seed, value)
        for method, by_seed in values.items()
        for seed, value in zip((3, 5), by_seed, strict=True)
    ]
    assert (best(records).method, best(records).seed) == ("annealing", 3)
    assert best([r for r in records if r.method == "random_rules"]).method == "random_rules"
    only_later = [r for r in records if (r.method, r.seed) != ("annealing", 3)]
    assert best(only_later).method == "greedy"


def test_the_drawn_table_says_what_the_record_says(make: Make):
    """Every condition, label, share and accuracy; bars as long as T."""
    (sketch,) = rule_lists([companion(make)])
    written = texts(sketch)
    for text in ("black box alone", "age > 44 and sex = Male", "hours <= 40", "else if", "else"):
        assert text in written
    assert [t for t in written if t in ("yes", "no")] == ["yes", "no", "yes"]
    assert [t for t in written if re.fullmatch(r"0\.\d{3}", t)] == [
        *("0.900", "0.910", "0.880", "0.800")
    ]
    shares = ["0 %", "100 %", "25 %", "75 %", "60 %", "40 %", "100 %", "0 %"]
    assert [t for t in written if t.endswith("%")] == shares
    widths = [bar.get_width() for bar in sketch.drawing.axes[0].patches]
    assert np.divide(widths[1::2], widths[::2]) == pytest.approx(LIST["transparency"])
    assert "seed 0" in sketch.caption
    assert "annealing" in sketch.caption


def test_long_lists_are_cut(make: Make):
    """The first rules and the default stay, and the figure says how many are missing."""
    share = np.linspace(0, 1, 202).tolist()
    told = {"rules": [f"a > {i} -> b" for i in range(200)]}
    (sketch,) = rule_lists([companion(make, **told, transparency=share, accuracy=share)])
    written = texts(sketch)
    assert "a > 23" in written
    assert "a > 24" not in written
    assert "201" in written
    assert written[-1].endswith("176 rules before the last aren't drawn")
    assert sketch.drawing.get_size_inches()[1] < 10


def test_four_data_sets_are_shown(make: Make):
    """Not four models of the first one; how many are missing is said once."""
    records = [
        companion(make, more={"dataset": f"data {i}", "model": model})
        for i in range(5)
        for model in ("box", "forest")
    ]
    sketches = list(rule_lists(records))
    assert [s.name for s in sketches] == [
        *("rule_list", "rule_list_2", "rule_list_3", "rule_list_4")
    ]
    assert [s.caption.split(",")[0] for s in sketches] == [f"data {i}" for i in range(4)]
    assert ["6 more problems" in s.caption for s in sketches] == [True, False, False, False]
    kept, missing = of_each_data_set(records, 7)
    assert missing == 3
    assert {(r.dataset, r.model) for r in kept} == {
        *((f"data {i}", "box") for i in range(5)),
        *((f"data {i}", "forest") for i in range(2)),
    }


# The gap over time


def test_budgets_of_one_method_are_joined(make: Make):
    """By the one number in which they differ, the default among them; nothing else is."""

    def record(method: str, **fields: Any) -> Record:
        return companion(make, method, fields=fields)

    records = [
        record("annealing seconds=10", _target_="a", seconds=10, polish=True),
        record("annealing seconds=0.1", _target_="a", seconds=0.1, polish=True),
        record("annealing seconds=1", _target_="a", seconds=1, polish=True),
        record("annealing", _target_="a", seconds=None, polish=True),
        record("annealing polish=False", _target_="a", seconds=None, polish=False),
        record("exact", _target_="e", seconds=10, start={"seconds": 1}),
        record("exact seconds=3", _target_="e", seconds=3, start={"seconds": 1}),
        record("beam", _target_="b", width=100),
        companion(make, "foreign", fields=["x"]),
    ]
    assert figure_gap.lines_of(records) == {
        "annealing, seconds": [f"annealing seconds={s}" for s in ("0.1", "1", "10")],
        "exact, seconds": ["exact seconds=3", "exact"],
        **{m: [m] for m in ("annealing", "annealing polish=False", "beam", "foreign")},
    }


def test_fields_of_a_part_are_joined_too(make: Make):
    """A name says the part's field alone, as a method's label does."""
    records = [
        companion(make, f"exact sweeps={n}", fields={"seconds": 1, "start": {"sweeps": n}})
        for n in (20, 10)
    ]
    assert figure_gap.lines_of(records) == {"exact, sweeps": ["exact sweeps=10", "exact sweeps=20"]}


@pytest.fixture
def searches(make: Make) -> list[Record]:
    """Two seeds whose objectives lie far apart; a proof of two rules and one of three."""
    longer = {
        "optima": [0.1, 0.3, 0.35, 0.4],
        "cpu_seconds": [0.001, 0.04, 0.4, 4.0],
        "bound": 0.47,
        "any_length": False,
    }
    found = {
        "annealing seconds=0.1": ((0.84, 0.41), (0.1, 0.4)),
        "annealing seconds=1": ((0.85, 0.45), (1.0, 1.0)),
        "greedy": ((0.75, 0.43), (0.001, 0.001)),
    }
    return [
        companion(
            make,
            method,
            seed,
            seconds=seconds[seed],
            train_objective=objective[seed],
            fields={"_target_": method.split(" ")[0], "seconds": float(seconds[0])},
            **({"certificate": longer} if seed else {}),
        )
        for method, (objective, seconds) in found.items()
        for seed in (0, 1)
    ]


def test_gaps_are_to_the_best_of_the_same_seed(searches: list[Record]):
    """Means over seeds, each against its own best; seconds in the geometric mean."""
    seeds = figure_gap.seeds_of(searches)
    assert (seeds[0].best, seeds[1].best) == (0.85, 0.45)
    found = figure_gap.point([r for r in searches if r.method.endswith("=0.1")], seeds)
    assert found
    assert found.gap == pytest.approx((0.01 + 0.04) / 2)
    assert found.se == pytest.approx(0.03 / 2)
    assert found.seconds == pytest.approx(math.sqrt(0.1 * 0.4))
    alone = figure_gap.point(searches[:1], seeds)
    assert alone
    assert (alone.se, figure_gap.point([], seeds)) == (0, None)


def test_a_proved_optimum_is_known_too(searches: list[Record]):
    """Where no method found the best list of at most K rules, the gap is to that."""
    greedy = [r for r in searches if r.method == "greedy" and r.seed == 0]
    assert figure_gap.seeds_of(greedy)[0].best == 0.85


def test_steps_of_the_certificate(searches: list[Record]):
    """Up to the K proved in both seeds, in means; a proof for any length goes on with its last."""
    seeds = list(figure_gap.seeds_of(searches).values())
    found = figure_gap.steps(seeds)
    assert list(found) == [1, 2]
    assert found[1].gap == pytest.approx((0.05 + 0.15) / 2)
    assert found[2].gap == pytest.approx((0.0 + 0.10) / 2)
    assert found[2].seconds == pytest.approx(math.sqrt(0.1 * 0.4))
    assert seeds[0].proof
    whole = replace(seeds[0], proof=replace(seeds[0].proof, whole=True))
    extended = figure_gap.steps([whole, seeds[1]])
    assert list(extended) == [1, 2, 3]
    assert extended[3].gap == pytest.approx((0.0 + 0.05) / 2)
    assert extended[3].seconds == pytest.approx(math.sqrt(0.1 * 4.0))
    assert figure_gap.steps([seeds[0], replace(seeds[1], proof=None)]) == {}
    assert figure_gap.steps([]) == {}


def test_the_gap_is_drawn_where_the_records_say(searches: list[Record]):
    """A line with two budgets, a point, the steps with their K, and what is proved in words."""
    (sketch,) = gap_over_time(searches)
    (axes,) = sketch.drawing.axes
    drawn = {box.get_label(): box.lines[0].get_xydata() for box in axes.containers}
    assert list(drawn) == ["annealing, seconds", "greedy"]
    np.testing.assert_allclose(drawn["annealing, seconds"], [[0.2, 0.025], [1.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(drawn["greedy"], [[0.001, 0.06]])
    assert [t for t in texts(sketch) if t.startswith("K=")] == ["K=1", "K=2"]
    assert "Proved: adult, forest: K = 2, one rule more is at most 0.0200 better." in sketch.caption
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"any_length": True}, "adult, forest: lists of any length."),
        ({"bound": 0.84}, "K = 2, one rule more is no better."),
        ({"bound": 0.855}, "K = 2, one rule more is at most 0.0050 better."),
    ],
)
def test_what_is_proved_in_words(told: dict[str, Any], words: str, make: Make):
    certificate = {**LIST["certificate"], **told}
    (sketch,) = gap_over_time([companion(make, certificate=certificate)])
    assert words in sketch.caption


@pytest.mark.parametrize(
    "certificate",
    [
        None,
        3,
        {},
        {"optima": [0.1, "a"]},
        {"optima": [0.5, 0.4, 0.3]},
        {"optima": [0.1, 0.2]},
        {"optima": [0.1, 0.2, 1e9]},
        {"optima": [0.1] * 3, "cpu_seconds": [3, 2, 1]},
        {"optima": [0.1] * 5000, "cpu_seconds": [1.0] * 5000},
        {"bound": None},
        {"bound": {}},
    ],
)
def test_a_proof_that_is_none_is_left_out(certificate: Any, make: Make):
    """Its record's list is drawn all the same."""
    if isinstance(certificate, dict) and certificate:
        certificate = {**LIST["certificate"], **certificate}
    record = companion(make, certificate=certificate)
    assert figure_gap.proof(record) is None
    (sketch,) = gap_over_time([record])
    assert len(sketch.drawing.axes[0].containers) == 1
    assert "Proved" not in sketch.caption


@pytest.mark.parametrize(
    ("objective", "seconds"),
    [("x", 1), (None, 1), (5.0, 1), (math.inf, 1), (0.8, None), (0.8, 0), (0.8, -1)],
)
def test_records_without_objective_or_time_are_left_out(objective: Any, seconds: Any, make: Make):
    record = companion(make, train_objective=objective, seconds=seconds)
    assert list(gap_over_time([record])) == []


def test_many_methods_and_problems(make: Make):
    """The best methods, six problems; it says so."""
    records = [
        companion(make, f"method {i}", train_objective=0.8 - i / 100, more={"dataset": f"data {d}"})
        for i in range(30)
        for d in range(8)
    ]
    (sketch,) = gap_over_time(records)
    shown = [axes for axes in sketch.drawing.axes if axes.containers]
    assert len(shown) == figure_gap.PANELS
    labels = [box.get_label() for box in shown[0].containers]
    assert labels == [f"method {i}" for i in range(figure_gap.LINES)]
    assert "2 more problems" in sketch.caption


# Accuracy against transparency


def test_every_method_has_its_curve(make: Make):
    """Fifteen methods, no two alike in colour and dashes; a control is grey and dotted."""
    names = [f"method_{i:02}" for i in range(15)]
    records = [
        companion(make, method, seed, value=0.9 - i / 50)
        for i, method in enumerate([*names, "random_rules"])
        for seed in (0, 1)
    ]
    (sketch,) = transparency(records)
    lines = {line.get_label(): line for line in sketch.drawing.axes[0].lines}
    assert set(lines) == {*names, "random_rules"}
    styles = {(to_hex(lines[n].get_color()), lines[n].get_linestyle()) for n in names}
    assert len(styles) == 15
    assert to_hex(lines["random_rules"].get_color()) == SOFT
    np.testing.assert_allclose(lines["method_00"].get_ydata()[[0, 25, 60, 100]], LIST["accuracy"])
    assert len(sketch.drawing.axes[0].collections) == 16  # bands


def test_a_control_does_not_flatten_the_others(make: Make):
    """A panel ends below the lowest other line; the control leaves it."""
    records = [
        companion(make, black_box_accuracy=0.9),
        companion(make, "random_rules", accuracy=[0.9, 0.6, 0.4, 0.1]),
    ]
    (sketch,) = transparency(records)
    least, most = sketch.drawing.axes[0].get_ylim()
    assert 0.7 < least < 0.8
    assert most >= 0.91
    (alone,) = transparency(records[1:])
    assert alone.drawing.axes[0].get_ylim()[0] <= 0.1


def test_curves_with_holes_are_left_out(make: Make):
    """A curve that lacks a number costs its own line only."""
    holed = companion(make, "holed", accuracy=[0.9, None, 0.8, 0.7])
    (sketch,) = transparency([companion(make), holed])
    assert [line.get_label() for line in sketch.drawing.axes[0].lines] == ["annealing"]
    assert list(transparency([holed])) == []


def test_panels_for_data_sets_and_black_boxes(make: Make):
    """Ten data sets of five models: two models of each are drawn, the rest is counted."""
    records = [
        companion(make, more={"dataset": f"data {i}", "model": f"box {j}"})
        for i in range(10)
        for j in range(5)
    ]
    (sketch,) = transparency(records)
    shown = [axes for axes in sketch.drawing.axes if axes.lines]
    assert len(shown) == figure_companion.MOST
    assert "30 more problems" in sketch.caption


def test_the_task_has_its_figures(searches: list[Record], tmp_path: Path):
    """All lie in the folder, also beside records that hold nonsense."""
    assert {transparency, rule_lists, gap_over_time} <= set(OF_TASK["companion"])
    strange = [replace(searches[0], details=told, seed=9) for told in (HOSTILE[4], {"rules": {}})]
    drawn = {figure.svg.stem for figure in draw([*searches, *strange], tmp_path)}
    assert {f"companion_{n}" for n in ("transparency", "rule_list", "gap")} <= drawn
