"""Networks of torchvision, random ones and those of files."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from bench.data import Samples
from bench.models.pretrained import Pretrained

NAME = "squeezenet1_1"
"""The smallest of them."""


def images(n_classes: int = 4, channels: int = 3) -> Samples:
    pixels = torch.rand((2, channels, 64, 64), generator=torch.Generator().manual_seed(0))
    return Samples(pixels, torch.arange(2), n_classes)


def fitted(recipe: Pretrained, data: Samples, seed: int = 0):
    return recipe.fit(data, rng=np.random.default_rng(seed))


def saved(path: Path, outputs: int = 6):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = torchvision.models.get_model(NAME, weights=None, num_classes=outputs)
    torch.save(net.state_dict(), path)
    return net.eval()


def test_random_weights_follow_the_rng():
    """As many outputs as classes, another seed other weights, the global state left alone; arrays
    make it again."""
    data, recipe = images(), Pretrained(NAME)
    state = torch.get_rng_state()
    one, two, three = (fitted(recipe, data, seed) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    with torch.no_grad():
        margins = one.margins(data.inputs)
        assert margins.shape == (2, 4)
        assert torch.equal(margins, two.margins(data.inputs))
        assert not torch.equal(margins, three.margins(data.inputs))
        again = recipe.restore(recipe.arrays(one), data)
        assert torch.equal(margins, again.margins(data.inputs))


def test_weights_of_a_file_and_preprocessing(tmp_path: Path):
    """(x - mean) / std goes into the file's network; `classes` picks outputs."""
    net, data = saved(tmp_path / "w.pth"), images(2)
    recipe = Pretrained(NAME, str(tmp_path / "w.pth"), outputs=6, classes=(4, 1))
    mean, std = (torch.tensor(v)[:, None, None] for v in (recipe.mean, recipe.std))
    with torch.no_grad():
        expected = net((data.inputs - mean) / std)[:, [4, 1]]
        torch.testing.assert_close(fitted(recipe, data).margins(data.inputs).float(), expected)
        again = recipe.restore(recipe.arrays(fitted(recipe, data)), data)
        torch.testing.assert_close(again.margins(data.inputs).float(), expected)


def test_grey_images_stand_for_three_equal_channels():
    """One channel and its threefold repetition are answered alike."""
    grey, recipe = images(channels=1), Pretrained(NAME)
    model = fitted(recipe, grey)
    with torch.no_grad():
        torch.testing.assert_close(
            model.margins(grey.inputs), model.margins(grey.inputs.expand(-1, 3, -1, -1))
        )


def test_published_weights_are_looked_for_where_torch_hub_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Absent: the error names the place. There: they are read."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    data, recipe = images(6), Pretrained(NAME, "published", outputs=6)
    url = torchvision.models.get_model_weights(NAME).DEFAULT.url
    place = tmp_path / "checkpoints" / url.rpartition("/")[2]
    with pytest.raises(FileNotFoundError, match="put the file there.*weights=PATH") as caught:
        fitted(recipe, data)
    assert str(place) in str(caught.value)
    place.parent.mkdir()
    net = saved(place)
    found = {
        name.removeprefix("1."): v for name, v in fitted(recipe, data).module.state_dict().items()
    }
    assert all(torch.equal(found[name], value) for name, value in net.state_dict().items())


def test_what_does_not_fit_is_named(tmp_path: Path):
    """Unknown models, other numbers of classes, other files, objects in files, tables."""
    saved(tmp_path / "w.pth")
    path = str(tmp_path / "w.pth")
    with pytest.raises(ValueError, match="has no 'resnet17'"):
        fitted(Pretrained("resnet17"), images())
    with pytest.raises(ValueError, match="6 classes apart, the data set has 4"):
        fitted(Pretrained(NAME, path, outputs=6), images())
    with pytest.raises(ValueError, match="holds no weights"):
        fitted(Pretrained(NAME, path, outputs=7), images(7))
    with pytest.raises(ValueError, match="wanted images"):
        fitted(Pretrained(NAME), Samples(torch.rand(2, 5), torch.arange(2), 2))
    with pytest.raises(ValueError, match="outputs 0 to 5"):
        Pretrained(NAME, path, outputs=6, classes=(6,))
    torch.save({"run": Path("/")}, path)
    with pytest.raises(Exception, match="[Ww]eights.only"):
        fitted(Pretrained(NAME, path, outputs=6), images(6))
