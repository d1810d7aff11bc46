"""Models that a yaml names by an import path."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.components import ConfigError, Shelf, build
from bench.data import Samples
from bench.models.base import StorableRecipe
from bench.models.named import NamedFunction, NamedNetwork, mean_input

DATA = Samples(
    torch.randn((6, 4), generator=torch.Generator().manual_seed(0)), torch.arange(6) % 2, 2
)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of a user's."""
    (tmp_path / "mine_of_a_user.py").write_text(
        "import numpy as np\nfrom torch import nn\n"
        "def shares(inputs):\n"
        "    share = 1 / (1 + np.exp(-inputs[:, 0].numpy()))\n"
        "    return np.stack([1 - share, share], axis=1)\n"
        "def net():\n"
        "    hidden = nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout()\n"
        "    return nn.Sequential(*hidden, nn.Linear(3, 2))\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_function_by_name(mine: Path):
    """Its probabilities become margins whose softmax they are; it has no gradient."""
    recipe = NamedFunction("mine_of_a_user:shares", "probabilities")
    assert isinstance(recipe, StorableRecipe)
    model = recipe.fit(DATA, rng=np.random.default_rng(0))
    share = torch.sigmoid(DATA.inputs[:, 0].double())
    torch.testing.assert_close(
        model.margins(DATA.inputs).softmax(1)[:, 1], share, atol=1e-6, rtol=0
    )
    assert model.module is None
    again = recipe.restore(recipe.arrays(model), DATA)
    assert torch.equal(again.margins(DATA.inputs), model.margins(DATA.inputs))


def test_a_network_by_name(mine: Path):
    """In eval mode, with gradients, its random weights from the rng and kept by the arrays; those
    of a file are read."""
    recipe = NamedNetwork("mine_of_a_user:net")
    one, two, three = (recipe.fit(DATA, rng=np.random.default_rng(s)) for s in (0, 0, 1))
    margins = one.margins(DATA.inputs)
    assert margins.requires_grad
    assert not any(part.training for part in one.module.modules())
    assert torch.equal(margins, two.margins(DATA.inputs))
    assert not torch.equal(margins, three.margins(DATA.inputs))
    assert torch.equal(recipe.restore(recipe.arrays(one), DATA).margins(DATA.inputs), margins)
    torch.save(three.module.state_dict(), mine / "weights.pth")
    read = NamedNetwork("mine_of_a_user:net", str(mine / "weights.pth"))
    found = read.fit(DATA, rng=np.random.default_rng(0))
    assert torch.equal(found.margins(DATA.inputs), three.margins(DATA.inputs))


def test_the_shelf_has_one():
    """`callable` is the example, and takes another function by a field."""
    config = Shelf().config("model", "callable")
    model = build(config).fit(DATA, rng=np.random.default_rng(0))
    torch.testing.assert_close(model.margins(DATA.inputs), mean_input(DATA.inputs).double())
    with pytest.raises(ConfigError, match="gives"):
        build({**config, "gives": "numbers"})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("mine_of_a_user.shares", "wanted package.module:name"),
        ("no_such_module:f", "can't be imported"),
        ("mine_of_a_user:nothing", "can't be imported"),
        ("mine_of_a_user:number", "is no function"),
    ],
)
def test_names_that_lead_nowhere(mine: Path, path: str, message: str):
    with pytest.raises(ValueError, match=message):
        NamedFunction(path).fit(DATA, rng=np.random.default_rng(0))


def test_what_is_no_network_is_named(mine: Path):
    with pytest.raises(ValueError, match="no nn.Module"):
        NamedNetwork("builtins:dict").fit(DATA, rng=np.random.default_rng(0))
