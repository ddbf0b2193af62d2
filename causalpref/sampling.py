"""Drawing pairs from a pool so that a dependence has the strength asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from causalpref.data import PreferenceData

__all__ = [
    "attainable_correlation",
    "attainable_rho",
    "sample_confounded",
    "sample_correlated",
    "sample_opposed",
]


def _cells(data: PreferenceData) -> list[list[np.ndarray]]:
    """Rows of the pool by objective and (inconsistent, consistent)."""
    consistent, objective = data.consistent, data.require("objective")
    values = np.unique(objective)
    if len(values) < 2:
        raise ValueError(
            f"the pool has one objective only ({values.tolist()}): there is nothing to confound"
        )
    return [
        [np.flatnonzero((objective == c) & (consistent == side)) for side in (False, True)]
        for c in values
    ]


def attainable_rho(data: PreferenceData, n_pairs: int) -> tuple[float, float]:
    """Smallest and largest rho for which the pool can give ``n_pairs`` pairs.

    Parameters
    ----------
    data : PreferenceData
        The pool, as for :func:`sample_confounded`.
    n_pairs : int

    Returns
    -------
    low, high : float
        In [0, 1]; both nan when no rho is within reach.

    Raises
    ------
    ValueError
        A pool without objectives or prompt types, or of one objective.
    """
    cells = _cells(data)
    low, high = 0.0, 1.0
    for cell, size in zip(cells, _sizes(n_pairs, len(cells))):
        if size:
            low = max(low, 1 - len(cell[0]) / size)
            high = min(high, len(cell[1]) / size)
    return (low, high) if low <= high else (float("nan"), float("nan"))


def _sizes(n: int, cells: int) -> list[int]:
    """n pairs over the objectives, as evenly as whole pairs allow."""
    return [n // cells + (c < n % cells) for c in range(cells)]


def sample_confounded(
    data: PreferenceData, rho: float, n_pairs: int, *, seed: int | np.random.Generator = 0
) -> PreferenceData:
    """Draw pairs, without replacement, with a set degree of confounding.

    Parameters
    ----------
    data : PreferenceData
        The pool; has ``objective`` (C) and ``prompt_type`` (type(X)).
    rho : float
        P(type(X) = C) in the sample (section 4), within each objective.
        Every objective gets the same number of pairs. Counts are rounded to
        whole pairs.
    n_pairs : int
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
        gives the range of rho that the pool can give for this number of pairs.
    """
    if not 0 <= rho <= 1:
        raise ValueError(f"rho is {rho}, a probability lies in [0, 1]")
    if n_pairs < 1:
        raise ValueError(f"n_pairs is {n_pairs}, expected at least 1")
    rng = np.random.default_rng(seed)
    cells = _cells(data)
    drawn = []
    for cell, size in zip(cells, _sizes(n_pairs, len(cells))):
        consistent = round(rho * size)
        for rows, wanted in zip(cell, (size - consistent, consistent)):
            if wanted > len(rows):
                low, high = attainable_rho(data, n_pairs)
                reach = "none is" if np.isnan(low) else f"rho from {low:.2f} to {high:.2f} is"
                raise ValueError(
                    f"the pool cannot give {n_pairs} pairs at rho = {rho}: it would take {wanted} "
                    f"from a (type, objective) cell that holds {len(rows)}; with {n_pairs} pairs, "
                    f"{reach} within reach"
                )
            drawn.append(rng.permutation(rows)[:wanted])
    return data.select(rng.permutation(np.concatenate(drawn)))


# -- correlation of two latents --------------------------------------------

Tilt = Literal["normal", "difference", "product"]
Latents = tuple[int | str, int | str]


def attainable_correlation(
    data: PreferenceData, n_pairs: int, *, latents: Latents = (0, 1), tilt: Tilt = "normal"
) -> tuple[float, float]:
    """Smallest and largest correlation of delta for which the pool can give ``n_pairs`` pairs.

    Parameters
    ----------
    data, n_pairs, latents, tilt
        As for :func:`sample_correlated`.

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        As for :func:`sample_correlated`.
    """
    counts, value = _tilted(data, n_pairs, latents, tilt)[1:]
    return value(counts(-_STEEPEST)), value(counts(_STEEPEST))


def sample_correlated(
    data: PreferenceData,
    rho: float,
    n_pairs: int,
    *,
    latents: Latents = (0, 1),
    tilt: Tilt = "normal",
    seed: int | np.random.Generator = 0,
) -> PreferenceData:
    """Draw pairs, without replacement, with a set correlation of latent differences.

    Stratified by delta = z - z' (appendix D.2): the pool is laid out on the grid of the values that
    delta takes, each cell gives a number of pairs in proportion to a weight with one
    parameter, no more than it holds, and the parameter is solved for.

    Parameters
    ----------
    data : PreferenceData
        The pool, with response latents of few values.
    rho : float
        Correlation of delta_1 and delta_2 about zero, E[delta_1 delta_2] / sqrt(E[delta_1^2]
        E[delta_2^2]): which of two responses stands first means nothing, so neither does its sign.
    n_pairs : int
    latents : (int or str, int or str)
        Which two, by column or name.
    tilt : {"normal", "difference", "product"}
        How cells are weighted; d is delta over its root mean square in the pool, h what the
        cell holds. The paper does not say, and it decides whether ties and small margins
        become rarer or more common with rho, hence whether accuracy on pairs drawn alike rises or
        falls. ``"normal"``: by the density of a normal with variances 1 and a correlation that is
        solved for, as in appendix D.1 and figure 7. ``"difference"``: h exp(-m (d_1 - d_2)^2 / 2)
        to raise the correlation, h exp(-m (d_1 + d_2)^2 / 2) to lower it. ``"product"``:
        h exp(m d_1 d_2).
    seed : int or numpy.random.Generator

    Returns
    -------
    PreferenceData
        In random order. The correlation is that asked for up to the rounding of cells to whole
        pairs.

    Raises
    ------
    ValueError
        Latents that are not there, or not two; rho outside [-1, 1] or beyond what the pool can
        give (the message states the range), a pool of fewer than ``n_pairs`` pairs, or one in
        which a latent never differs.
    """
    if not -1 <= rho <= 1:
        raise ValueError(f"rho is {rho}, a correlation lies in [-1, 1]")
    cell, counts, value = _tilted(data, n_pairs, latents, tilt)
    low, high = -_STEEPEST, _STEEPEST
    reach = value(counts(low)), value(counts(high))
    if not reach[0] - 1e-9 <= rho <= reach[1] + 1e-9:
        raise ValueError(
            f"the pool cannot give {n_pairs} pairs with a correlation of {rho}: from "
            f"{reach[0]:.2f} to {reach[1]:.2f} is within reach with tilt {tilt!r}"
        )
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if value(counts(middle)) < rho else (low, middle)
    rng = np.random.default_rng(seed)
    take = _whole(counts((low + high) / 2), np.bincount(cell), n_pairs)
    order = rng.permutation(len(cell))
    rank = np.empty(len(cell), dtype=np.int64)  # place of each pair within its cell
    by_cell = order[np.argsort(cell[order], kind="stable")]
    size = np.bincount(cell)
    rank[by_cell] = np.arange(len(cell)) - np.repeat(np.cumsum(size) - size, size)
    return data.select(rng.permutation(np.flatnonzero(rank < take[cell])))


def sample_opposed(
    data: PreferenceData,
    n_pairs: int,
    *,
    latents: Latents = (0, 1),
    seed: int | np.random.Generator = 0,
) -> PreferenceData:
    """Draw pairs of which each response is better in one latent: delta_1 delta_2 < 0.

    The paper's OOD test (appendix D.2): second and fourth quadrant only, at random.

    Parameters
    ----------
    data, n_pairs, latents, seed
        As for :func:`sample_correlated`.

    Raises
    ------
    ValueError
        Fewer than ``n_pairs`` such pairs.
    """
    d = _differences(data, latents)
    rows = np.flatnonzero(d[:, 0] * d[:, 1] < 0)
    if n_pairs < 1 or len(rows) < n_pairs:
        raise ValueError(
            f"the pool holds {len(rows)} pairs whose latents disagree, {n_pairs} were asked for"
        )
    return data.select(np.random.default_rng(seed).permutation(rows)[:n_pairs])


_STEEPEST = 30.0


def _differences(data: PreferenceData, latents: Latents) -> np.ndarray:
    columns = [data.index_of("response_latents", j) for j in latents]
    if len(columns) != 2 or columns[0] == columns[1]:
        raise ValueError(f"latents is {latents!r}, expected two different ones")
    return data.difference("response_latents")[:, columns]


def _tilted(
    data: PreferenceData, n_pairs: int, latents: Latents, tilt: str
) -> tuple[np.ndarray, Callable[[float], np.ndarray], Callable[[np.ndarray], float]]:
    """Cell of each pair; pairs to take from each cell by tilt; correlation of such counts."""
    if tilt not in ("normal", "difference", "product"):
        raise ValueError(f"tilt is {tilt!r}, expected 'normal', 'difference' or 'product'")
    if not 1 <= n_pairs <= len(data):
        raise ValueError(f"n_pairs is {n_pairs}, the pool holds {len(data)} pairs")
    d = _differences(data, latents)
    # rounded, so that one difference of thirds does not fall into two cells
    grid, cell = np.unique(np.round(d, 9), axis=0, return_inverse=True)
    cell = cell.ravel()
    held = np.bincount(cell).astype(float)
    size = np.sqrt(held @ grid**2 / len(d))
    if (size == 0).any():
        raise ValueError(f"latent {latents[int(np.argmin(size))]!r} never differs within a pair")
    u = grid / size

    def log_weight(m: float) -> np.ndarray:
        if tilt == "normal":
            r = 0.98 * np.tanh(m / 4)
            return -((u**2).sum(axis=1) - 2 * r * u.prod(axis=1)) / (2 * (1 - r**2))
        if tilt == "product":
            return np.log(held) + m * u.prod(axis=1)
        return np.log(held) - abs(m) * (u[:, 0] - np.sign(m) * u[:, 1]) ** 2 / 2

    def counts(m: float) -> np.ndarray:
        """``n_pairs`` pairs over the cells by weight, none giving more than it holds."""
        log_w = log_weight(m)
        take = np.zeros(len(held))
        full = np.zeros(len(held), dtype=bool)
        while True:
            free = ~full
            left = n_pairs - held[full].sum()
            if left <= 0 or not free.any():
                break
            w = np.exp(log_w[free] - log_w[free].max())
            take[free] = left * w / w.sum()
            over = free & (take > held)
            if not over.any():
                break
            full |= over
            take[full] = held[full]
        return take

    def value(take: np.ndarray) -> float:
        square = np.sqrt((take @ u[:, 0] ** 2) * (take @ u[:, 1] ** 2))
        return float(take @ (u[:, 0] * u[:, 1]) / square) if square > 0 else 0.0

    return cell, counts, value


def _whole(take: np.ndarray, held: np.ndarray, n: int) -> np.ndarray:
    """Whole numbers near ``take`` that add up to n, none above what is held."""
    whole = np.floor(take + 1e-9).astype(np.int64)
    short = n - whole.sum()
    room = np.flatnonzero(whole < held)
    best = room[np.argsort(-(take - whole)[room], kind="stable")]
    whole[best[:short]] += 1
    return whole
