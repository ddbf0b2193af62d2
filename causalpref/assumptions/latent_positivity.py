"""Assumption 5, latent positivity: are all combinations of latents there to be compared?"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.spatial import cKDTree

from causalpref.assumptions.confounding import Names, _names
from causalpref.assumptions.report import Picture, Report, Verdict, table
from causalpref.data import PreferenceData
from causalpref.statistics import TINY, correlation_interval, holm

__all__ = ["Support", "check_latent_positivity", "latent_support", "variance_inflation"]

_LEVELS = 6  # a latent of at most so many values is discrete
_MOST_CELLS = 4096
_APART = 10.0  # distance of two values of a discrete latent, in standard deviations of others
_ENOUGH = 300  # prompts from which on "never differs" is more than chance


# -- support ---------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Support:
    """Where latents were seen, so that new ones can be held against it.

    Parameters
    ----------
    centre, scale : array, shape (q,)
        Taken off and divided by before distances are measured.
    radius : float
        Largest distance to the k-th nearest point seen that counts as inside.
    k : int
    columns : list of str
        What the q numbers are.
    """

    centre: np.ndarray
    scale: np.ndarray
    radius: float
    k: int
    columns: list[str]
    _tree: Any

    def distance(self, new: np.ndarray) -> np.ndarray:
        """Distance to the k-th nearest point seen, in units of ``radius``, shape (n,).

        0 where k points with the same discrete values and nothing else stand.

        Raises
        ------
        ValueError
            A shape other than (n, q), or numbers that are not finite.
        """
        new = np.asarray(new, dtype=float)
        if new.ndim != 2 or new.shape[1] != len(self.centre):
            raise ValueError(
                f"new has shape {new.shape}, expected (any, {len(self.centre)}): "
                f"{', '.join(self.columns)}"
            )
        if not np.isfinite(new).all():
            row, column = np.argwhere(~np.isfinite(new))[0].tolist()
            raise ValueError(f"new[{row}, {column}] = {new[row, column]} is not finite")
        found = self._tree.query((new - self.centre) / self.scale, k=[self.k])[0][:, 0]
        return found / self.radius

    def in_support(self, new: np.ndarray) -> np.ndarray:
        """True where latents like these were seen, shape (n,).

        Parameters
        ----------
        new : array, shape (n, q)
            Columns as in ``columns``: Z^X, then Z^T.
        """
        return self.distance(new) <= 1


def latent_support(
    data: PreferenceData,
    *,
    context: int | None = None,
    share: float = 0.99,
    k: int = 5,
    names: Names | None = None,
) -> Support:
    """Where (Z^X, Z^T) of the responses in pairs lies.

    A new response is inside when its k-th nearest neighbour among those seen is no further
    than that of a share of those seen (their own neighbours, themselves left out). Distances
    are Euclidean after scaling every latent to standard deviation 1; a discrete latent's
    steps are stretched, so that another value is never near, and a combination of discrete values
    seen k times or less is outside.

    Parameters
    ----------
    data : PreferenceData
        With response latents.
    context : int, optional
        Pairs judged in this context only: support given C = c.
    share : float in (0, 1)
    k : int
    names : mapping, optional

    Raises
    ------
    ValueError
        Without response latents, an unknown context, or no more than k responses.
    """
    if data.response_latents is None:
        raise ValueError("the data have no response_latents")
    if context is not None:
        if data.objective is None or context not in data.objective:
            raise ValueError(f"no pair was judged in context {context}")
        data = data.select(data.objective == context)
    x, columns = _latents(data, names)
    if len(x) <= k:
        raise ValueError(f"{len(x)} responses are too few for k = {k}")
    sd = x.std(axis=0)
    scale = np.where(sd > TINY * np.abs(x).max(axis=0), sd, 1.0)
    discrete = False
    for j, v in enumerate(x.T):
        values = np.unique(v)
        if 1 < len(values) <= _LEVELS:
            scale[j], discrete = np.diff(values).min() / _APART, True
        elif len(values) == 1:
            scale[j], discrete = (abs(values[0]) or 1.0) / _APART, True
    centre = x.mean(axis=0)
    points = (x - centre) / scale
    tree = cKDTree(points)
    sample = points[:: max(1, len(points) // 20_000)]
    own = tree.query(sample, k=[k + 1])[0][:, 0]
    if discrete:  # a combination seen a few times must not open the way to the next one
        own = own[own < _APART / 2] if (own < _APART / 2).any() else np.zeros(1)
    return Support(centre, scale, float(max(np.quantile(own, share), 1e-9)), k, columns, tree)


def _latents(data: PreferenceData, names: Names | None) -> tuple[np.ndarray, list[str]]:
    """(Z^X, Z^T) of each response that stands in a pair, and the names of the columns."""
    used = np.unique(data.pairs)
    parts, columns = (
        [data.response_latents[used]],
        _names(names, "response_latents", range(data.response_latents.shape[1]), "Z^T_"),
    )
    if data.prompt_latents is not None:
        parts.insert(0, data.prompt_latents[data.response_prompt[used]])
        columns = (
            _names(names, "prompt_latents", range(data.prompt_latents.shape[1]), "Z^X_") + columns
        )
    return np.concatenate(parts, axis=1), columns


# -- linear dependence -----------------------------------------------------


def variance_inflation(x: np.ndarray) -> np.ndarray:
    """1 / (1 - R_j^2) of each column on the others: factor on the variance of its weight.

    No constant is taken off: differences have none. Infinite for a column that is zero or a linear
    combination of others. Shape (m,).
    """
    x = np.asarray(x, dtype=float)
    size = np.sqrt((x**2).mean(axis=0))
    out = np.full(x.shape[1], np.inf)
    live = size > 1e-150
    if not live.any():
        return out
    c = (x[:, live] / size[live]).T @ (x[:, live] / size[live]) / len(x)
    values, vectors = np.linalg.eigh(c)
    good = values > 1e-10 * values.max()
    inverse = (vectors[:, good] / values[good]) @ vectors[:, good].T
    found = np.diag(inverse).copy()
    found[(vectors[:, ~good] ** 2).sum(axis=1) > 1e-8] = np.inf
    out[live] = np.maximum(found, 1)
    return out


# -- the check -------------------------------------------------------------


def check_latent_positivity(
    data: PreferenceData,
    *,
    names: Names | None = None,
    thin: float = 0.1,
    inflation: float = 5.0,
    alpha: float = 0.05,
) -> Report:
    """Are all combinations of (Z^X, Z^T, Z'^T) there, and in each context?

    - *Cells.* Latents of few values as they are, others in thirds. All combinations of
      (Z^X, Z^T, Z'^T) when every latent is discrete and there are at most 4,096; always the
      two-way tables of (Z^X, Z^T). A cell is called thin when its count is
      significantly below ``thin`` times what independent latents with these marginals would
      give (Poisson, Holm over all cells); a thin cell with nothing in it is a hole. Empty cells
      too rare to judge are counted apart. With an objective, each context's cells are
      held against the shares over all contexts in the same way.
    - *Latents that do not differ* within a pair, from 300 prompts on; before that chance can do it.
    - *Linear dependence of delta = Z - Z'.* Largest correlation, condition number of the
      correlation matrix, and the expected inflation of each weight's variance
      (:func:`variance_inflation`), with a lower bound that allows for chance.

    For continuous latents :func:`latent_support` tells whether a new response lies where others
    were seen.

    Parameters
    ----------
    data : PreferenceData
        With response latents.
    names : mapping, optional
    thin : float
    inflation : float
        Variance inflation that counts as strained, when its lower bound exceeds it.
    alpha : float

    Returns
    -------
    Report
        ``value`` is the largest variance inflation. Violated with a hole, a latent
        that never differs within a pair, or latents that determine one another; strained with
        a thin cell or an inflation beyond ``inflation``.

    Notes
    -----
    Cells test whether a combination is far rarer than its parts suggest; a latent that is rare by
    itself is not blamed. False alarms at most 5 % with independent latents. Power is above 80 %
    with 1,000 prompts for a combination of two binary latents in equal shares that never
    occurs, and for a correlation of 0.95.
    """
    common = dict(
        assumption="5, latent positivity",
        sees="combinations of the recorded latents that are missing, rare or tied together",
        blind="latents that were not recorded; and whether what was never seen is impossible or rare",
        source=data.source,
        simulated=data.simulated,
    )
    if data.response_latents is None:
        return Report(
            verdict=Verdict.UNTESTABLE,
            n=len(data),
            **common,
            sentence="The data have no latents of responses.",
            next_step="Rate responses, or derive surface latents (causalpref.text.surface).",
        )
    first, second = data.pairs.T
    d = data.response_latents[first] - data.response_latents[second]
    names_z = _names(names, "response_latents", range(d.shape[1]), "Z^T_")
    factor = variance_inflation(d)
    prompts = len(np.unique(data.pair_prompt))
    low_factor = _inflation_bound(factor, prompts, d.shape[1])
    sd = np.sqrt((d**2).mean(axis=0))
    live = sd > TINY * np.abs(data.response_latents).max(axis=0)
    factor[~live] = np.inf
    unit = d[:, live] / sd[live]
    c = unit.T @ unit / len(d) if live.any() else np.zeros((0, 0))
    rows: list[dict] = []
    worst_pair = ""
    if len(c) > 1:
        i, j = np.unravel_index(np.argmax(np.abs(c - np.eye(len(c)))), c.shape)
        i, j = sorted((int(i), int(j)))
        r, alive = float(c[i, j]), np.flatnonzero(live)
        low, high = correlation_interval(r, prompts)
        worst_pair = f"{names_z[alive[i]]} and {names_z[alive[j]]}"
        rows.append(
            {
                "what": f"largest correlation of differences: {worst_pair}",
                "value": r,
                "low": low,
                "high": high,
                "n": len(d),
            }
        )
        values = np.linalg.eigvalsh(c)
        condition = float(values[-1] / values[0]) if values[0] > 1e-10 * values[-1] else np.inf
        rows.append({"what": "condition number of their correlation matrix", "value": condition})
    for j in np.argsort(-factor, kind="stable")[:4]:
        rows.append(
            {
                "what": f"variance inflation of {names_z[j]}",
                "value": float(factor[j]),
                "n": len(d),
                "note": "never differs within a pair"
                if not live[j]
                else "determined by the others"
                if np.isinf(factor[j])
                else f"at least {low_factor[j]:.2f}, allowing for chance",
            }
        )

    cells = _all_cells(data, names)
    holes, thins, unsure = _judge(cells, thin, alpha)
    for cell in sorted(holes + thins, key=lambda c: -c["expected"])[:8]:
        rows.append(
            {
                "what": f"pairs with {cell['where']}"
                if cell["pairs"]
                else f"responses with {cell['where']}",
                "value": cell["count"],
                "p_value": cell["p"],
                "n": cell["of"],
                "note": f"{cell['expected']:.0f} expected {cell['against']}",
            }
        )
    rows.append(
        {
            "what": "combinations looked at",
            "value": len(cells),
            "note": f"{len(holes)} missing, {len(thins)} thin, {unsure} empty but too rare to "
            "judge",
        }
    )

    # what chance can do: a rare latent that did not come up, more latents than pairs to tell them
    fixed = [names_z[j] for j in np.flatnonzero(~live)] if prompts >= _ENOUGH else []
    tied = (
        [names_z[j] for j in np.flatnonzero(live & np.isinf(factor))]
        if prompts > 2 * d.shape[1]
        else []
    )
    told = live & np.isfinite(factor)
    strained = bool(thins) or bool((low_factor[told] > inflation).any())
    verdict = (
        Verdict.VIOLATED
        if holes or fixed or tied
        else Verdict.STRAINED
        if strained
        else Verdict.NOT_FOUND
        if told.any() and cells
        else Verdict.UNTESTABLE
    )
    said = []
    if fixed:
        said.append(f"{_list(fixed)} never differ{'s' * (len(fixed) == 1)} within a pair")
    if tied:
        said.append(f"{_list(tied)} determine one another")
    if holes:
        said.append(
            f"{len(holes)} combination{'s' * (len(holes) > 1)} never occur"
            f"{'s' * (len(holes) == 1)} that should, for one "
            f"{max(holes, key=lambda c: c['expected'])['where']}"
        )
    if thins and not holes:
        said.append(
            f"{len(thins)} combination{'s are' if len(thins) > 1 else ' is'} far rarer than "
            f"{'their' if len(thins) > 1 else 'its'} parts, for one "
            f"{max(thins, key=lambda c: c['expected'])['where']}"
        )
    if strained and not thins and not tied:
        said.append(
            f"{worst_pair} move together: the variance of a weight is {factor[told].max():.1f} "
            "times what independent latents would give"
        )
    finite = factor[np.isfinite(factor)]
    value = float(factor.max()) if len(factor) else None
    if said:
        text = "; ".join(said)
        sentence = text[0].upper() + text[1:] + "."
        step = (
            "Effects that need these combinations rest on the form of the model alone. "
            "Generate responses that break the tie (the same answer, one feature changed) and have them "
            "judged."
        )
    elif verdict is Verdict.UNTESTABLE and told.any():
        sentence = "One latent has no combinations that could be missing."
        step = "Name a second latent, of the responses or of the prompt."
    elif verdict is Verdict.UNTESTABLE:
        sentence = (
            f"{prompts} prompts are too few to tell a latent that never differs from one that "
            "rarely does, or the latents from one another."
        )
        step = "Collect more prompts."
    else:
        sentence = (
            f"{len(cells)} combinations looked at, none missing that could be judged; variance "
            f"inflation at most {finite.max(initial=1):.2f}."
        )
        step = (
            "Ask latent_support(data).in_support(new) before trusting a prediction for new latents."
        )
    shown = pd.DataFrame(
        [
            {"row": names_z[a], "column": names_z[b], "value": float(c[i, j])}
            for i, a in enumerate(np.flatnonzero(live))
            for j, b in enumerate(np.flatnonzero(live))
        ]
    )
    return Report(
        verdict=verdict,
        sentence=sentence,
        next_step=step,
        statistic="largest variance inflation",
        value=value,
        n=len(data),
        p_value=min((h["p"] for h in holes + thins), default=None),
        evidence=table(rows),
        picture=Picture(
            "matrix",
            shown,
            "correlation of differences within a pair",
            (),
            "Matrix of correlations of latent differences"
            + (f", largest {worst_pair} with {rows[0]['value']:.2f}." if worst_pair else "."),
        )
        if len(shown) > 1
        else None,
        **common,
    )


def _inflation_bound(factor: np.ndarray, n: int, m: int) -> np.ndarray:
    """Lower 95 % bound of variance inflations from n independent rows of m columns.

    By the F law of R^2 for normal columns: 1 + (VIF - 1) is at least what is left when
    the R^2 that m - 1 unrelated columns give by chance is divided out.
    """
    out = np.ones_like(factor)
    if m < 2 or n <= m + 1:
        return out
    # Fisher's z of the multiple correlation, with its usual standard error
    r = np.sqrt(1 - 1 / np.where(np.isinf(factor), 1e12, factor))
    z = np.arctanh(np.clip(r, 0, 1 - 1e-12)) - 1.645 / np.sqrt(max(n - m - 1, 1))
    lowered = np.tanh(np.maximum(z, 0))
    chance = (m - 1) / (n - 1)
    shrunk = np.maximum((lowered**2 - chance) / (1 - chance), 0)
    return 1 / (1 - np.minimum(shrunk, 1 - 1e-12))


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _coded(v: np.ndarray, name: str) -> tuple[np.ndarray, list[str], bool]:
    """Codes 0, 1, ... of a latent, their names, and whether it is discrete."""
    values, code = np.unique(v, return_inverse=True)
    if len(values) <= _LEVELS:
        return code, [f"{name} = {x:g}" for x in values], True
    # thirds of the values; ties stay together
    cuts = np.unique(np.quantile(v, [1 / 3, 2 / 3]))
    code = np.searchsorted(cuts, v, side="left")
    words = {2: ["low", "high"], 3: ["low", "middling", "high"]}
    present = np.unique(code)
    code = np.searchsorted(present, code)
    said = words.get(len(present), [str(i) for i in range(len(present))])
    return code, [f"{name} {w}" for w in said], False


def _all_cells(data: PreferenceData, names: Names | None) -> list[dict]:
    """Every combination looked at: where, count, expected, of how many."""
    z = data.response_latents
    used = np.unique(data.pairs)
    row_of = np.full(len(z), -1)
    row_of[used] = np.arange(len(used))
    labels_t = _names(names, "response_latents", range(z.shape[1]), "Z^T_")
    coded_t = [_coded(z[used, j], labels_t[j]) for j in range(z.shape[1])]
    coded_x = []
    if data.prompt_latents is not None:
        labels_x = _names(names, "prompt_latents", range(data.prompt_latents.shape[1]), "Z^X_")
        x = data.prompt_latents[data.response_prompt[used]]
        coded_x = [_coded(x[:, j], labels_x[j]) for j in range(x.shape[1])]
    varying_t = [v for v in coded_t if len(v[1]) > 1]
    varying_x = [v for v in coded_x if len(v[1]) > 1]
    cells: list[dict] = []

    # two-way, at the level of responses
    by_response = varying_x + varying_t
    both_x = len(varying_x)
    for i, j in itertools.combinations(range(len(by_response)), 2):
        if j >= both_x:  # two latents of the prompt are not the response's doing
            cells += _table_cells(
                [by_response[i], by_response[j]],
                "if the two had nothing to do with each other",
                False,
            )

    # all of (Z^X, Z^T, Z'^T), at the level of pairs
    discrete = all(v[2] for v in varying_t + varying_x)
    size = (
        np.prod([len(v[1]) for v in varying_x], dtype=float)
        * np.prod([len(v[1]) for v in varying_t], dtype=float) ** 2
    )
    if discrete and varying_t and size <= _MOST_CELLS:
        first, second = row_of[data.pairs].T
        sides = [(v[0][first], v[1], True) for v in varying_x]
        sides += [(v[0][first], [f"first {w}" for w in v[1]], True) for v in varying_t]
        sides += [(v[0][second], [f"second {w}" for w in v[1]], True) for v in varying_t]
        n_x, n_t = len(varying_x), len(varying_t)
        shares = [np.bincount(v[0][first], minlength=len(v[1])) / len(first) for v in varying_x]
        pooled = [
            np.bincount(np.concatenate([v[0][first], v[0][second]]), minlength=len(v[1]))
            / (2 * len(first))
            for v in varying_t
        ]
        cells += _table_cells(
            sides, "if latents had nothing to do with one another", True, shares + pooled + pooled
        )
        assert len(sides) == n_x + 2 * n_t

    # each context against all of them
    values = np.empty(0) if data.objective is None else np.unique(data.objective)
    if len(values) > 1:
        objective = _names(names, "objective", values)
        n_of = len(used)
        for j, c in enumerate(values):
            here = np.zeros(n_of, dtype=bool)
            here[row_of[np.unique(data.pairs[data.objective == c])]] = True
            for code, said, _ in by_response:
                share = np.bincount(code, minlength=len(said)) / n_of
                count = np.bincount(code[here], minlength=len(said))
                cells += [
                    {
                        "where": f"{w} under {objective[j]}",
                        "count": int(k),
                        "expected": float(here.sum() * p),
                        "of": int(here.sum()),
                        "pairs": False,
                        "against": "from the share under all objectives",
                    }
                    for w, k, p in zip(said, count, share)
                ]
    return cells


def _table_cells(
    coded: list[tuple[np.ndarray, list[str], bool]],
    against: str,
    pairs: bool,
    shares: list[np.ndarray] | None = None,
) -> list[dict]:
    """Cells of a cross table, with what independence would give."""
    n = len(coded[0][0])
    shape = [len(v[1]) for v in coded]
    flat = np.ravel_multi_index([v[0] for v in coded], shape)
    count = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)
    shares = shares or [np.bincount(v[0], minlength=len(v[1])) / n for v in coded]
    expected = n * np.ones(shape)
    for axis, share in enumerate(shares):
        expected = expected * share.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return [
        {
            "where": ", ".join(v[1][i] for v, i in zip(coded, index)),
            "count": int(count[index]),
            "expected": float(expected[index]),
            "of": n,
            "pairs": pairs,
            "against": against,
        }
        for index in np.ndindex(*shape)
    ]


def _judge(cells: list[dict], thin: float, alpha: float) -> tuple[list[dict], list[dict], int]:
    """Holes, thin cells, and the number of empty cells too rare to judge."""
    if not cells:
        return [], [], 0
    count = np.array([c["count"] for c in cells])
    expected = np.array([c["expected"] for c in cells])
    p = holm(stats.poisson.cdf(count, thin * expected))
    for cell, value in zip(cells, p):
        cell["p"] = float(value)
    low = p <= alpha
    holes = [c for c, bad in zip(cells, low & (count == 0)) if bad]
    thins = [c for c, bad in zip(cells, low & (count > 0)) if bad]
    return holes, thins, int(((count == 0) & ~low).sum())
