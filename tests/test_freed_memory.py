"""Does a process keep what it frees? In processes of their own, for it changes how they take memory."""

import platform
import subprocess
import sys

import pytest

from experiments.configuration.places import CODE

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have their own habits")
FAULTS = """
import os, resource, sys
import torch
from real_runtime.playing.freed_memory import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
entered = torch.ones(10_000_000)  # 40 MB: never from the heap, unless it is asked to

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    entered + 1 + (entered + 2)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
for _ in range(3):
    faults()
if sys.argv[2] == "forked" and os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
print(min(faults() for _ in range(5)))
"""


def faults(how: str, where: str) -> int:
    """Page faults of a sum of large tensors once it has been computed before."""
    words = [sys.executable, "-c", FAULTS, how, where]
    return int(subprocess.run(words, capture_output=True, text=True, check=True, cwd=CODE).stdout)


@needs_glibc
def test_a_computation_takes_large_blocks_without_page_faults_once_it_has_had_them() -> None:
    assert faults("given back", "here") > 1000
    assert faults("kept", "here") < 100


@needs_glibc
def test_a_forked_process_keeps_them_too() -> None:
    assert faults("kept", "forked") < 100
