import pytest
import torch

from aebayes import compilation
from aebayes.compilation import compiler_found


@pytest.fixture(autouse=True)
def calls(monkeypatch) -> list[dict]:
    """What torch.compile is asked for."""
    asked = []
    monkeypatch.setattr(compilation, "compiler_found", lambda: True)
    monkeypatch.setattr(
        torch, "compile", lambda function, **options: asked.append(options) or function
    )
    return asked


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("capture", [False, True])
def test_graphs_are_captured_where_there_is_a_gpu_and_it_is_asked(monkeypatch, calls, gpu, capture):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert compilation.compiled(abs, True, capture) is abs
    mode = "reduce-overhead" if gpu and capture else None
    assert calls == [{"dynamic": False, "mode": mode}]


def test_nothing_is_compiled_unless_it_is_wanted_and_possible(monkeypatch, calls):
    assert compilation.compiled(abs, False) is abs
    monkeypatch.setattr(compilation, "compiler_found", lambda: False)
    assert compilation.compiled(abs, True) is abs
    assert calls == []


@pytest.mark.parametrize(
    ("compiler", "folder", "why"),
    [
        (None, "/home/me", "no C++ compiler (g++) found"),
        ("/usr/bin/g++", "/home/my projects", "what lies in /home/my projects/torch, because of"),
        ("/usr/bin/g++", "/home/me", ""),
    ],
)
def test_why_nothing_is_compiled_is_said(monkeypatch, caplog, compiler, folder, why):
    monkeypatch.setattr(compilation.shutil, "which", lambda name: compiler)
    monkeypatch.setattr(torch, "__file__", f"{folder}/torch/__init__.py")
    assert compiler_found.__wrapped__() == (why == "")
    assert why in caplog.text
    assert ("uncompiled" in caplog.text) == (why != "")
