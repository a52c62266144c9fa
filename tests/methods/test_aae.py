import pytest
import torch
from truths import settings

from aebayes.methods.aae import AAE, GENERATOR_LOSSES


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
    method = AAE(experiment, 4, 1)
    phases = {phase.name: set(map(id, phase.parameters())) for phase in method.phases()}
    assert list(phases) == ["reconstruction", "discriminator", "generator"]
    assert phases["generator"] < phases["reconstruction"]
    assert phases["discriminator"] == set(map(id, method.adversary.parameters()))
