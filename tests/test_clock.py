"""What an explanation costs."""

import subprocess
import sys

import pytest

NEEDED = """
from bench.clock import PeakMemory
blocks = [bytearray(2**16) for _ in range(2**10)]   # 64 MiB in pieces that the heap keeps
last = bytearray(2**16)
del blocks
peak = PeakMemory()
needed = [bytearray(b"x") * 2**16 for _ in range(2**9)]
print(peak.read() >> 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak can't be reset")
def test_memory_that_was_freed_before_hides_no_need():
    """32 MiB are seen though twice as much was freed, and not given back, just before."""
    done = subprocess.run([sys.executable, "-c", NEEDED], capture_output=True, text=True)
    assert 31 <= int(done.stdout) <= 34, done.stderr
