"""Inverse autoregressive flow against the change of variables and against a Gaussian."""

import pytest
import tiny
import torch

from aebayes.adam import Adam
from aebayes.config import load_study
from aebayes.errors import AebayesError
from aebayes.evaluation.exact import grid_posterior_kl
from aebayes.evaluation.quadrature import Grid, log_joint_on
from aebayes.methods.base import Batch
from aebayes.methods.make import make_method
from aebayes.networks.encoders import FlowEncoder
from aebayes.networks.flows import Flow, FlowPosterior
from aebayes.networks.initialise import initialise
from aebayes.networks.normal import DiagonalNormal
from aebayes.streams import Streams

FLOW = {"flows": 3, "flow_hidden": [7, 9], "context": 3, "hidden": [5], "activation": "tanh"}


def encoder_of(latent: int) -> FlowEncoder:
    """With weights large enough to bend."""
    encoder = FlowEncoder(2, (4,), latent, FLOW)
    initialise(encoder, "glorot_uniform", Streams(1, range(2), "initialisation"))
    for parameter in encoder.parameters():
        parameter.data *= 1.5
    return encoder


def posterior_of(latent: int, images: int) -> FlowPosterior:
    """Such an encoder's, in double precision."""
    encoder = encoder_of(latent)
    posterior = encoder.posterior(0.5 * random(images, 4).float())
    base = DiagonalNormal(posterior.base.mean.double(), posterior.base.log_sd.double())
    return FlowPosterior(base, posterior.context.double(), encoder.flows.double())


def random(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("latent", [1, 2, 5])
def test_what_is_said_of_a_number_depends_on_those_before_it_alone(latent):
    flow = Flow(1, latent, 3, [7, 9], "tanh")
    initialise(flow, "glorot_uniform", Streams(1, [0], "initialisation"))
    context = torch.ones(1, 1, 3)
    m, log_gate = torch.autograd.functional.jacobian(
        lambda z: tuple(each.view(-1) for each in flow.gates(z.view(1, 1, -1), context, False)),
        torch.randn(latent),
    )
    for slope in (m, log_gate):
        assert torch.equal(slope, slope.tril(-1))
    if latent > 1:
        assert (m[range(1, latent), range(latent - 1)] != 0).all()


@pytest.mark.parametrize("latent", [1, 2, 5])
def test_density_is_that_of_the_change_of_variables(latent):
    posterior = posterior_of(latent, 1)
    noise = random(1, latent)
    _, log_q = posterior.transform(noise)
    slopes = torch.autograd.functional.jacobian(
        lambda each: posterior.transform(each)[0].view(2, -1), noise
    )
    for replica in range(2):
        slope = slopes[replica, :, replica, 0]
        standard = torch.distributions.Normal(0, 1).log_prob(noise[replica, 0]).sum()
        expected = standard - torch.linalg.slogdet(slope).logabsdet
        torch.testing.assert_close(log_q[replica, 0], expected)


def test_density_of_a_code_is_the_same_whether_it_was_made_or_is_given():
    posterior = posterior_of(5, 3)
    z, log_q = posterior.transform(random(6, 3, 5))
    torch.testing.assert_close(posterior.log_prob(z), log_q, rtol=1e-7, atol=1e-7)


def test_density_integrates_to_one():
    posterior = posterior_of(2, 3)
    grid = Grid(torch.linspace(-10, 10, 501))
    points = grid.points().double().expand(2, -1, -1).unsqueeze(2)
    log_q = posterior.log_prob(points).transpose(1, 2)
    torch.testing.assert_close(
        grid.log_integral(log_q).exp(), torch.ones(2, 3, dtype=torch.float64), rtol=0, atol=1e-3
    )


def test_held_density_takes_no_gradient_but_of_the_code():
    encoder = encoder_of(2)
    z = random(3, 2).float().requires_grad_()
    encoder.posterior(random(3, 4).float()).held().log_prob(z).sum().backward()
    assert z.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in encoder.parameters())


def test_replicas_do_not_mix_and_every_weight_takes_a_gradient():
    encoder = encoder_of(3)
    x, noise = random(4, 4).float(), random(4, 3).float()
    codes = encoder(x, noise)
    changed = x.clone()
    changed[1] += 1
    assert torch.equal(encoder(changed, noise)[0], codes[0])
    assert not torch.allclose(encoder(changed, noise)[1], codes[1])
    codes.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def flow_study(**objective: object) -> dict:
    """The tiny study, its VAE with a flow."""
    content = tiny.study()
    vae = content["experiments"]["vae-four-points"]
    vae["model"]["encoder"] = {"kind": "flow", **FLOW}
    vae["objective"] |= objective
    return content


def test_flow_needs_a_bound_by_sampling(tmp_path):
    path = tmp_path / "tiny.yaml"
    tiny.write(path, flow_study(kl="monte_carlo"))
    load_study(str(path))
    tiny.write(path, flow_study())
    with pytest.raises(AebayesError, match=r"objective\.kl: .*monte_carlo"):
        load_study(str(path))


def test_flow_comes_nearer_to_a_posterior_than_a_gaussian():
    """Of the four points: trained a little, KL(q(z|x), p(z|x)) by quadrature."""
    kls = {}
    for kind, encoder in (("gaussian", {}), ("flow", FLOW)):
        experiment = tiny.experiment("vae", "four_points")
        layers = {"hidden": [32, 32], "activation": "tanh"}
        experiment["model"] |= {
            "encoder": {**encoder, "kind": kind, **layers},
            "decoder": layers,
        }
        experiment["objective"] = {"kl": "monte_carlo", "samples": 8}
        method = make_method(experiment, torch.full((4,), 0.25), [0], torch.device("cpu"))
        x = torch.eye(4).expand(1, 16, 4, 4).flatten(1, 2)
        (phase,) = method.phases()
        optimiser = Adam(phase.parameters(), 3e-3, (0.9, 0.99))
        streams = Streams(1, [0], "test")
        batch = Batch(x, torch.zeros(1, 64, dtype=torch.int64))
        for _ in range(600):
            gradients = torch.autograd.grad(phase(batch, streams).sum(), phase.parameters())
            for parameter, gradient in zip(phase.parameters(), gradients, strict=True):
                parameter.grad = gradient
            optimiser.step()
        with torch.no_grad():
            grid, given = Grid.of(161), x[:, :4]
            log_joint = log_joint_on(method.model, given, grid)
            log_px = grid.log_integral(log_joint)
            kl, _ = grid_posterior_kl(method.model, given, grid, log_joint, log_px)
        kls[kind] = kl.mean().item()
    assert kls["flow"] < 0.85 * kls["gaussian"]
