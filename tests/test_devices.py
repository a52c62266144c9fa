import ctypes
import subprocess
import sys

import pytest
import torch

from aebayes.devices import cpu_takes_bfloat16, precision_found

FAULTS_OF_A_SECOND_BUFFER = """
import resource
import torch
from aebayes.devices import use_device

use_device("cpu", 1)
buffer = torch.ones(16 << 20)  # 64 MiB
del buffer
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
buffer = torch.ones(16 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc's allocator")
def test_what_is_freed_is_at_hand_for_the_next_buffer():
    command = [sys.executable, "-c", FAULTS_OF_A_SECOND_BUFFER]
    faults = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert faults < 1000  # of 4 KiB each; given back to the system it would be 16,384


@pytest.mark.parametrize(
    ("capability", "device", "found"),
    [("AVX2", "cpu", "float32"), ("AVX512", "cpu", "bfloat16"), ("AVX2", "cuda", "bfloat16")],
)
def test_a_cpu_without_bfloat16_multiplies_in_float32_and_says_so(
    capability, device, found, monkeypatch, caplog
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    cpu_takes_bfloat16.cache_clear()
    assert precision_found("float32", torch.device(device)) == "float32"
    assert not caplog.text
    assert precision_found("bfloat16", torch.device(device)) == found
    assert ("slow at bfloat16" in caplog.text) == (found == "float32")
    cpu_takes_bfloat16.cache_clear()
