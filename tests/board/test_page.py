"""The page in a real browser, offline: sorts, filters, opens, exports; harmless to the reader."""

import base64
import gzip
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import board
from bench.board.command import command_of
from bench.record import Record, write

Make = Callable[..., Record]
HOSTILE = '<script>window.hacked = 1</script><img src=x onerror="window.hacked=1">'


@pytest.fixture(scope="module")
def page_file(suite: Path) -> Path:
    return board.publish(suite)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on the path")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a file offline; at the end nothing may have gone wrong or been asked for."""
    contexts, wrong = [], []

    def open_page(file: Path, state: str = "", **options: Any) -> Any:
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda m: m.type in ("error", "warning") and wrong.append(m.text))
        page.on(
            "request",
            lambda r: r.url.startswith(("file:", "data:", "blob:")) or wrong.append(r.url),
        )
        page.goto(file.as_uri() + state)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def methods(page: Any, task: str = "attribution") -> list[str]:
    """Names in the first visible table of a task, as they stand."""
    table = page.locator(f"section[data-task={task}] table.board:visible").first
    return [row.get_attribute("data-method") for row in table.locator("tbody tr:visible").all()]


def until(page: Any, condition: str) -> None:
    """Wait for a condition; the page's policy forbids playwright's own way, which is `eval`."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"five seconds, and not {condition}")


@pytest.mark.browser
def test_sorting(visit: Callable[..., Any], page_file: Path):
    """By a column and back, told by aria-sort; what has no number stays last."""
    page = visit(page_file)
    assert methods(page)[0] == "kernel_shap_polished"
    head = page.locator("table.board:visible").first.locator("thead th", has_text="digits")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert methods(page)[0] == "exact_optimum"
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert methods(page)[0] in ("gradient", "random")
    mean = page.locator("table.board:visible").first.locator("thead th", has_text="mean")
    mean.get_by_role("button").click()
    assert methods(page)[-1] == "exact_optimum"
    until(page, "location.hash.includes('sort=')")


@pytest.mark.browser
def test_filter_metric_setting_and_state(visit: Callable[..., Any], page_file: Path):
    """What was chosen stands in the address, and the address brings it back."""
    page = visit(page_file)
    section = page.locator("section[data-task=attribution]")
    section.locator("input[name=filter]").fill("grad")
    section.locator("select[name=setting]").select_option("reference=zero")
    section.locator("select[name=metric]").select_option("regret")
    assert len(page.locator("table.board:visible").all()) == 1
    assert sorted(methods(page)) == [
        "gradient",
        "gradient_input",
        "gradient_magnitude",
        "integrated_gradients",
    ]
    again = visit(page_file, page.evaluate("location.hash"))
    assert methods(again) == methods(page)
    assert again.locator("select[name=metric]:visible").input_value() == "regret"


@pytest.mark.browser
def test_one_data_set(visit: Callable[..., Any], page_file: Path):
    """Its column alone is left, beside the mean over all; in all settings, and in the address."""
    page = visit(page_file)
    section = page.locator("section[data-task=attribution]")
    section.locator("select[name=dataset]").select_option("wine")
    heads = page.locator("table.board:visible").first.locator("thead th:visible")
    assert [h.split("\n")[0] for h in heads.all_inner_texts() if h.startswith(("w", "d", "b"))] == [
        "wine",
        "done",
    ]
    row = page.locator("table.board:visible tbody tr").first
    assert row.locator("td:visible").count() == heads.count() - 1
    again = visit(page_file, page.evaluate("location.hash"))
    assert again.locator("select[name=dataset]:visible").input_value() == "wine"
    section.locator("select[name=dataset]").select_option("")
    assert heads.count() == 9


@pytest.mark.browser
def test_many_scores(visit: Callable[..., Any], make: Make, tmp_path: Path):
    """Those behind the first four stand in a group of the list, and folded without JavaScript."""
    info = {"direction": "higher", "range": [0, 1], "unit": "", "definition": "", "source": ""}
    names = [f"score_{i}" for i in range(9)]
    for method in ("a", "b"):
        record = make(method=method, value=0.5)
        scores = {name: {"value": 0.5, "n": 1, "se": None, "note": ""} for name in names}
        write(replace(record, scores=scores, metrics=dict.fromkeys(names, info)), tmp_path)
    file = board.publish(tmp_path)
    page = visit(file)
    assert page.locator("select[name=metric] optgroup option").count() == 5
    page.locator("select[name=metric]").select_option("score_7")
    assert page.locator("table.board:visible").get_attribute("data-metric") == "score_7"
    plain = visit(file, java_script_enabled=False)
    assert plain.locator("details.metric:visible").count() == 3
    plain.locator("summary", has_text="More scores").click()
    assert plain.locator("details.metric:visible").count() == 8


@pytest.mark.browser
def test_tabs(visit: Callable[..., Any], page_file: Path):
    """One task at a time; failures have a place of their own, with their traceback."""
    page = visit(page_file)
    page.get_by_role("link", name="companion").click()
    assert methods(page, "companion")
    assert page.locator("section[data-task=attribution]").is_hidden()
    page.get_by_role("link", name="not answered").click()
    failure = page.locator(".failure").first
    assert "array must not contain infs" in failure.inner_text()
    failure.locator("summary").click()
    assert "Traceback" in failure.locator("pre").inner_text()


@pytest.mark.browser
def test_drill_down(visit: Callable[..., Any], page_file: Path):
    """From a method to its data sets, seeds, settings and the command that runs a cell again."""
    page = visit(page_file)
    page.locator("table.board:visible").first.get_by_role("button", name="lime").click()
    dialog = page.locator("dialog")
    assert dialog.locator("h2").inner_text() == "lime"
    group = dialog.locator("details", has_text="digits · cnn · reference=mean").first
    group.locator("summary").first.click()
    assert group.locator("tbody tr").count() == 4
    group.locator("details summary").first.click()
    assert group.locator("pre").first.inner_text() == (
        "earnest run suite=made task=attribution 'setting={reference:mean}' dataset=digits "
        "model=cnn method=lime seed=0"
    )
    until(page, "location.hash.includes('method=lime')")
    dialog.get_by_role("button", name="Close").click()
    until(page, "!location.hash.includes('method=')")
    assert dialog.is_hidden()


@pytest.mark.browser
def test_rule_lists_are_tables(visit: Callable[..., Any], make: Make, tmp_path: Path):
    """A companion's list in its dialog, a row a rule; what a record says is text."""
    told = {
        "rules": ["age > 44 and sex = Male -> yes", f"{HOSTILE} -> {HOSTILE}"],
        "default": "no",
        "transparency": [0, 0.254, 0.6, 1],
        "accuracy": [0.9, 0.91, 0.88, 0.8],
        "certificate": {"status": HOSTILE},
    }
    for seed, details in enumerate((told, {})):
        write(replace(make("companion", "greedy", seed, value=0.8), details=details), tmp_path)
    page = visit(board.publish(tmp_path))
    page.locator("table.board:visible tbody button").first.click()
    page.locator("dialog summary", has_text="rule list").click()
    rows = page.locator("dialog table.rules tbody tr")
    cells = [row.locator("td").all_inner_texts() for row in rows.all()]
    assert [[cell.strip() for cell in row] for row in cells] == [
        ["0", "black box alone", "", "0 %", "0.900", "100 %"],
        ["1", "if age > 44 and sex = Male", "yes", "25 %", "0.910", "75 %"],
        ["2", f"else if {HOSTILE}", HOSTILE, "60 %", "0.880", "40 %"],
        ["3", "else", "no", "100 %", "0.800", "0 %"],
    ]
    assert page.evaluate("window.hacked") is None


