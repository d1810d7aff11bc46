"""Where cells run: on the processor, or on a GPU for the tasks that know how."""

import re
from collections.abc import Collection

import torch

from bench.components import ConfigError

CPU = "cpu"


_GPU = re.compile(r"cuda(?::(\d+))?")


def check_device(device: str, others: Collection[str]) -> None:
    """Raise `ConfigError` where such cells run on no `device`, wherever they are planned.

    Parameters
    ----------
    device : `cpu`, `cuda`, or `cuda:1` for one of several GPUs.
    others : names of the tasks to be run that don't know how to use a GPU.
    """
    if device == CPU:
        return
    if not _GPU.fullmatch(device):
        raise ConfigError(f"device={device!r}: wanted cpu, cuda, or cuda:1 for one of several GPUs")
    if others:
        raise ConfigError(f"device={device}: {', '.join(sorted(others))}: on the CPU alone")


def check_present(device: str) -> None:
    """Raise `ConfigError` where this machine has no such device."""
    found = _GPU.fullmatch(device)
    if found is None:
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(found[1] or 0) >= count:
        plural = "" if count == 1 else "s"
        raise ConfigError(f"device={device}: torch finds {count or 'no'} GPU{plural} here")


def device_name(device: str) -> str:
    """As records and caches know it: `cpu`, or what the GPU is called."""
    return CPU if device == CPU else str(torch.cuda.get_device_name(device))
