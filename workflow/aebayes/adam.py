"""Adam on torch's fused kernel, for short processes: it does not import what torch.optim's does."""

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Adam (Kingma & Ba 2015), to the last bit as `torch.optim.Adam(…, fused=True)` computes it.

    Whoever makes one of torch.optim's optimisers imports torch's compiler, which takes as long as
    importing torch itself; their steps take 30 µs longer, too. It has what the trainer needs of
    their interface: `param_groups`, `step`, `state_dict`, `load_state_dict`.

    Args:
        parameters: on one device; their storage must stay theirs.
    """

    def __init__(
        self,
        parameters: list[Tensor],
        lr: float,
        betas: tuple[float, float],
        eps: float = 1e-8,
    ):
        self.param_groups = [{"params": parameters, "lr": lr, "betas": betas, "eps": eps}]
        self.values = [parameter.detach() for parameter in parameters]
        self.state = [
            {
                "step": torch.zeros((), device=value.device),
                "exp_avg": torch.zeros_like(value),
                "exp_avg_sq": torch.zeros_like(value),
            }
            for value in self.values
        ]

    def step(self) -> None:
        """Change every parameter by its `grad`."""
        group = self.param_groups[0]
        adam(
            self.values,
            [parameter.grad for parameter in group["params"]],
            [entry["exp_avg"] for entry in self.state],
            [entry["exp_avg_sq"] for entry in self.state],
            [],
            [entry["step"] for entry in self.state],
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=0.0,
            eps=group["eps"],
            maximize=False,
        )

    def state_dict(self) -> dict:
        """Steps and moments by the parameter's number, as torch's optimisers give theirs."""
        groups = [{key: value for key, value in self.param_groups[0].items() if key != "params"}]
        return {"state": dict(enumerate(self.state)), "param_groups": groups}

    def load_state_dict(self, content: dict) -> None:
        """The inverse of `state_dict`, but for the settings, which stay."""
        for number, entry in content["state"].items():
            for key, value in entry.items():
                self.state[number][key].copy_(value)
