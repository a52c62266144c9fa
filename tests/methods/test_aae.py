import math

import pytest
import torch
from truths import settings, unlabelled

from aebayes.methods.aae import AAE, GENERATOR_LOSSES
from aebayes.methods.base import Batch
from aebayes.streams import Streams


@pytest.mark.parametrize("name", list(GENERATOR_LOSSES))
def test_every_generator_loss_pushes_the_logit_of_a_code_down(name):
    t = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    gradient = torch.autograd.grad(GENERATOR_LOSSES[name](t).sum(), t)[0]
    assert (gradient > 0).all()


def test_phases_are_the_papers_and_update_what_they_say():
    experiment = {
        "model": settings("deterministic", 2),
        "adversary": {"hidden": [4], "activation": "relu"},
        "objective": {"generator_loss": "non_saturating"},
    }
    method = AAE(experiment, (4,), 1)
    phases = {phase.name: set(map(id, phase.parameters())) for phase in method.phases()}
    assert list(phases) == ["reconstruction", "discriminator", "generator"]
    assert phases["generator"] < phases["reconstruction"]
    assert phases["discriminator"] == set(map(id, method.adversary.parameters()))


def test_true_log_ratio_is_stationary_for_the_discriminator(monkeypatch):
    """Codes from N(1, 1): log q(z) − log p(z) = z − 1/2, which an affine T can be."""
    experiment = {
        "model": settings("deterministic", 1),
        "adversary": {"hidden": [], "activation": "relu"},
        "objective": {"generator_loss": "kl"},
    }
    method = AAE(experiment, (4,), 1)
    method.model.encoder.noise = 1
    monkeypatch.setattr(method.model.encoder, "forward", lambda x, noise: 1 + noise)
    discriminator = method.phases()[1]
    layer = method.adversary.network.layers[-1]

    def gradients(slope, intercept):
        with torch.no_grad():
            layer.weight.fill_(slope)
            layer.bias.fill_(intercept)
        draws = []
        for seed in range(16):
            loss = discriminator(unlabelled(torch.zeros(1, 2000, 4)), Streams(seed, [0], "test"))
            gradient = torch.autograd.grad(loss.sum(), [layer.weight, layer.bias])
            draws.append(torch.stack(gradient).flatten())
        draws = torch.stack(draws)
        return draws.mean(0), draws.std(0) / math.sqrt(len(draws))

    at_truth, error = gradients(1.0, -0.5)
    assert (at_truth.abs() < 4 * error).all()
    # At T = 0 the slope's gradient is (E_p z − E_q z) / 2: descent raises D on the codes.
    at_zero, error = gradients(0.0, 0.0)
    assert ((at_zero - torch.tensor([-0.5, 0.0])).abs() < 4 * error + 1e-6).all()


def informed(kind: str = "petals", **objective: object) -> AAE:
    """An AAE of which the discriminator is told labels of three classes."""
    priors = {
        "petals": {"kind": "petals", "classes": 3, "radius": 4.0, "along": 1.0, "across": 0.2},
        "swiss_roll": {"kind": "swiss_roll", "classes": 3, "radius": 4.0, "turns": 1},
    }
    experiment = {
        "model": settings("deterministic", 2) | {"prior": priors[kind]},
        "adversary": {"hidden": [], "activation": "relu"},
        "objective": {"generator_loss": "non_saturating", "labelled": 2, **objective},
    }
    return AAE(experiment, (1, 2, 2), 2)


@pytest.mark.parametrize("kind", ["petals", "swiss_roll"])
def test_labelled_images_meet_draws_of_their_class_and_unlabelled_ones_of_any(kind):
    method = informed(kind)
    labels = torch.arange(4).repeat_interleave(2000).expand(2, -1)  # 3 is unknown
    batch = Batch(torch.zeros(2, 8000, 4), labels)
    *_, prior, _, told = method.draw_for_discriminator(batch, Streams(1, [0, 1], "test"))
    assert torch.equal(told.argmax(-1), labels)
    assert told.shape == (2, 8000, 4)
    means = torch.stack([prior[:, labels[0] == each].mean(1) for each in range(4)], 1)
    alone = [
        method.model.prior.sample_class(torch.full((2, 2000), each), Streams(2, [0, 1], "test"))
        for each in range(3)
    ]
    truth = torch.stack([each.mean(1) for each in alone], 1)
    error = prior.std() * math.sqrt(2 / 2000)
    torch.testing.assert_close(means[:, :3], truth, rtol=0, atol=4 * error.item())
    torch.testing.assert_close(means[:, 3], truth.mean(1), rtol=0, atol=4 * error.item())


def test_discriminator_is_told_the_label_beside_code_and_draw_and_so_is_the_generators_loss():
    method = informed()
    batch = Batch(torch.zeros(2, 5, 4), torch.tensor([[0, 1, 2, 3, 3]] * 2))
    layer = method.adversary.network.layers[0]
    assert layer.weight.shape == (2, 2 + 4, 1)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, 2:, 0] = torch.tensor([10.0, 20.0, 30.0, 40.0])
    *_, told = method.draw_for_generator(batch, Streams(1, [0, 1], "test"))
    z = torch.zeros(2, 7, 5, 2)  # several codes an image
    expected = torch.tensor([10.0, 20.0, 30.0, 40.0, 40.0]).expand(2, 7, 5)
    assert torch.equal(method.adversary(batch.x, z, told), expected)
    discriminator, generator = method.phases()[1:]
    mean = torch.tensor([10.0, 20.0, 30.0, 40.0, 40.0]).mean()  # softplus(t) is t here, of −t 0
    for phase in (discriminator, generator):
        loss = phase(batch, Streams(1, [0, 1], "test"))
        torch.testing.assert_close(loss, mean.expand(2), rtol=1e-4, atol=0)


