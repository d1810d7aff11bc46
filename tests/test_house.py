"""The house stays as its plan says: folders, plug-ins and their yamls, import names."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from bench.components import Shelf, target

ROOT = Path(__file__).parent.parent
SHELF = Shelf()
TOP = {
    *("pyproject.toml", "README.md", "LICENSE", ".gitignore", ".ci"),
    *("bench", "methods", "datasets", "conf", "tests", "results"),
}
CONFIGURED = [
    (group, name)
    for group in ("dataset", *(f"method/{task}" for task in SHELF.names("task")))
    for name in SHELF.names(group)
]


def source_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def plugins() -> list[Path]:
    """Files that define a method or a data set; what only helps them needs no yaml."""
    return [
        path
        for path in source_files("methods", "datasets")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
        and {"explain", "load"}
        & {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    ]


def tracked() -> set[str]:
    """The top level as git knows it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("no git checkout")
    return {line.split("/")[0] for line in listed.stdout.splitlines()}


def test_top_level_is_as_the_user_wished():
    """Nothing else stands at the top."""
    assert tracked() <= TOP


def test_every_folder_with_code_is_packaged():
    """pyproject's `packages`, mapped by `package-dir`, are the tree's folders with code."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = setuptools["package-dir"]
    packaged = {
        folders.get(name, name.replace(".", "/").removeprefix("earnest/"))
        for name in setuptools["packages"]
    }
    held = {
        str(path.parent.relative_to(ROOT)) for path in source_files("bench", "methods", "datasets")
    }
    assert packaged == held | {"conf"}


def test_engine_packages_are_seen_by_the_import_linter():
    """A folder of `bench` without `__init__.py` would be left out of the layers unnoticed."""
    for folder in {path.parent for path in source_files("bench")}:
        assert (folder / "__init__.py").is_file(), folder


def test_plugin_folders_have_no_init():
    """A plain package called `datasets` would shadow HuggingFace's."""
    assert not [path for path in source_files("methods", "datasets") if path.stem == "__init__"]


@pytest.mark.parametrize(("group", "name"), CONFIGURED, ids="/".join)
def test_yaml_names_a_class_of_its_own_folder(group: str, name: str):
    """`earnest.methods.<task>.<file>.<Class>`, and the file is there."""
    path = SHELF.config(group, name)["_target_"]
    folder = "datasets" if group == "dataset" else group.replace("method/", "methods.")
    assert re.fullmatch(rf"earnest\.{re.escape(folder)}\.[a-z0-9_]+\.[A-Z]\w*", path), path
    assert (
        ROOT / (path.removeprefix("earnest.").rpartition(".")[0].replace(".", "/") + ".py")
    ).is_file()
    target(SHELF.config(group, name))


@pytest.mark.parametrize("path", plugins(), ids=lambda path: str(path.relative_to(ROOT)))
def test_plugin_has_a_yaml(path: Path):
    """No registration: a class that explains or loads is there because a yaml names its file."""
    module = "earnest." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
    named = {SHELF.config(group, name)["_target_"].rpartition(".")[0] for group, name in CONFIGURED}
    assert module in named


@pytest.mark.parametrize(
    "path", source_files("bench", "methods", "datasets"), ids=lambda p: str(p.relative_to(ROOT))
)
def test_file_opens_with_a_sentence_and_never_imports_earnest(path: Path):
    """Code imports `bench` and siblings relatively; only yaml names `earnest.*`."""
    tree = ast.parse(path.read_text())
    docstring = ast.get_docstring(tree)
    assert docstring
    assert docstring.splitlines()[0].endswith((".", "?"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if node.level == 0 else []
        else:
            continue
        assert not [
            name for name in names if name.split(".")[0] in ("earnest", "methods", "datasets")
        ]


def test_ci_runs_the_readmes_own_test_command():
    """The README's second bash block is the one that `.ci/run` takes, and it runs pytest."""
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    script = (ROOT / ".ci" / "run").read_text()
    (function,) = re.findall(r"^readme_command\(\).*$", script, re.M)
    command = f"set -euo pipefail; {function}; readme_command 2"
    shown = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout == blocks[1]
    assert "pytest" in blocks[1]
    assert "test_command=$(readme_command 2)" in script
