import pytest
import torch

from aebayes import compilation


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
