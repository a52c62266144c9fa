"""Methods with q(y|x): what each phase changes, and bounds against what they bound."""

import pytest
import tiny
import torch
from scipy.stats import entropy
from torch import nn
from truths import settings

from aebayes.methods.base import Batch
from aebayes.methods.categorical_aae import CategoricalAAE, imbalance
from aebayes.methods.classifier import SupervisedClassifier
from aebayes.methods.m2 import M2
from aebayes.methods.make import make_method
from aebayes.streams import Streams

CPU = torch.device("cpu")
CLASSES = {"hidden": [], "activation": "tanh", "classes": 3}


def method_of(name: str, **changes: dict) -> nn.Module:
    """A small method on images of 16 pixels, two replicas."""
    experiment = tiny.experiment(name, "digits")
    for key, change in changes.items():
        experiment[key] |= change
    return make_method(experiment, torch.full((1, 4, 4), 0.5), [0, 1], CPU)


def batch(images: int = 6) -> Batch:
    """Images, and labelled ones beside them."""
    generator = torch.Generator().manual_seed(0)
    x, known = torch.rand(2, 2, images, 16, generator=generator)
    labels = torch.randint(10, (2, images), generator=generator)
    return Batch(x, torch.full((2, images), 10), Batch(known, labels))


PHASES = {
    "reconstruction": {"model.encoder", "model.decoder", "model.heads"},
    "discriminator": {"adversary_y", "adversary_z"},
    "generator": {"model.encoder"},
    "classification": {"model.encoder"},
    "heads": {"model.heads"},
}
HEADS = {"decoder": {**tiny.LAYERS, "heads_apart": 3.0}}


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_has_gradients_for_its_own_networks_and_names_no_others(phase):
    method = method_of("categorical_aae", model=HEADS)
    chosen = {each.name: each for each in method.phases()}[phase]
    own = set(map(id, chosen.parameters()))
    names = {name for name, value in method.named_parameters() if id(value) in own}
    assert {".".join(n.split(".")[: 2 if n.startswith("model") else 1]) for n in names} == PHASES[
        phase
    ]
    loss = chosen(batch(), Streams(1, [0, 1], "test"))
    gradients = torch.autograd.grad(loss.sum(), chosen.parameters(), allow_unused=True)
    assert all(gradient is not None for gradient in gradients)
    assert sum(gradient.abs().sum() for gradient in gradients) > 0


def test_without_labels_there_is_no_classification_phase():
    method = method_of("categorical_aae")
    experiment = tiny.experiment("categorical_aae", "digits")
    del experiment["objective"]["labelled"]
    clusters = CategoricalAAE(experiment, (1, 4, 4), 1)
    assert [phase.name for phase in method.phases()] == list(PHASES)[:4]
    assert [phase.name for phase in clusters.phases()] == list(PHASES)[:3]
    assert not clusters.takes_labelled


@pytest.mark.parametrize("method", [CategoricalAAE, SupervisedClassifier])
def test_classification_loss_is_the_cross_entropy_of_labelled_images_alone(method):
    name = {CategoricalAAE: "categorical_aae", SupervisedClassifier: "classifier"}[method]
    made = method_of(name)
    made.eval()  # else batch norm would see the images
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 0.0]]).repeat(2, 1, 1)
    made.model.encoder.logits = lambda x: logits
    labels = torch.tensor([[1, 2], [0, 2]])
    expected = -logits.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1).mean(1)
    loss = made.classification_loss(
        torch.full((2, 2, 16), torch.nan), torch.zeros(2, 2, 16), labels
    )
    torch.testing.assert_close(loss, expected)


def test_the_encoder_sees_distortion_and_noise_and_the_reconstruction_is_of_the_image_itself():
    method = method_of("categorical_aae", objective={"input_noise": 0.7})
    method.distortion.forward = lambda x, streams: x.flip(-1)
    seen = {}
    encode = method.model.encoder.forward
    score = method.model.log_likelihood
    method.model.encoder.forward = lambda x, _: seen.setdefault("encoder", x) is None or encode(x)
    method.model.log_likelihood = lambda x, z: seen.setdefault("target", x) is None or score(x, z)
    given = batch(500)
    method.phases()[0](given, Streams(1, [0, 1], "test"))
    assert torch.equal(seen["target"], given.x)
    noise = seen["encoder"] - given.x.flip(-1)
    assert abs(noise.std() - 0.7) < 4 * 0.7 / (2 * noise.numel()) ** 0.5