@pytest.mark.browser
def test_csv_download(visit: Callable[..., Any], page_file: Path, suite: Path):
    """The button saves the table that lies beside the page."""
    page = visit(page_file, accept_downloads=True)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    saved = Path(download.value.path()).read_text()
    assert saved == (suite / "leaderboard.csv").read_text()
    assert download.value.suggested_filename == "made.csv"


@pytest.mark.browser
@pytest.mark.parametrize("task", ["attribution", "cleansing", "-failures"])
@pytest.mark.parametrize("width", [320, 390])
def test_phone(visit: Callable[..., Any], page_file: Path, task: str, width: int):
    """No sideways scrolling but inside a table's own box."""
    page = visit(page_file, f"#task={task}", viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.browser
def test_without_javascript(visit: Callable[..., Any], page_file: Path):
    """All tables are there, the headline's in sight."""
    page = visit(page_file, java_script_enabled=False)
    assert methods(page)[0] == "kernel_shap_polished"
    assert page.locator("section:visible").count() == 4
    assert page.locator("form:visible").count() == 0
    page.locator("section[data-task=attribution] summary", has_text="regret").click()
    assert page.locator("table.board[data-metric=regret]:visible").count() == 2


@pytest.mark.browser
def test_hostile_names_are_text(visit: Callable[..., Any], make: Make, tmp_path: Path):
    """In tables, in the dialog and in failures; nothing of a record is ever run."""
    suite = tmp_path / "suite"
    for seed in range(2):
        record = make(HOSTILE, HOSTILE, seed, dataset=HOSTILE, settings={HOSTILE: HOSTILE}, value=1)
        record.scores["score"]["note"] = HOSTILE
        write(record, suite)
    write(
        make(HOSTILE, "f", 2, status="failed", stage="x", reason=HOSTILE, traceback=HOSTILE), suite
    )
    page = visit(board.publish(suite))
    page.locator("table.board:visible tbody button").first.click()
    page.locator("dialog details details summary").first.click()
    assert page.locator("dialog h2").inner_text() == HOSTILE
    assert page.evaluate("window.hacked") is None
    assert page.locator("script").count() == 2


def test_embedded_json_cannot_end_its_element(make: Make, tmp_path: Path):
    """`</script>` in a name is compressed away, and comes back when the JSON is read."""
    name = "</script><script>alert(1)</script><!--"
    write(make(method=name, value=1.0), tmp_path)
    text = board.publish(tmp_path).read_text()
    (payload,) = re.findall(r'<script type="text/plain" id="data">([\w+/=]*)</script>', text)
    loaded = json.loads(gzip.decompress(base64.b64decode(payload)))
    assert loaded["records"][0]["method"] == name
    assert "<script>alert" not in text
    assert text.count("</script>") == 2


def test_the_page_asks_for_nothing(page_file: Path):
    """Everything is inside: no address of another place, no file beside it but the CSV."""
    text = page_file.read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert all(s.startswith(("data:image/svg+xml", "#", "leaderboard.csv")) for s in sources)
    assert "default-src 'none'" in text


def test_a_gpu_is_another_machine(make: Make, tmp_path: Path):
    """The page names it, warns of times, and gives the command that runs there."""
    plain, on_gpu = make(seed=0), replace(make(seed=1), device="A <card>")
    write(plain, tmp_path)
    assert "come from several machines" not in board.publish(tmp_path).read_text()
    write(on_gpu, tmp_path)
    page = board.publish(tmp_path).read_text()
    assert "A &lt;card&gt; on a machine" in page
    assert "come from several machines" in page
    assert command_of(on_gpu) == f"{command_of(replace(on_gpu, device='cpu'))} device=cuda"
