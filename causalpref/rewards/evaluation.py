"""What a fitted reward model gets right, and on which pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from causalpref.data import PreferenceData
from causalpref.rewards.models import RewardModel
from causalpref.rewards.training import objectives, ordered

__all__ = ["accuracy", "correct", "predict", "summarise"]


@torch.inference_mode()
def predict(model: RewardModel, data: PreferenceData, *, batch_size: int = 8192) -> np.ndarray:
    """r(x, y, c) - r(x, y', c) for every pair, shape (n_pairs,), float64.

    By corollary 1 this difference is what the data can identify; its sigmoid is the
    predicted probability that the first response is preferred (equation 3).

    Raises
    ------
    ValueError
        Embeddings or objectives that do not fit the model, or a reward that is not finite;
        names the pair.
    """
    device = next(model.parameters()).device
    objective = objectives(data, model.config)
    margins = []
    for start in range(0, len(data), batch_size):
        rows = slice(start, start + batch_size)
        c = torch.tensor(objective[rows], device=device)
        first, second = (
            model(torch.tensor(data.embeddings[side], device=device), c)
            for side in data.pairs[rows].T
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
    """1 where the model orders a pair as labelled, 0 where not, 0.5 for an exact tie."""
    return ordered(torch.tensor(predict(model, data)), torch.tensor(data.label)).numpy()


def accuracy(model: RewardModel, data: PreferenceData) -> dict[str, float]:
    """Share of pairs ordered as labelled, by whether type(X) = C.

    Returns
    -------
    dict
        ``all``, and for data with objectives and prompt types ``consistent`` and
        ``inconsistent`` (type(X) = C or not; nan where there are no such pairs), in [0, 1].
    """
    right = correct(model, data)
    parts = {"all": right}
    if data.objective is not None and data.prompt_type is not None:
        consistent = data.consistent
        parts |= {"consistent": right[consistent], "inconsistent": right[~consistent]}
    return {name: float(part.mean()) if len(part) else float("nan") for name, part in parts.items()}


def summarise(runs: pd.DataFrame, by: Sequence[str], value: str = "accuracy") -> pd.DataFrame:
    """Mean over seeds with its standard error.

    Parameters
    ----------
    runs : pandas.DataFrame
        One row a run and group, with the columns ``by``, ``seed`` and ``value``.
    by : sequence of str
    value : str

    Returns
    -------
    pandas.DataFrame
        ``by``, ``mean``, ``se`` (sample standard deviation over seeds divided by the
        root of their number; nan for a single one) and ``seeds``. Order of first appearance.
    """
    grouped = runs.groupby(list(by), sort=False)[value]
    return grouped.agg(mean="mean", se="sem", seeds="count").reset_index()
