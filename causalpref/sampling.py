"""Drawing pairs from a pool so that a dependence has the strength asked for."""

from __future__ import annotations

import numpy as np

from causalpref.data import PreferenceData

__all__ = ["attainable_rho", "sample_confounded"]


def _cells(data: PreferenceData) -> list[list[np.ndarray]]:
    """Rows of the pool by objective and (inconsistent, consistent)."""
    consistent = data.consistent
    values = np.unique(data.objective)
    if len(values) < 2:
        raise ValueError(f"the pool has one objective only ({values.tolist()}): "
                         "there is nothing to confound")
    return [[np.flatnonzero((data.objective == c) & (consistent == side))
             for side in (False, True)] for c in values]


def attainable_rho(data: PreferenceData, n: int) -> tuple[float, float]:
    """Smallest and largest rho for which the pool can give ``n`` pairs.

    Returns (nan, nan) when it can give none, whatever rho is.
    """
    cells = _cells(data)
    low, high = 0.0, 1.0
    for cell, size in zip(cells, _sizes(n, len(cells))):
        if size:
            low = max(low, 1 - len(cell[0]) / size)
            high = min(high, len(cell[1]) / size)
    return (low, high) if low <= high else (float("nan"), float("nan"))


def _sizes(n: int, cells: int) -> list[int]:
    """n pairs over the objectives, as evenly as whole pairs allow."""
    return [n // cells + (c < n % cells) for c in range(cells)]


def sample_confounded(data: PreferenceData, rho: float, n: int, *,
                      seed: int | np.random.Generator) -> PreferenceData:
    """Draw pairs, without replacement, with a set degree of confounding.

    Parameters
    ----------
    data : PreferenceData
        The pool; has ``objective`` (C) and ``prompt_type`` (type(X)).
    rho : float
        P(type(X) = C) in the sample (section 4), within each objective.
        Every objective gets the same number of pairs. Counts are rounded to
        whole pairs.
    n : int
        Pairs to draw.
    seed : int or numpy.random.Generator

    Returns
    -------
    PreferenceData
        In random order.

    Raises
    ------
    ValueError
        rho outside [0, 1], or a pool that lacks the pairs; then the message
        gives the range of rho that the pool can give for this n.
    """
    if not 0 <= rho <= 1:
        raise ValueError(f"rho is {rho}, a probability lies in [0, 1]")
    if n < 1:
        raise ValueError(f"n is {n}, expected at least one pair")
    rng = np.random.default_rng(seed)
    cells = _cells(data)
    drawn = []
    for cell, size in zip(cells, _sizes(n, len(cells))):
        consistent = int(round(rho * size))
        for rows, wanted in zip(cell, (size - consistent, consistent)):
            if wanted > len(rows):
                low, high = attainable_rho(data, n)
                reach = ("none is" if np.isnan(low) else f"rho from {low:.2f} to {high:.2f} is")
                raise ValueError(
                    f"the pool cannot give {n} pairs at rho = {rho}: it would take {wanted} from "
                    f"a (type, objective) cell that holds {len(rows)}; with n = {n}, {reach} "
                    "within reach")
            drawn.append(rng.permutation(rows)[:wanted])
    return data.select(rng.permutation(np.concatenate(drawn)))