def test_of_two_views_one_gives_the_class_and_the_other_is_made_from_that_and_its_style():
    method = method_of("categorical_aae", objective={"two_views": True, "input_noise": 0.7})
    method.eval()  # else what the encoder says of an image depends on the others
    given = batch(500)
    views = [given.x.flip(-1), given.x.roll(3, -1)]
    method.distortion.forward = lambda x, streams: views.pop()
    drawn = method.draw_views(given, Streams(1, [0, 1], "test"))
    other, seen, view = drawn
    assert torch.equal(view, given.x.roll(3, -1))
    for noise in (other - given.x.flip(-1), seen - view):
        assert abs(noise.std() - 0.7) < 4 * 0.7 / (2 * noise.numel()) ** 0.5
    codes = {}
    score = method.model.log_likelihood
    method.model.log_likelihood = lambda x, z: (
        codes.setdefault(len(codes), z) is None or score(x, z)
    )
    y, z = method.model.encoder(other), method.model.encoder(seen)
    expected = -score(view, torch.cat([y[..., :10], z[..., 10:]], -1)).mean(1)
    (phase, *_) = method.phases()
    torch.testing.assert_close(phase.loss(torch.full_like(view, torch.nan), *drawn), expected)
    phase.loss(given.x, other + 1.0, seen, view)
    phase.loss(given.x, other, seen + 1.0, view)
    assert torch.equal(codes[0][..., 10:], codes[1][..., 10:])
    assert torch.equal(codes[0][..., :10], codes[2][..., :10])
    assert not torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])


def test_imbalance_is_the_divergence_of_the_mean_from_the_prior_and_brings_lost_classes_back():
    logits = torch.randn(2, 50, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mean = logits.softmax(-1).mean(1)
    expected = [entropy([1 / 6] * 6, row) for row in mean.numpy()]
    assert imbalance(logits).tolist() == pytest.approx(expected, rel=1e-12)
    assert imbalance(torch.full((1, 5, 6), 3.0)).item() == pytest.approx(0.0, abs=1e-6)
    lost = torch.zeros(1, 50, 6)
    lost[..., 2] = -110.0  # whose probability is 0 in float32
    lost.requires_grad_()
    (slope,) = torch.autograd.grad(imbalance(lost).sum(), lost)
    torch.testing.assert_close(slope[..., 2], torch.full((1, 50), -1 / 6 / 50))


def test_class_balance_weighs_the_imbalance_in_the_generators_loss_alone():
    losses = []
    for objective in ({}, {"class_balance": 0.3}):
        method = method_of("categorical_aae", objective=objective)
        given = batch(20)
        losses.append([phase(given, Streams(1, [0, 1], "test")) for phase in method.phases()])
    _, seen = method.draw_for_generator(given, Streams(1, [0, 1], "test"))
    expected = 0.3 * imbalance(method.model.encoder.logits(seen))
    assert expected.min() > 0.001
    for phase, without, balanced in zip(method.phases(), *losses, strict=True):
        difference = expected if phase.name == "generator" else torch.zeros(2)
        torch.testing.assert_close(balanced - without, difference)


@pytest.mark.parametrize("name", ["categorical_aae", "classifier"])
def test_labelled_images_are_distorted_and_then_noisy(name):
    method = method_of(name, objective={"input_noise": 0.7, "distortion": {"shift": 2.0}})
    method.distortion.forward = lambda x, streams: torch.zeros_like(x)
    given = batch(500)
    known, labels = method.draw_labelled(given, Streams(1, [0, 1], "test"))
    assert abs(known.std() - 0.7) < 4 * 0.7 / (2 * known.numel()) ** 0.5
    assert torch.equal(labels, given.labelled.labels)


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 0.8), (0.75, 0.2), (1.0, 0.0)])
def test_instance_noise_blurs_codes_and_draws_alike_and_falls_to_nothing(progress, expected):
    method = method_of("categorical_aae", objective={"instance_noise": 0.8})
    given = batch(4000)._replace(progress=torch.tensor(progress))
    prior, blur, *_ = method.draw_for_discriminator(given, Streams(1, [0, 1], "test"))
    (again, *_) = method.draw_for_generator(given, Streams(2, [0, 1], "test"))
    for noise in (blur, again):
        assert abs(noise.std() - expected) <= 4 * expected / (2 * noise.numel()) ** 0.5
    # One of ten entries is 1: their variance is 0.09.
    assert prior[..., :10].var() == pytest.approx(0.09 + expected**2, rel=0.02)


def test_discriminators_are_shown_their_own_parts_of_the_code():
    method = method_of("categorical_aae")
    codes = torch.randn(2, 2, 5, 12, generator=torch.Generator().manual_seed(0))
    t_y, t_z = method.logits(codes)
    changed = codes.clone()
    changed[..., 10:] += 1.0
    u_y, u_z = method.logits(changed)
    assert torch.equal(t_y, u_y)
    assert not torch.equal(t_z, u_z)


