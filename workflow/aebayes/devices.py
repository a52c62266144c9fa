"""Which processor computes, and how."""

import ctypes
import functools
import logging
import os

import torch

from aebayes.errors import AebayesError

logger = logging.getLogger(__name__)

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def use_device(name: str, threads: int) -> torch.device:
    """Choose the device, and make its arithmetic repeatable.

    The number of threads is the experiment's own: sums split over another number of threads round
    differently, so it must not follow from how many cores happen to be free.

    Raises:
        AebayesError: a GPU is asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise AebayesError("device is cuda, but torch sees no GPU", "set device: cpu, or auto")
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only so
    # use_deterministic_algorithms would say the same, and import the compiler: a second a process.
    torch.set_deterministic_debug_mode("error")
    # Else every buffer is filled twice; nothing here reads one before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False
    # Else float32 convolutions on a GPU have the ten bits of TF32, as products by default have not.
    torch.backends.cudnn.allow_tf32 = False
    keep_memory()
    return torch.device(name)


def keep_memory() -> None:
    """What a step frees the next one takes, in pages of 2 MiB where torch allocates that much.

    By default large buffers go back to the system, which clears their pages anew each time: a tenth
    of a step of IWAE at k = 50.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch reads it when it first allocates
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # glibc's
        library.mallopt(M_MMAP_THRESHOLD, 256 << 20)
        library.mallopt(M_TRIM_THRESHOLD, 1 << 30)


def precision_found(wanted: str, device: torch.device) -> str:
    """The precision of products: as wanted, but float32 where the CPU is slow at bfloat16.

    torch multiplies bfloat16 on every CPU; without AVX-512, or ARM's SVE of 256 bits, by code of
    no use: 60 times as slow as float32 on an AMD EPYC of 2021.
    """
    if wanted == "bfloat16" and device.type == "cpu" and not cpu_takes_bfloat16():
        return "float32"
    return wanted


@functools.cache
def cpu_takes_bfloat16() -> bool:
    """Whether torch has fast products in bfloat16 for this CPU; says so if not."""
    found = torch.backends.cpu.get_cpu_capability() in ("AVX512", "SVE256")
    if not found:
        logger.warning("torch is slow at bfloat16 on this CPU: products are in float32")
    return found


def device_name(device: torch.device) -> str:
    """The device as a reader would name it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