def test_hidden_labels_carry_nothing_of_the_class():
    """Unlabelled images of any class are told, and compared with, the same."""
    method = informed()
    x, unknown = torch.zeros(2, 3, 4), torch.full((2, 3), 3)
    draws = method.draw_for_discriminator(Batch(x, unknown), Streams(1, [0, 1], "test"))
    assert draws[-1][..., :3].abs().max() == 0


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 0.8), (0.75, 0.2), (1.0, 0.0)])
def test_instance_noise_blurs_codes_and_draws_alike_and_falls_to_nothing(progress, expected):
    method = informed()
    method.instance_noise = 0.8
    x, labels = torch.zeros(2, 4000, 4), torch.arange(4000).remainder(4).expand(2, -1)
    given = Batch(x, labels, progress=torch.tensor(progress))
    _, _, prior, blur, _ = method.draw_for_discriminator(given, Streams(1, [0, 1], "test"))
    _, _, again, _ = method.draw_for_generator(given, Streams(2, [0, 1], "test"))
    sharp = method.model.prior.sample_known(labels, Streams(1, [0, 1], "test"))
    for noise in (prior - sharp, blur, again):
        assert noise.shape == (2, 4000, 2)
        assert abs(noise.std() - expected) <= 4 * expected / math.sqrt(2 * noise.numel())
    seen = []
    method.adversary.forward = lambda x, z, told: seen.append(z) or z.sum(-1)
    method.discriminator_loss(x, x, torch.zeros(2, 4000, 0), prior, blur, labels)
    method.generator_loss(x, x, torch.zeros(2, 4000, 0), again, labels)
    code = method.model.encoder(x, torch.zeros(2, 4000, 0))
    torch.testing.assert_close(seen[0], torch.stack([code + blur, prior], 1))
    torch.testing.assert_close(seen[1], code + again)


def test_the_encoder_sees_distortion_and_noise_in_every_phase_and_what_is_reconstructed_is_clean():
    method = informed(input_noise=0.7, distortion={"shift": 0.5})
    method.distortion.forward = lambda x, streams: x.flip(-1)
    x = torch.rand(2, 4000, 4, generator=torch.Generator().manual_seed(0))
    given = Batch(x, torch.zeros(2, 4000, dtype=torch.int64), progress=torch.tensor(0.5))
    seen, targets = [], []
    encode, score = method.model.encoder.forward, method.model.log_likelihood
    method.model.encoder.forward = lambda x, noise: seen.append(x) or encode(x, noise)
    method.model.log_likelihood = lambda x, z: targets.append(x) or score(x, z)
    for seed, phase in enumerate(method.phases()):
        phase(given, Streams(seed, [0, 1], "test"))
    assert len(seen) == 3
    for each in seen:
        noise = each - x.flip(-1)
        assert abs(noise.std() - 0.7) < 4 * 0.7 / math.sqrt(2 * noise.numel())
    assert all(torch.equal(target, x) for target in targets)


def told(**objective: object) -> AAE:
    """An AAE whose decoder is told which of three classes."""
    experiment = {
        "model": settings("deterministic", 2),
        "adversary": {"hidden": [4], "activation": "relu"},
        "objective": {"generator_loss": "non_saturating", **objective},
    }
    experiment["model"] |= {
        "decoder": {"hidden": [], "activation": "relu", "classes": 3},
        "likelihood": "bernoulli",
    }
    return AAE(experiment, (4,), 2)


def test_discriminator_may_be_told_what_the_decoder_is_and_then_rewards_no_class_in_the_code():
    method = told(discriminator_told=True)
    labels = torch.arange(3).repeat_interleave(3000).expand(2, -1)
    batch = Batch(torch.zeros(2, 9000, 4), labels)
    *_, prior, _, seen = method.draw_for_discriminator(batch, Streams(1, [0, 1], "test"))
    assert torch.equal(seen.argmax(-1), labels)
    assert seen.shape == (2, 9000, 3)
    for each in range(3):  # of every class the whole of the prior
        part = prior[:, labels[0] == each]
        assert (part.mean(1).abs() < 4.5 / math.sqrt(3000)).all()
        assert ((part.var(1) - 1).abs() < 4.5 * math.sqrt(2 / 3000)).all()
    assert torch.equal(method.draw_for_generator(batch, Streams(1, [0, 1], "test"))[3], seen)


def test_decoder_is_told_the_class_in_the_reconstruction_alone():
    method = told()
    labels = torch.tensor([[0, 1, 2, 2, 1]] * 2)
    batch = Batch(torch.zeros(2, 5, 4), labels)
    streams = Streams(1, [0, 1], "test")
    *_, seen = method.draw_for_reconstruction(batch, streams)
    assert torch.equal(seen.argmax(-1), labels)
    assert len(method.draw_for_generator(batch, streams)) == 3  # nothing told
    layer = method.model.decoder.layers[0]
    with torch.no_grad():  # the logits of all pixels are the class's, whatever the code
        layer.weight.zero_()
        layer.weight[:, 2:] = torch.tensor([0.0, 1.0, 2.0]).unsqueeze(-1)
    loss = method.phases()[0](batch, streams)
    expected = 4 * torch.nn.functional.softplus(torch.tensor([0.0, 1.0, 2.0, 2.0, 1.0])).mean()
    torch.testing.assert_close(loss, expected.expand(2))