def test_discriminators_lose_the_cross_entropy_of_codes_from_draws_each_of_its_own_parts():
    method = method_of("categorical_aae")
    method.eval()  # else what the encoder says of an image depends on the others
    prior, blur, seen = method.draw_for_discriminator(batch(5), Streams(1, [0, 1], "test"))
    # A logit that is the code's own: the log-odds of "this is a code".
    method.adversary_y.forward = lambda _, y: 3 * y[..., 0]
    method.adversary_z.forward = lambda _, z: z[..., 0] - 1
    codes = method.model.encoder(seen)
    expected = 0
    for of_codes, of_draws in (
        (3 * codes[..., 0], 3 * prior[..., 0]),
        (codes[..., 10] - 1, prior[..., 10] - 1),
    ):
        d_codes, d_draws = of_codes.sigmoid(), of_draws.sigmoid()
        expected = expected - (d_codes.log() + (1 - d_draws).log()).mean(1)
    loss = method.discriminator_loss(torch.full_like(seen, torch.nan), prior, blur, seen)
    torch.testing.assert_close(loss, expected)


def discrete(objective: dict | None = None) -> M2:
    """An M2 of four pixels whose decoder reads the class and not z, and whose q(z|x, y) is p(z)."""
    experiment = {
        "model": settings("gaussian", 2)
        | {
            "encoder": CLASSES | {"kind": "class_then_style", "hidden": [4]},
            "likelihood": "bernoulli",
        },
        "objective": {"alpha": 0.0} | (objective or {}),
    }
    method = M2(experiment, (4,), 2)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(2)
        weight = method.model.decoder.layers[0].weight
        weight[:, :3] = torch.randn(2, 3, 4, generator=generator)
        weight[:, 3:] = 0
    return method


def log_evidence(method: M2, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """log p(x|y) p(y) of every class (R, B, C), and log p(x) (R, B), summed out."""
    logits = method.model.decoder.layers[0].weight[:, :3].unsqueeze(1)  # (R, 1, C, X)
    pixels = x.unsqueeze(2)
    joint = (pixels * logits - nn.functional.softplus(logits)).sum(-1) - torch.tensor(3.0).log()
    return joint, joint.logsumexp(-1)


def test_m2s_bound_without_labels_is_the_evidence_where_q_is_the_posterior_and_less_elsewhere():
    method = discrete()
    x = (torch.rand(2, 7, 4, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    joint, evidence = log_evidence(method, x)
    noise = torch.randn(2, 3, 7, 2)
    unknown = torch.zeros(2, 7, 3)
    labelled = x, torch.zeros(2, 7, dtype=torch.int64)
    method.model.encoder.logits = lambda images: joint
    loss = method.loss(x, noise, unknown, *labelled)
    torch.testing.assert_close(-loss, evidence.mean(1))
    # Elsewhere it is less by KL(q(y|x) ‖ p(y|x)).
    log_q = torch.randn(2, 7, 3).log_softmax(-1)
    method.model.encoder.logits = lambda images: log_q
    gap = (log_q.exp() * (log_q - (joint - evidence.unsqueeze(-1)))).sum(-1).mean(1)
    loss = method.loss(x, noise, unknown, *labelled)
    torch.testing.assert_close(-loss, evidence.mean(1) - gap)


def test_m2s_bound_falls_by_the_divergence_of_the_codes_from_their_prior():
    """The decoder does not read z: whatever q(z|x, y) is, its KL alone is lost, of every class."""
    method = discrete()
    x = (torch.rand(2, 7, 4, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    noise = torch.randn(2, 3, 7, 2)
    at_prior = method.bounds(x, noise)
    with torch.no_grad():
        for parameter in method.model.encoder.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
    y = torch.eye(3).unsqueeze(1).expand(2, 3, 7, 3)
    q = method.model.encoder.posterior(x, y)
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(normal(q.mean, q.log_sd.exp()), normal(0.0, 1.0)).sum(-1)
    assert kl.min() > 0.01
    torch.testing.assert_close(method.bounds(x, noise), at_prior - kl)


def test_m2s_bound_with_labels_is_the_joint_and_alpha_weighs_the_cross_entropy():
    x = (torch.rand(2, 7, 4, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    labels = torch.tensor([[0, 1, 2, 0, 1, 2, 0]] * 2)
    known = nn.functional.one_hot(labels, 3).float()
    noise = torch.randn(2, 3, 7, 2)
    losses = {}
    for alpha in (0.0, 2.0):
        method = discrete({"alpha": alpha})
        joint, _ = log_evidence(method, x)
        losses[alpha] = method.loss(x, noise, known, x, labels)
    expected = joint.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(-losses[0.0], expected.mean(1))
    uniform = torch.tensor(3.0).log()  # what a classifier whose weights are 0 says
    torch.testing.assert_close(losses[2.0] - losses[0.0], (2 * uniform).expand(2))


def test_m2_knows_the_labels_that_it_is_told_and_no_others():
    method = method_of("m2")
    given = batch()._replace(labels=torch.tensor([[3, 10, 10, 0, 10, 9]] * 2))
    _, known, *_ = method.draw(given, Streams(1, [0, 1], "test"))
    assert torch.equal(known.sum(-1), torch.tensor([[1.0, 0, 0, 1, 0, 1]] * 2))
    assert known[0, 5].argmax() == 9
