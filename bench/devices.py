"""Where cells run: on the processor, or on a GPU for the tasks that know how."""

import re
from collections.abc import Collection

import torch

from bench.components import ConfigError

CPU = "cpu"


def check_device(device: str, others: Collection[str]) -> None:
    """Raise `ConfigError` where cells can't run on `device`.

    Parameters
    ----------
    device : `cpu`, `cuda`, or `cuda:1` for one of several GPUs.
    others : names of the tasks to be run that don't know how to use a GPU.
    """
    if device == CPU:
        return
    found = re.fullmatch(r"cuda(?::(\d+))?", device)
    if found is None:
        raise ConfigError(f"device={device!r}: wanted cpu, cuda, or cuda:1 for one of several GPUs")
    if others:
        raise ConfigError(f"device={device}: {', '.join(sorted(others))}: on the CPU alone")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(found[1] or 0) >= count:
        plural = "" if count == 1 else "s"
        raise ConfigError(f"device={device}: torch finds {count or 'no'} GPU{plural} here")


def device_name(device: str) -> str:
    """As records and caches know it: `cpu`, or what the GPU is called."""
    return CPU if device == CPU else str(torch.cuda.get_device_name(device))
