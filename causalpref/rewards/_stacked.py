"""Many reward models of one shape as one program: every parameter has a leading axis of runs.

The arithmetic is that of :class:`causalpref.rewards.RewardModel`, which the tests hold it
to. Nothing is shared between runs, so what happens to one leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from causalpref.rewards._models import RewardModel, reverse_gradient

Spans = Sequence[tuple[int, int]]


class Stack:
    """Parameters of R models of one shape, and their losses in one batched pass.

    Parameters
    ----------
    models : sequence of RewardModel
        Of equal configuration but for ``lambda_``.
    device : str
    """

    def __init__(self, models: Sequence[RewardModel], device: str):
        states = [m.state_dict() for m in models]
        with torch.device("meta"):  # its layers only, no weights
            self.template = RewardModel(models[0].config)
        # weights lie (R, in, out): so their gradients come out of a product as they are stored
        self.parameters = {
            name: torch.stack([_turned(s[name]) for s in states]).to(device).requires_grad_()
            for name in states[0]
        }
        self.lambda_ = torch.tensor([m.config.lambda_ for m in models], device=device)

    def keep(self, runs: Tensor) -> None:
        """Drop all runs but these."""
        self.parameters = {
            name: p.detach()[runs].requires_grad_() for name, p in self.parameters.items()
        }
        self.lambda_ = self.lambda_[runs]

    def weights(self, run: int) -> dict[str, Tensor]:
        """Views of one run's parameters, as its model holds them."""
        return {name: _turned(p.detach()[run]) for name, p in self.parameters.items()}

    def losses(
        self, e: Tensor, c: Tensor, label: Tensor, spans: Spans, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Bradley-Terry loss, adversary's loss (or None) and margins, one row a run.

        Parameters
        ----------
        e : tensor, shape (R, 2, n, d)
            Embeddings of the first and of the second responses of n pairs.
        c, label : tensor of int, shape (R, n)
            ``c`` sorted within each run.
        spans : sequence of (int, int)
            For each objective, first row and row after the last that hold it in any run:
            only these pass through its head.
        weight : tensor, shape (R, n), optional
            Of each pair in both losses. Default: 1.

        Returns
        -------
        loss : tensor, shape (R,)
        adversary : tensor, shape (R,), or None
        margin : tensor, shape (R, n)
        """
        config, (r, _, n, _) = self.template.config, e.shape
        adversary = None
        if config.kind == "base":
            indicators = F.one_hot(c, config.sizes[1])[..., 1:].to(e.dtype)
            e = torch.cat([e, indicators[:, None].expand(r, 2, n, -1)], dim=-1)
            rewards = self._apply("trunk", e.flatten(1, 2)).view(r, 2, n)
        else:
            z = self._apply("trunk", e.flatten(1, 2))
            sides = z.view(r, 2, n, -1)
            each = (self._head(k, sides, c, span) for k, span in enumerate(spans))
            rewards = reduce(torch.add, each)
            if config.kind == "adversarial":
                logits = self._apply("adversary", reverse_gradient(z, self.lambda_.view(-1, 1, 1)))
                logits = F.pad(logits.float(), (1, 0)).view(r * 2 * n, -1)
                truth = c[:, None].expand(r, 2, n).reshape(-1)
                adversary = F.cross_entropy(logits, truth, reduction="none").view(r, 2, n).sum(1)
        margin = (rewards[:, 0] - rewards[:, 1]).float()
        loss = F.softplus(torch.where(label.bool(), -margin, margin))
        if weight is not None:
            loss = loss * weight
            adversary = None if adversary is None else adversary * weight
        return loss.mean(1), None if adversary is None else adversary.mean(1), margin

    def _head(self, k: int, sides: Tensor, c: Tensor, span: tuple[int, int]) -> Tensor:
        """Rewards of the pairs under objective k, 0 for the others; shape (R, 2, n)."""
        low, high = span
        r, _, n, width = sides.shape
        z = sides[:, :, low:high].reshape(r, -1, width)
        reward = self._apply(f"heads.{k}", z).view(r, 2, high - low)
        mine = c[:, None, low:high] == k
        return F.pad(torch.where(mine, reward, 0.0), (low, n - high))

    def _apply(self, name: str, x: Tensor) -> Tensor:
        """One of the template's networks, each run with its own weights; x is (R, rows, in)."""
        for place, layer in self.template.get_submodule(name).named_children():
            if isinstance(layer, nn.Linear):
                weight, bias = (
                    self.parameters[f"{name}.{place}.{part}"] for part in ("weight", "bias")
                )
                x = torch.baddbmm(bias[:, None], x, weight)
            else:
                x = layer(x)
        return x


def _turned(parameter: Tensor) -> Tensor:
    """A weight matrix transposed; a bias as it is."""
    return parameter.mT if parameter.ndim == 2 else parameter


def spans_of(c: Tensor, n_objectives: int) -> list[list[tuple[int, int]]]:
    """Where each objective stands in batches sorted by it.

    Parameters
    ----------
    c : tensor of int, shape (R, batches, n)
        On the host, in any order.

    Returns
    -------
    list of list of (int, int)
        For each batch and objective: the smallest first row and the largest end over the runs.
    """
    counts = F.one_hot(c, n_objectives).sum(2)  # (R, batches, K)
    end = counts.cumsum(2)
    low, high = (end - counts).amin(0), end.amax(0)
    return [list(zip(a, b)) for a, b in zip(low.tolist(), high.tolist())]
