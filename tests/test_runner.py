"""What a sweep loads once before its cells are forked."""

from types import SimpleNamespace

from bench.components import Shelf
from bench.runner import _imports


def cell(name: str) -> SimpleNamespace:
    config = Shelf().config("method/attribution", name)
    return SimpleNamespace(method=SimpleNamespace(config=config))


def test_packages_that_methods_name_are_loaded_once(monkeypatch):
    """Those of the planned methods alone, each once, and none that isn't installed."""
    import bench.runner as runner

    here = {"captum", "zennit"}
    monkeypatch.setattr(runner, "find_spec", lambda name: name if name in here else None)
    cells = [cell(n) for n in ("lime", "captum_lime", "captum_saliency", "shap_kernel")]
    assert _imports(cells) == ["captum.attr"]
    assert _imports([cell("occlusion")]) == []
