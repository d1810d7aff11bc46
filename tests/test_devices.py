"""Where cells run: what can't be used is refused, and on a GPU a suite runs from end to end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench import devices
from bench.components import ConfigError
from bench.devices import check_device, check_present, device_name
from bench.isolation import attempt
from bench.record import read_all

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")


def gpus(count, monkeypatch):
    """As if torch found so many."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the card of {device}")


def test_what_can_be_used_passes(monkeypatch):
    check_device("cpu", ["attribution"])
    gpus(2, monkeypatch)
    for device in ("cpu", "cuda", "cuda:0", "cuda:1"):
        check_device(device, [])
        check_present(device)


@pytest.mark.parametrize(
    ("device", "others", "said"),
    [
        ("cuda", ["companion", "attribution"], "attribution, companion: on the CPU alone"),
        ("gpu", [], "wanted cpu, cuda"),
        ("cuda:", [], "wanted cpu, cuda"),
    ],
)
def test_what_cannot_be_used_says_so(device, others, said, monkeypatch):
    gpus(1, monkeypatch)
    with pytest.raises(ConfigError, match=said):
        check_device(device, others)


def test_a_gpu_that_is_not_here(monkeypatch):
    """It can be planned for, and not run on."""
    for count, device, said in ((1, "cuda:1", "1 GPU here"), (0, "cuda", "no GPUs here")):
        gpus(count, monkeypatch)
        check_device(device, [])
        with pytest.raises(ConfigError, match=f"device={device}: torch finds {said}"):
            check_present(device)


def test_a_gpu_whose_memory_is_full_is_out_of_memory():
    def fill():
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert attempt(fill).status == "memory"


def test_names(monkeypatch):
    """The processor needs no torch to be named."""
    gpus(1, monkeypatch)
    assert device_name("cuda") == "the card of cuda"
    monkeypatch.delattr(devices, "torch")
    assert device_name("cpu") == "cpu"


@gpu
@pytest.mark.parametrize("model", ["mlp_small", "{cnn: {epochs: 2}}"])
def test_a_suite_runs_on_a_gpu(model: str, tmp_path: Path):
    """Trained, explained and scored there; the records say so, and agree with the CPU's."""
    setting = "{split: rows 60/40/40, flip: 0.2, random_draws: 1, error_split: true, subsets: 2}"
    words = ["task=cleansing", "dataset=digits", f"model={model}", f"setting={setting}"]
    words += ["method=[random,own_loss,sgd_influence,koh_liang]", "jobs=1", "page=false"]
    taus = {}
    for device, name in (("cuda", torch.cuda.get_device_name()), ("cpu", "cpu")):
        command = [sys.executable, "-m", "bench", "run", *words, f"device={device}"]
        own = {"EARNEST_CACHE": str(tmp_path / "cache")}
        folder = tmp_path / device
        subprocess.run(
            [*command, f"results_dir={folder}"], env={**os.environ, **own}, check=True, timeout=300
        )
        records = read_all(folder / "adhoc")
        assert {(record.status, record.device) for record in records} == {("ok", name)}
        taus[device] = {r.key: r.scores["kendall_tau"]["value"] for r in records}
    assert taus["cuda"] == pytest.approx(taus["cpu"], abs=0.1)
