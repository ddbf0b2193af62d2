"""The three architectures of the paper's figure 5 and the two losses they are trained on."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from causalpref.rewards._config import RewardConfig

__all__ = ["RewardModel", "adversary_loss", "bradley_terry_loss", "reverse_gradient"]


def _mlp(n_in: int, hidden: int, depth: int, n_out: int) -> nn.Sequential:
    """``depth`` linear layers with GELU between them."""
    widths = [n_in, *[hidden] * (depth - 1), n_out]
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.GELU()]
    return nn.Sequential(*layers[:-1])


class RewardModel(nn.Module):
    """r(x, y, c): a reward for an embedded response under an objective.

    ``base``
        One MLP on the embedding with the objective appended (figure 5a): for
        two objectives one column that holds c, for K of them K - 1 indicators.
    ``multihead``
        A trunk g gives the latent representation, one head f_c an objective reads the
        reward from it (equations 4 and 11).
    ``adversarial``
        Multihead, and a network h that tries to tell C from the
        representation, from which it receives reversed gradients
        (equations 5 and 12).

    The paper's "1-layer MLP with a hidden dimension of 512" for heads and
    adversary is read as one hidden layer of that width.

    Parameters
    ----------
    config : RewardConfig
        With ``d`` and ``n_objectives``.

    Raises
    ------
    ValueError
        A configuration without them.
    """

    def __init__(self, config: RewardConfig):
        super().__init__()
        self.config = config
        (d, k), h = config.sizes, config.hidden
        if config.kind == "base":
            self.trunk = _mlp(d + k - 1, h, config.depth, config.latent or 1)
            if config.latent:
                self.trunk.append(nn.Linear(config.latent, 1))
            return
        self.trunk = _mlp(d, h, config.depth, h)
        self.heads = nn.ModuleList(_mlp(h, h, 2, 1) for _ in range(k))
        if config.kind == "adversarial":
            self.adversary = _mlp(h, h, 2, max(k - 1, 1))

    def represent(self, e: Tensor) -> Tensor:
        """The learned representation g(x, y), shape (..., hidden), of embeddings (..., d).

        Raises
        ------
        ValueError
            For ``base``, which has none that the objective has not entered.
        """
        if self.config.kind == "base":
            raise ValueError(
                "the base model mixes in the objective at its first layer: "
                "it has no representation of the text alone"
            )
        return self.trunk(e)

    def forward(self, e: Tensor, c: Tensor) -> Tensor:
        """Reward of each response.

        Parameters
        ----------
        e : tensor, shape (..., d)
            Embeddings.
        c : tensor of int, shape (...)
            Objective for each.

        Returns
        -------
        tensor, shape (...)
        """
        if self.config.kind == "base":
            indicators = F.one_hot(c, self.config.sizes[1])[..., 1:].to(e.dtype)
            return self.trunk(torch.cat([e, indicators], dim=-1)).squeeze(-1)
        return self._read(self.trunk(e), c)

    def _read(self, z: Tensor, c: Tensor) -> Tensor:
        rewards = torch.cat([head(z) for head in self.heads], dim=-1)
        return rewards.gather(-1, c.unsqueeze(-1)).squeeze(-1)

    def losses(
        self, e: Tensor, e_prime: Tensor, label: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Bradley-Terry loss, adversary's loss (or None) and reward differences of a batch.

        Both losses are means over the pairs; the adversary's adds up the two
        responses of a pair, as equation 13 does. Minimising their sum plays
        equation 12: h descends its loss, and g, behind the reversal, ascends it
        with weight lambda.

        Parameters
        ----------
        e, e_prime : tensor, shape (n, d)
        label : tensor of {0, 1}, shape (n,)
        c : tensor of int, shape (n,)
        """
        both = torch.stack([e, e_prime])
        objective = c.expand(2, -1)
        if self.config.kind == "base":
            rewards, adversary = self(both, objective), None
        else:
            z = self.trunk(both)
            rewards, adversary = self._read(z, objective), None
            if self.config.kind == "adversarial":
                logits = self.adversary(reverse_gradient(z, self.config.lambda_))
                adversary = reduce(torch.add, (adversary_loss(logit, c) for logit in logits))
        margin = rewards[0] - rewards[1]
        return bradley_terry_loss(margin, label), adversary, margin


def bradley_terry_loss(margin: Tensor, label: Tensor) -> Tensor:
    """Negative log-likelihood of the labels under Bradley-Terry-Luce, a mean over pairs.

    Equations 1, 2 and 10, which sum where this averages:
    ``-log sigmoid(margin)`` where the first is preferred, ``-log sigmoid(-margin)`` else,
    without overflow for any finite margin.

    Parameters
    ----------
    margin : tensor, shape (n,)
        r(x, y) - r(x, y').
    label : tensor of {0, 1}, shape (n,)
        1 means the first is preferred.
    """
    return F.softplus(torch.where(label.bool(), -margin, margin)).mean()


def adversary_loss(logits: Tensor, c: Tensor) -> Tensor:
    """Cross-entropy of the adversary's guess of C, a mean over responses.

    For two objectives h gives one unnormalised log probability of C = 1, and
    this is ``-[c log sigmoid(h) + (1 - c) log(1 - sigmoid(h))]``. Equation 13 as
    printed, ``-[c h + (1 - c)(1 - h)]``, lacks the sigmoid and the logarithms: it is
    linear in h and has no minimum, so it cannot be the binary cross-entropy that
    section 4.1 names. That cross-entropy is what is computed here.

    Parameters
    ----------
    logits : tensor, shape (n, K - 1)
        Log odds of objectives 1, ..., K - 1 against objective 0.
    c : tensor of int, shape (n,)
    """
    return F.cross_entropy(F.pad(logits, (1, 0)), c)


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: float | Tensor) -> Tensor:
        ctx.weight = weight
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return -ctx.weight * grad_outputs[0], None


def reverse_gradient(z: Tensor, weight: float | Tensor) -> Tensor:
    """The identity, whose gradient is ``-weight`` times the plain one (Ganin et al., 2016).

    A tensor of weights must broadcast with ``z``.
    """
    return _Reverse.apply(z, weight)


def ordered(margin: Tensor, label: Tensor) -> Tensor:
    """1 for a pair ordered as labelled, 0 for one that is not, 0.5 for an exact tie."""
    return torch.where(margin == 0, 0.5, ((margin > 0) == label.bool()).double())
