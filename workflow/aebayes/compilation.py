"""Compiled functions: element-wise work fused, fewer calls; torch keeps the code on disk.

A compiled function rounds differently from the plain one: whether a run was compiled is part of
what it depends on, and stands in its training.json.
"""

import functools
import importlib
import logging
import os
import shutil
import warnings
from collections.abc import Callable

import torch

logger = logging.getLogger(__name__)


@functools.cache
def compiler_found() -> bool:
    """Whether this machine has the C++ compiler that torch.compile needs; says so if not."""
    found = any(map(shutil.which, (os.environ.get("CXX", "g++"), "g++", "clang++")))
    if not found:
        logger.warning("no C++ compiler (g++) found: everything runs uncompiled, and slower")
    return found


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
