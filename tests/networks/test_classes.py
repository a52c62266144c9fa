"""Networks with classes in their codes."""

import torch
from truths import settings

from aebayes.networks.autoencoder import AutoEncoder, ClusterHeads
from aebayes.networks.encoders import ClassThenStyleEncoder
from aebayes.networks.initialise import initialise
from aebayes.networks.layers import MLP, BatchNorm
from aebayes.networks.priors import ClassAndStyle
from aebayes.streams import Streams

REPLICAS = [0, 1]
CLASSES = {"hidden": [6], "activation": "tanh", "classes": 3}


def test_batch_norm_is_torchs_own_replica_by_replica():
    generator = torch.Generator().manual_seed(0)
    ours = BatchNorm(2, 4)
    theirs = [torch.nn.BatchNorm1d(4) for _ in REPLICAS]
    with torch.no_grad():
        for value in (ours.gain, ours.shift):
            value.copy_(torch.randn(2, 1, 4, generator=generator))
        for replica, each in enumerate(theirs):
            each.weight.copy_(ours.gain[replica, 0])
            each.bias.copy_(ours.shift[replica, 0])
    for _ in range(3):
        x = 3 + 2 * torch.randn(2, 50, 4, generator=generator)
        expected = torch.stack([each(rows) for each, rows in zip(theirs, x, strict=True)])
        torch.testing.assert_close(ours(x), expected)
    torch.testing.assert_close(ours.mean[1, 0], theirs[1].running_mean)
    # torch's running variance is the unbiased one.
    torch.testing.assert_close(ours.variance[1, 0], theirs[1].running_var, rtol=0.03, atol=0)
    ours.eval()
    together, alone = ours(x), ours(x[:, :1])
    torch.testing.assert_close(together[:, :1], alone)
    assert not ours.mean.requires_grad


def test_a_layer_that_batch_norm_follows_has_no_bias():
    network = MLP(2, [4, 6, 5, 3], "relu", batch_norm=True)
    assert [layer.bias is None for layer in network.layers] == [True, True, False]
    x = torch.rand(2, 7, 4)
    held = network.layers[0](x, hold=True)
    torch.testing.assert_close(held, network.layers[0](x))


def test_draws_of_class_and_style_are_one_hot_and_standard_normal():
    prior = ClassAndStyle(3, 2)
    draws = prior.sample(Streams(1, REPLICAS, "test"), 20000)
    y, style = prior.parts(draws)
    assert torch.equal(y.sum(-1), torch.ones(2, 20000))
    assert (y.mean(1) - 1 / 3).abs().max() < 4 * (2 / 9 / 20000) ** 0.5
    assert style.mean(1).abs().max() < 4 / 20000**0.5
    labels = torch.tensor([[0, 2, 1]] * 2)
    assert torch.equal(
        prior.sample_class(labels, Streams(1, REPLICAS, "test"))[..., :3].argmax(-1), labels
    )
    expected = torch.distributions.Normal(0, 1).log_prob(style).sum(-1) - torch.tensor(3.0).log()
    torch.testing.assert_close(prior.log_prob(draws), expected)
    assert prior.log_prob(torch.full((1, 1, 5), 0.5)).item() == -torch.inf


def with_classes(**decoder: object) -> AutoEncoder:
    """An encoder of class and style over four pixels."""
    model = AutoEncoder(
        settings("gaussian", 2)
        | {
            "encoder": CLASSES | {"kind": "class_and_style"},
            "decoder": {"hidden": [], "activation": "tanh"} | decoder,
        },
        (4,),
        2,
    )
    initialise(model, "glorot_uniform", Streams(1, REPLICAS, "initialisation"))
    return model


def test_a_code_is_the_classes_probabilities_and_the_style():
    model = with_classes()
    x = torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(0))
    code = model.encode(x, Streams(1, REPLICAS, "test"))
    assert code.shape == (2, 5, 5) == (2, 5, model.latent)
    torch.testing.assert_close(code[..., :3], model.encoder.logits(x).softmax(-1))
    assert model.decoder.layers[0].weight.shape == (2, 5, 4)


def test_cluster_heads_add_the_class_as_a_point_to_the_style():
    model = with_classes(heads_apart=4.0)
    assert model.decoder.layers[0].weight.shape == (2, 2, 4)
    y = torch.tensor([0.0, 1.0, 0.0]).expand(2, 1, 3)
    style = torch.tensor([[[0.5, -0.25]], [[1.0, 2.0]]])
    expected = 4.0 * model.heads.heads.weight[:, 1:2] + style
    torch.testing.assert_close(model.heads(torch.cat([y, style], -1)), expected)
    z = torch.cat([y, style], -1)
    torch.testing.assert_close(model.outputs(z), model.decoder(expected))


def test_heads_that_lie_too_near_are_pushed_straight_apart_and_others_left_alone():
    heads = ClusterHeads(1, ClassAndStyle(3, 2), 2.0)
    with torch.no_grad():  # at (0, 0), (1, 0) and (10, 0), in units of 2
        heads.heads.weight[0] = torch.tensor([[0.0, 0.0], [0.5, 0.0], [5.0, 0.0]])
    crowding = heads.crowding()
    torch.testing.assert_close(crowding, torch.tensor([1.0]))  # 2 − 1
    (gradient,) = torch.autograd.grad(crowding.sum(), [heads.heads.weight])
    # Of 2 − |a − b| along the line between a and b, times the unit.
    expected = torch.tensor([[[2.0, 0.0], [-2.0, 0.0], [0.0, 0.0]]])
    torch.testing.assert_close(gradient, expected)


def test_heads_in_one_place_have_a_finite_gradient():
    heads = ClusterHeads(1, ClassAndStyle(2, 2), 2.0)
    (gradient,) = torch.autograd.grad(heads.crowding().sum(), [heads.heads.weight])
    assert gradient.isfinite().all()


def test_style_depends_on_image_and_class_as_one_affine_layer_of_both_would():
    encoder = ClassThenStyleEncoder(2, (4,), 2, CLASSES)
    initialise(encoder, "glorot_uniform", Streams(1, REPLICAS, "initialisation"))
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 5, 4, generator=generator)
    y = torch.eye(3).unsqueeze(1).expand(2, 3, 5, 3)
    q = encoder.posterior(x, y)
    assert q.mean.shape == (2, 3, 5, 2)
    weight = torch.cat([encoder.of_image.weight, encoder.of_class.weight], 1)  # (R, X + C, H)
    both = torch.cat([x.unsqueeze(1).expand(-1, 3, -1, -1), y], -1)
    hidden = torch.tanh(torch.einsum("rcbi,rih->rcbh", both, weight))
    torch.testing.assert_close(q.mean, encoder.network(hidden)[..., :2])
    code = encoder(x, torch.zeros(2, 5, 2))
    chosen = encoder.logits(x).argmax(-1)
    assert torch.equal(code[..., :3].argmax(-1), chosen)
    likeliest = q.mean.gather(1, chosen[:, None, :, None].expand(-1, 1, -1, 2)).squeeze(1)
    torch.testing.assert_close(code[..., 3:], likeliest)
