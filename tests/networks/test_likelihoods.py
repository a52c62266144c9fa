"""p(x|z) against its closed form in float64."""

from collections import Counter

import pytest
import torch
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd

from aebayes.compilation import compiled, compiler_found
from aebayes.networks.likelihoods import Bernoulli, sigmoid_and_softplus

LIKELIHOOD = Bernoulli()
EXTREMES = torch.tensor([0.0, 1e-30, -1e-30, 1e-4, -1e-4, 0.5, -0.5, 9, -9, 30, -30, 200, -200])


def with_gradient(logits: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x|z), and its sum's gradient by the logits."""
    value = LIKELIHOOD.log_prob(logits, x)
    return value.detach(), torch.autograd.grad(value.sum(), logits)[0]


def images(kind: str, *shape: int) -> Tensor:
    """Binary or grey pixels."""
    u = torch.rand(shape)
    return (u < 1 / 8).float() if kind == "binary" else u


def test_sigmoid_and_softplus_are_exact_to_float32s_rounding():
    logits = torch.cat([torch.linspace(-20, 20, 40_001), EXTREMES])
    sigmoid, softplus = sigmoid_and_softplus(logits)
    wide = logits.double()
    few = 4 * torch.finfo(torch.float32).eps  # products and sums round, too
    torch.testing.assert_close(sigmoid.double(), torch.sigmoid(wide), rtol=few, atol=1e-38)
    exact = wide.clamp(min=0) + (-wide.abs()).exp().log1p()
    torch.testing.assert_close(softplus.double(), exact, rtol=few, atol=1e-38)


@pytest.mark.parametrize("kind", ["binary", "grey"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("compile", [False, True])
def test_bernoulli_is_its_closed_form(kind, dtype, compile):
    """x (R, 1, B, X) is shared by K logits each; a width that no small number divides."""
    if compile and not compiler_found():
        pytest.skip("no C++ compiler")
    x = images(kind, 2, 1, 3, 127)
    logits = (6 * torch.randn(2, 5, 3, 127)).to(dtype).requires_grad_()
    value, slope = compiled(with_gradient, compile)(logits, x)
    wide = logits.detach().double()
    terms = x * wide - torch.nn.functional.softplus(wide)
    rounding = 4 * torch.finfo(torch.float32).eps * terms.abs().sum(-1).max()
    torch.testing.assert_close(value.double(), terms.sum(-1), rtol=0, atol=float(rounding))
    assert slope.dtype == dtype
    few = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(slope.double(), x - torch.sigmoid(wide), rtol=few, atol=4e-7)


@pytest.mark.parametrize("compile", [False, True])
def test_images_and_codes_may_both_be_shared(compile):
    """Every image by every code's logits: (R, 1, B, X) and (R, K, 1, X)."""
    if compile and not compiler_found():
        pytest.skip("no C++ compiler")
    x, logits = images("grey", 1, 1, 3, 7), torch.randn(1, 5, 1, 7)
    value = compiled(LIKELIHOOD.log_prob, compile)(logits, x)
    each = LIKELIHOOD.log_prob(logits.expand(1, 5, 3, 7), x)
    torch.testing.assert_close(value, each)


def test_compiled_a_logit_costs_one_exponential_forwards_and_back():
    functions: Counter[str] = Counter()

    def count(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        calls = (node for node in graph.graph.nodes if node.op == "call_function")
        functions.update(node.target.overloadpacket.__name__ for node in calls)
        return graph

    backend = aot_autograd(fw_compiler=count, bw_compiler=count)
    with torch._dynamo.config.patch(trace_autograd_ops=True):
        function = torch.compile(with_gradient, backend=backend, fullgraph=True, dynamic=False)
        function(torch.randn(1, 2, 3, 7).requires_grad_(), images("binary", 1, 1, 3, 7))
    costly = {"exp", "exp2", "expm1", "log", "log1p", "softplus", "sigmoid", "tanh", "pow"}
    assert {name: functions[name] for name in costly & set(functions)} == {"exp": 1}
    assert functions["reciprocal"] + functions["div"] == 1
