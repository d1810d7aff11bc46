from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from bench.cell import Choice
from bench.components import ConfigError, Shelf, build, did_you_mean, merged


@dataclass(frozen=True)
class Inner:
    x: int = 1


@dataclass(frozen=True)
class Outer:
    inner: Inner
    name: str = "a"
    share: float = 0.5
    mode: Literal["on", "off"] = "on"
    sizes: tuple[int, ...] = ()
    limit: int | None = None


HERE = f"{__name__}."


def config(**fields: object) -> dict[str, object]:
    return {"_target_": f"{HERE}Outer", "inner": {"_target_": f"{HERE}Inner"}, **fields}


def test_builds_nested_objects_with_tuples():
    """Nested classes are built first; a yaml list becomes a tuple."""
    built = build(config(sizes=[1, 2], share=1))
    assert built == Outer(Inner(), share=1, sizes=(1, 2))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"nme": "b"}, "did you mean name"),
        ({"name": 3}, "name=3 is no str"),
        ({"share": "much"}, "share='much' is no float"),
        ({"share": float("inf")}, "share=inf is no float"),
        ({"mode": "of"}, "on or off"),
        ({"limit": 1.5}, "limit"),
        ({"sizes": 3}, "sizes"),
    ],
)
def test_wrong_fields_are_refused_with_the_way_out(fields: dict[str, object], words: str):
    """An unknown key and a value of the wrong type are named before anything runs."""
    with pytest.raises(ConfigError, match=words):
        build(config(**fields))


def test_a_class_that_cannot_be_imported_is_named():
    """The import's own error stands in the message."""
    with pytest.raises(ConfigError, match="no.such.module"):
        build({"_target_": "no.such.module.Thing"})


def test_only_dataclasses_are_built():
    """A yaml can't start a process or call a function."""
    for path in ("subprocess.Popen", "os.system", "builtins.eval"):
        with pytest.raises(ConfigError, match="no dataclass"):
            build({"_target_": path, "args": "touch x"})


def test_merged_refuses_unknown_fields():
    """An override must be a field of the class."""
    assert merged(config(), {"share": 0.1}, "outer")["share"] == 0.1
    with pytest.raises(ConfigError, match="did you mean share"):
        merged(config(), {"shar": 0.1}, "outer")


def test_fields_of_a_part_are_replaced_within_it():
    """Others of the part stay; a whole part takes its place; a typo inside is refused."""
    network = {"_target_": "bench.models.network.MLP", "widths": [8]}
    recipe = {"_target_": "bench.models.sgd.SGD", "architecture": network, "epochs": 3}
    found = merged(recipe, {"architecture": {"activation": "gelu"}}, "net")
    assert found["architecture"] == {**network, "activation": "gelu"}
    assert recipe["architecture"] == network
    other = {"_target_": "bench.models.network.CNN"}
    assert merged(recipe, {"architecture": other}, "net")["architecture"] == other
    with pytest.raises(ConfigError, match="did you mean activation"):
        merged(recipe, {"architecture": {"activatio": "gelu"}}, "net")
    assert Choice.parse(
        {"net": {"architecture": {"activation": "gelu"}, "epochs": 3}}, ""
    ).label == ("net activation=gelu epochs=3")


def test_did_you_mean_lists_all_where_nothing_is_near():
    """A name far from all others gets the whole list."""
    assert "known: lime, occlusion" in str(did_you_mean("zzz", ["occlusion", "lime"], "method"))


def test_own_folder_goes_before_the_installed_one(tmp_path: Path):
    """A yaml of the user's adds a name, or takes the place of an installed one."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mlp.yaml").write_text("_target_: mine.Model\n")
    (tmp_path / "model" / "mine.yaml").write_text("_target_: mine.Model\n")
    shelf = Shelf([tmp_path])
    assert {"mine", "mlp", "cnn"} <= set(shelf.names("model"))
    assert shelf.config("model", "mlp") == {"_target_": "mine.Model"}
    with pytest.raises(ConfigError, match="did you mean mine"):
        shelf.config("model", "minne")


@pytest.mark.parametrize("text", ["a: [", "- 1", "\x00"])
def test_a_broken_yaml_is_named(tmp_path: Path, text: str):
    """The file that can't be read stands in the message."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "odd.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"odd\.yaml"):
        Shelf([tmp_path]).config("model", "odd")
