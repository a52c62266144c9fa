import ctypes
import subprocess
import sys

import pytest

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
