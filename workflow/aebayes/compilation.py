"""Compiled functions: element-wise work fused, fewer calls; torch keeps the code on disk.

A compiled function rounds differently from the plain one: whether a run was compiled is part of
what it depends on, and stands in its training.json.
"""

import functools
import importlib
import logging
import os
import shutil
import sysconfig
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

logger = logging.getLogger(__name__)


@functools.cache
def compiler_found() -> bool:
    """Whether there is a C++ compiler for torch.compile, and it can use it; says so if not."""
    # torch writes them into the linker's command line as they are.
    folders = Path(torch.__file__).parent, Path(sysconfig.get_config_var("LIBDIR") or "")
    if not any(map(shutil.which, (os.environ.get("CXX", "g++"), "g++", "clang++"))):
        why = "no C++ compiler (g++) found"
    elif spaced := [folder for folder in folders if len(str(folder).split()) > 1]:
        why = f"torch's compiler cannot link what lies in {spaced[0]}, because of the space"
    else:
        return True
    logger.warning("%s: everything runs uncompiled, and slower", why)
    return False


def compiled(function: Callable, wanted: bool, capture: bool = False) -> Callable:
    """The function, compiled for the shapes it is called with if that is wanted and possible.

    Args:
        capture: on a GPU replay it as CUDA graphs, without a launch a kernel. What it returns is
            then overwritten by its next call after `torch.compiler.cudagraph_mark_step_begin()`.
    """
    if not wanted or not compiler_found():
        return function
    # It warns that a machine without a GPU has none.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    # Of torch's own calls of what torch deprecates.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\._inductor")
    config = importlib.import_module("torch._dynamo.config")
    if hasattr(config, "trace_autograd_ops"):  # else gradients are asked for between two graphs
        config.trace_autograd_ops = True
    if torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(True)  # tells the compiler too
    capture = capture and torch.cuda.is_available()
    return torch.compile(function, dynamic=False, mode="reduce-overhead" if capture else None)
