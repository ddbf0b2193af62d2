"""What a fitted reward model gets right, and on which pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from causalpref.data import PreferenceData
from causalpref.rewards._config import check_embeddings, objectives
from causalpref.rewards._models import RewardModel, ordered

__all__ = ["Accuracy", "accuracy", "correct", "predict"]


@dataclass(frozen=True)
class Accuracy:
    """Share of pairs ordered as labelled, in [0, 1]; an exact tie counts one half.

    Parameters
    ----------
    all : float
    consistent, inconsistent : float
        On pairs with type(X) = C, and on the others; nan where there are no such pairs, or
        the data have no objectives or no prompt types.
    """

    all: float
    consistent: float
    inconsistent: float


@torch.inference_mode()
def predict(model: RewardModel, data: PreferenceData, *, batch_size: int = 8192) -> np.ndarray:
    """r(x, y, c) - r(x, y', c) for every pair, shape (n_pairs,), float64.

    By corollary 1 this difference is what the data can identify; its sigmoid is the
    predicted probability that the first response is preferred (equation 3).

    Parameters
    ----------
    model : RewardModel
    data : PreferenceData
        With embeddings of the model's width, and objectives where it has several.
    batch_size : int
        Pairs scored at a time.

    Raises
    ------
    ValueError
        Embeddings made otherwise than the model's, embeddings or objectives that do not fit it,
        or a reward that is not finite; names the pair.
    """
    device = next(model.parameters()).device
    embeddings = check_embeddings(data, model.config, model.recipe)
    objective = objectives(data, model.config, model.objectives)
    margins = []
    for start in range(0, len(data), batch_size):
        rows = slice(start, start + batch_size)
        c = torch.tensor(objective[rows], device=device)
        first, second = (
            model(torch.tensor(embeddings[side], device=device), c) for side in data.pairs[rows].T
        )
        margins.append((first - second).double().cpu())
    margin = torch.cat(margins).numpy()
    if not np.isfinite(margin).all():
        row = int(np.flatnonzero(~np.isfinite(margin))[0])
        raise ValueError(
            f"the reward difference of pair {row} is {margin[row]}: the model's "
            "weights are broken or its embeddings are out of scale"
        )
    return margin


def correct(model: RewardModel, data: PreferenceData) -> np.ndarray:
    """1 where the model orders a pair as labelled, 0 where not, 0.5 for an exact tie.

    Returns
    -------
    array of float, shape (n_pairs,)

    Raises
    ------
    ValueError
        As :func:`predict`.
    """
    return ordered(torch.tensor(predict(model, data)), torch.tensor(data.label)).numpy()


def accuracy(model: RewardModel, data: PreferenceData) -> Accuracy:
    """Share of pairs ordered as labelled, by whether type(X) = C (appendix E.1).

    Raises
    ------
    ValueError
        As :func:`predict`.
    """
    right = correct(model, data)
    same = unlike = np.zeros(len(data), dtype=bool)
    if data.objective is not None and data.prompt_type is not None:
        same, unlike = data.consistent, ~data.consistent
    everywhere = np.ones(len(data), dtype=bool)
    return Accuracy(
        *(float(right[of].mean()) if of.any() else np.nan for of in (everywhere, same, unlike))
    )
