"""The three architectures of the paper's figure 5 and the two losses they are trained on."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from causalpref.data import PreferenceData
from causalpref.rewards._config import RewardConfig, check_embeddings
from causalpref.rewards._files import read_tensors, write_tensors
from causalpref.rewards._scoring import Texts, code_of, one_by_one, own_recipe
from causalpref.text.embedding import embed

if TYPE_CHECKING:
    from causalpref.rewards._training import Fit

__all__ = [
    "RewardModel",
    "adversary_loss",
    "bradley_terry_loss",
    "load_model",
    "reverse_gradient",
    "save_model",
]

_FORMAT = "causalpref.RewardModel/1"
_ROWS = 8192  # responses scored at a time


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
    recipe : mapping, optional
        How the embeddings are made that it reads: the ``recipe`` of the training data. Without one
        it takes any of the right width, and cannot embed new texts.
    objectives : sequence of str, optional
        Names of the objectives 0, 1, ...

    Raises
    ------
    ValueError
        A configuration without them, or more names than objectives.
    """

    def __init__(
        self,
        config: RewardConfig,
        *,
        recipe: Mapping[str, Any] | None = None,
        objectives: Sequence[str] = (),
    ):
        super().__init__()
        self.config = config
        self.recipe, self.objectives = own_recipe(recipe), tuple(objectives)
        if len(self.objectives) > config.sizes[1]:
            raise ValueError(
                f"objectives holds {len(self.objectives)} names, config.n_objectives is "
                f"{config.sizes[1]}"
            )
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

    def score(
        self,
        prompts: Texts | PreferenceData,
        responses: Texts | None = None,
        objective: int | str | None = None,
        *,
        encoder: str | os.PathLike[str] | None = None,
        batch_size: int = 32,
        device: str | None = None,
        cache: str | os.PathLike[str] | None = None,
        progress: bool = False,
    ) -> np.ndarray:
        """r(x, y, c): the reward of each response to its prompt, under one objective.

        New text is embedded as the model's training data were, by its ``recipe``. Rewards are
        identified up to a constant for each prompt: compare responses to one prompt. Score those
        in one call: where texts are too long, all responses to a prompt keep the same part of it.

        Parameters
        ----------
        prompts : str, list of chat messages, sequence of these, or PreferenceData
            One prompt for all responses, or one for each. Of preference data all responses are
            scored, by their embeddings if they have any.
        responses : str, list of chat messages, or sequence of these
            Left out with preference data.
        objective : int or str, optional
            Code or name. Needed where the model has several objectives.
        encoder : str or path, optional
            Where the language model of the recipe is now. Default: where it was.
        batch_size, device, cache, progress
            For the language model, see :func:`causalpref.embed`. It is loaded at each call, so
            pass many texts at once.

        Returns
        -------
        array of float, shape (n_responses,)

        Raises
        ------
        ValueError
            Numbers of prompts and responses that do not match, a missing or unknown objective, a
            model without a recipe, a language model that has changed since, embeddings made
            otherwise, or a reward that is not finite.
        TypeError
            What is no text.
        FileNotFoundError
            A language model that is not where the recipe says.
        """
        code = code_of(objective, self.objectives, self.config.sizes[1])
        if isinstance(prompts, PreferenceData):
            if responses is not None:
                raise ValueError("responses are given beside preference data, which have their own")
            data = prompts
        elif responses is None:
            raise ValueError("responses is missing: pass a response for each prompt")
        else:
            data = one_by_one(prompts, responses)
        if data.embeddings is None:
            if self.recipe is None:
                raise ValueError(
                    "the model does not know how its embeddings were made, so it cannot score "
                    "text: fit it on data from causalpref.embed or causalpref.hashed_ngrams, or "
                    "score PreferenceData with embeddings of your own"
                )
            way = self.recipe if encoder is None else {**self.recipe, "model": os.fspath(encoder)}
            data = embed(
                data, way, batch_size=batch_size, device=device, cache=cache, progress=progress
            )
        check_embeddings(data, self.config, self.recipe)
        rewards = self._rewards(data.require("embeddings"), code)
        if len(bad := np.flatnonzero(~np.isfinite(rewards))):
            raise ValueError(
                f"the reward of response {bad[0]} is {rewards[bad[0]]}: the model's weights are "
                "broken or its embeddings are out of scale"
            )
        return rewards

    @torch.inference_mode()
    def _rewards(self, embeddings: np.ndarray, code: int) -> np.ndarray:
        device = next(self.parameters()).device
        parts = []
        for start in range(0, len(embeddings), _ROWS):
            e = torch.tensor(embeddings[start : start + _ROWS], device=device)
            c = torch.full((len(e),), code, device=device)
            parts.append(self(e, c).double().cpu())
        return torch.cat(parts).numpy()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model to a file; see :func:`save_model`."""
        return save_model(self, path)

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


def save_model(model: RewardModel | Fit, path: str | os.PathLike[str]) -> Path:
    """Write weights as safetensors; configuration, recipe and objectives in the file's header.

    Parameters
    ----------
    model : RewardModel or Fit
    path : path
        Missing folders are made; a file of this name is replaced.

    Returns
    -------
    path
    """
    if not isinstance(model, RewardModel):
        model = model.model
    path = Path(path)
    about = {
        "config": dataclasses.asdict(model.config),
        "recipe": model.recipe,
        "objectives": model.objectives,
    }
    header = {"format": _FORMAT} | {name: json.dumps(value) for name, value in about.items()}
    write_tensors(model.state_dict(), path, header)
    return path


def load_model(path: str | os.PathLike[str], *, device: str = "cpu") -> RewardModel:
    """Read a file of :func:`save_model`.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        A file that :func:`save_model` did not write.
    """
    weights, header = read_tensors(Path(path), device)
    if header.get("format") != _FORMAT:
        raise ValueError(f"{path} has format {header.get('format')!r}, expected {_FORMAT!r}")
    model = RewardModel(
        RewardConfig(**json.loads(header["config"])),
        recipe=json.loads(header.get("recipe", "null")),
        objectives=json.loads(header.get("objectives", "[]")),
    ).to(device)
    model.load_state_dict(weights)
    return model.eval()


def ordered(margin: Tensor, label: Tensor) -> Tensor:
    """1 for a pair ordered as labelled, 0 for one that is not, 0.5 for an exact tie."""
    return torch.where(margin == 0, 0.5, ((margin > 0) == label.bool()).double())
