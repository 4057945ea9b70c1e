"""The critic while it learns: what it makes of drawn faces, and how it gets better at it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from training.swaptalk.vqgan.critic import Critic, adaptive_weight, critic_loss
from training.swaptalk.vqgan.learner import Drawn
from training.workers import Workers


class Adversary:
    """A critic and its optimiser."""

    def __init__(self, rate: float, workers: Workers) -> None:
        self.critic = Critic().to(workers.device)
        self.parallel = workers.wrap(self.critic)
        self.rate = rate
        self.optimiser = torch.optim.Adam(self.critic.parameters(), lr=rate, betas=(0.5, 0.9))

    def judge(self, drawn: Drawn, last: Tensor, share: float) -> tuple[Tensor, dict[str, float]]:
        """What a step's total gains, and figures.

        share: of the gradient at `last`, the decoder's last weights, beside being faithful.
        """
        self.critic.requires_grad_(False)
        pleasing = -self.critic(drawn.made).mean()
        self.critic.requires_grad_(True)
        weight = adaptive_weight(drawn.losses["total"], pleasing, last)
        figures = {"pleasing": float(pleasing.detach()), "adaptive": float(weight)}
        return share * weight * pleasing, figures

    def learn(self, drawn: Drawn, pace: float) -> dict[str, float]:
        """A step of the critic."""
        both = torch.cat([drawn.wanted, drawn.made.detach()])
        loss = critic_loss(*self.parallel(both).chunk(2))
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * pace
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return {"critic": float(loss.detach())}

    def state(self) -> dict[str, Any]:
        """What `take_up` needs."""
        return {"critic": self.critic.state_dict(), "optimiser": self.optimiser.state_dict()}

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.critic.load_state_dict(state["critic"])
        self.optimiser.load_state_dict(state["optimiser"])
