"""What an explanation costs: seconds, and how often the model was asked."""

import contextlib
import ctypes
import resource
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn


@dataclass
class Calls:
    """Counts of what was asked of a model; the one thing here that changes.

    Attributes
    ----------
    forward : rows sent through the model.
    backward : rows sent back through it.
    values : values of a set function asked, whether computed by rows or by a shortcut.
    """

    forward: int = 0
    backward: int = 0
    values: int = 0

    def copy(self) -> "Calls":
        return Calls(**asdict(self))

    def since(self, start: "Calls") -> "Calls":
        return Calls(
            self.forward - start.forward,
            self.backward - start.backward,
            self.values - start.values,
        )


@dataclass(frozen=True)
class Costs:
    """What one `explain` took.

    Attributes
    ----------
    seconds : wall seconds.
    cpu_seconds : CPU seconds of the process, all threads.
    peak_memory : resident bytes taken beyond those held before; the processor's, also of a GPU.
    calls : what was asked of the model meanwhile.
    """

    seconds: float
    cpu_seconds: float
    peak_memory: int
    calls: Calls


@contextlib.contextmanager
def counted(module: nn.Module | None, calls: Calls) -> Iterator[None]:
    """Count the rows that go forward and backward through `module` into `calls`."""
    if module is None:
        yield
        return

    def count(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        rows = output.shape[0] if output.ndim else 1
        calls.forward += rows
        # Under torch.func the output is a wrapper whose gradient never passes this hook.
        inside_func = torch._C._functorch.is_functorch_wrapped_tensor(output)
        if output.requires_grad and not inside_func:
            output.register_hook(lambda _gradient: _count_backward(calls, rows))

    handle = module.register_forward_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _count_backward(calls: Calls, rows: int) -> None:
    calls.backward += rows


class Stopwatch:
    """Wall and CPU seconds since it was made, the device's queue emptied at both ends."""

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._synchronise()
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """(wall seconds, CPU seconds)."""
        self._synchronise()
        return time.perf_counter() - self._wall, time.process_time() - self._cpu

    def _synchronise(self) -> None:
        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)


class PeakMemory:
    """Resident bytes that the process took beyond what it held when this was made.

    Linux keeps the peak and lets it be reset; elsewhere the peak since the process began is
    used, so that a small need is hidden behind an earlier larger one. What was freed before and
    is still held goes back to the system first: a need that fits into it would not be seen.
    Some megabytes are no difference: the first answer in a process touches pages of its own that
    later ones find touched.
    """

    def __init__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # glibc alone has it
            ctypes.CDLL(None).malloc_trim(0)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._start = psutil.Process().memory_info().rss

    def read(self) -> int:
        """Bytes."""
        try:
            status = Path("/proc/self/status").read_text()
            peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
        except (OSError, IndexError):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return max(0, peak - self._start)
