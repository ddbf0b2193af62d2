"""Assumption 5, latent positivity: are all combinations of latents there to be compared?"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats
from scipy.spatial import cKDTree

from causalpref.assumptions._check import Check, Settings, run_check
from causalpref.assumptions._units import contexts, several_contexts
from causalpref.assumptions.evidence import Picture, matrix, row, table
from causalpref.assumptions.report import Report, Verdict, Words
from causalpref.data import PreferenceData
from causalpref.statistics import TINY, Estimate, correlation_interval, holm

__all__ = [
    "LatentPositivity",
    "Support",
    "check_latent_positivity",
    "latent_support",
    "variance_inflation",
]

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
    data: PreferenceData, *, context: int | str | None = None, share: float = 0.99, k: int = 5
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
    context : int or str, optional
        Pairs judged in this context only, by code or name: support given C = c.
    share : float in (0, 1)
    k : int

    Raises
    ------
    ValueError
        Without response latents, an unknown context, a share or k out of range, or no more
        than k responses.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}, expected a number between 0 and 1")
    if k < 1:
        raise ValueError(f"k is {k}, expected at least 1")
    data.require("response_latents")
    if context is not None:
        data = data.select(data.require("objective") == data.index_of("objective", context))
    x, columns = _latents(data)
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


def _latents(data: PreferenceData) -> tuple[np.ndarray, list[str]]:
    """(Z^X, Z^T) of each response that stands in a pair, and the names of the columns."""
    used = np.unique(data.pairs)
    parts, columns = [data.response_latents[used]], data.names_of("response_latents")
    if data.prompt_latents is not None:
        parts.insert(0, data.prompt_latents[data.response_prompt[used]])
        columns = data.names_of("prompt_latents") + columns
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


@dataclass(frozen=True)
class Cell:
    """A combination of latents, with how often it was seen.

    Parameters
    ----------
    where : str
        The combination, in words.
    count : int
    expected : float
        How often it would be seen if its parts had nothing to do with one another.
    of : int
    unit : str
        What is counted: ``"pairs"`` or ``"responses"``.
    against : str
        Where ``expected`` comes from, in words.
    p_value : float
        That the count is no lower than a share of ``expected``, adjusted (Holm).
    """

    where: str
    count: int
    expected: float
    of: int
    unit: str
    against: str
    p_value: float = 1.0


@dataclass(frozen=True, eq=False)
class LatentPositivity:
    """Numbers of the check of latent positivity.

    Parameters
    ----------
    n, prompts : int
        Pairs, and their prompts.
    names : list of str
        The latents of responses.
    inflation, least : array, shape (m,)
        Variance inflation of each, and its lower 95 % bound.
    differs : array of bool, shape (m,)
        False for a latent that never differs within a pair.
    correlation : array, shape (k, k)
        Of the differences of those that do.
    largest : Estimate or None
        The largest correlation, of the two latents ``closest``.
    closest : tuple of str
    condition : float or None
        Condition number of the correlations.
    cells : list of Cell
    limit : float
        Inflation that counts as strained.
    alpha : float
    """

    n: int
    prompts: int
    names: list[str]
    inflation: np.ndarray
    least: np.ndarray
    differs: np.ndarray
    correlation: np.ndarray
    largest: Estimate | None
    closest: tuple[str, ...]
    condition: float | None
    cells: list[Cell]
    limit: float
    alpha: float

    @property
    def missing(self) -> list[Cell]:
        """Cells with nothing in them that should not be empty."""
        return [c for c in self.cells if c.p_value <= self.alpha and c.count == 0]

    @property
    def thin(self) -> list[Cell]:
        """Cells with far less in them than there should be."""
        return [c for c in self.cells if c.p_value <= self.alpha and c.count > 0]

    @property
    def unsure(self) -> int:
        """Empty cells that are too rare to judge."""
        return sum(c.count == 0 and c.p_value > self.alpha for c in self.cells)

    # what chance can do: a rare latent that did not come up, more latents than pairs to separate

    @property
    def constant(self) -> list[str]:
        """Latents that never differ, where that is more than chance."""
        return self._where(~self.differs) if self.prompts >= _ENOUGH else []

    @property
    def tied(self) -> list[str]:
        """Latents that determine one another, where that is more than chance."""
        enough = self.prompts > 2 * len(self.names)
        return self._where(self.differs & np.isinf(self.inflation)) if enough else []

    @property
    def separate(self) -> np.ndarray:
        """Whether each latent differs and is not determined by the others."""
        return self.differs & np.isfinite(self.inflation)

    @property
    def inflated(self) -> bool:
        """Whether an inflation exceeds the limit by more than chance."""
        return bool((self.least[self.separate] > self.limit).any())

    def _where(self, which: np.ndarray) -> list[str]:
        return [name for name, w in zip(self.names, which) if w]


def check_latent_positivity(
    data: PreferenceData, *, thin: float = 0.1, inflation: float = 5.0, alpha: float = 0.05
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
    return run_check(LATENT_POSITIVITY, data, Settings(alpha=alpha), thin=thin, inflation=inflation)


def _compute(
    data: PreferenceData, settings: Settings, *, thin: float = 0.1, inflation: float = 5.0
) -> LatentPositivity | Words:
    n = len(data)
    if data.response_latents is None:
        return Words(
            n=n,
            sentence="The data have no latents of responses.",
            next_step="Rate responses, or derive surface latents (causalpref.text.surface).",
        )
    d, names = data.difference("response_latents"), data.names_of("response_latents")
    prompts, factor = len(np.unique(data.pair_prompt)), variance_inflation(d)
    least = _inflation_bound(factor, prompts, d.shape[1])
    sd = np.sqrt((d**2).mean(axis=0))
    live = sd > TINY * np.abs(data.response_latents).max(axis=0)
    factor[~live] = np.inf
    unit = d[:, live] / sd[live]
    c = unit.T @ unit / n
    largest, closest, condition = None, (), None
    if len(c) > 1:
        off = np.abs(c - np.eye(len(c)))
        i, j = sorted(int(v) for v in np.unravel_index(np.argmax(off), c.shape))
        r = float(c[i, j])
        largest = Estimate(r, *correlation_interval(r, prompts), n=n)
        alive = np.flatnonzero(live)
        closest = names[alive[i]], names[alive[j]]
        values = np.linalg.eigvalsh(c)
        condition = float(values[-1] / values[0]) if values[0] > 1e-10 * values[-1] else np.inf
    return LatentPositivity(
        n,
        prompts,
        names,
        factor,
        least,
        live,
        c,
        largest,
        closest,
        condition,
        _cells(data, thin),
        inflation,
        settings.alpha,
    )


def _judge(r: LatentPositivity) -> Verdict:
    if r.missing or r.constant or r.tied:
        return Verdict.VIOLATED
    if r.thin or r.inflated:
        return Verdict.STRAINED
    return Verdict.NOT_FOUND if r.separate.any() and r.cells else Verdict.UNTESTABLE


def _word(r: LatentPositivity, verdict: Verdict) -> Words:
    sentence, step = _sentences(r, verdict)
    return Words(
        sentence=sentence,
        next_step=step,
        statistic="largest variance inflation",
        short="variance inflation",
        value=float(r.inflation.max()),
        n=r.n,
        p_value=min((c.p_value for c in r.missing + r.thin), default=None),
        evidence=table(_evidence(r)),
        picture=_matrix(r),
        rests_on=("response_latents", "prompt_latents"),
    )


def _evidence(r: LatentPositivity) -> list[dict[str, Any]]:
    rows = []
    if r.largest is not None:
        what = f"largest correlation of differences: {' and '.join(r.closest)}"
        rows.append(row(what, r.largest))
        rows.append(row("condition number of their correlation matrix", value=r.condition))
    for j in np.argsort(-r.inflation, kind="stable")[:4]:
        note = (
            "never differs within a pair"
            if not r.differs[j]
            else "determined by the others"
            if np.isinf(r.inflation[j])
            else f"at least {r.least[j]:.2f}, allowing for chance"
        )
        what = f"variance inflation of {r.names[j]}"
        rows.append(row(what, value=r.inflation[j], n=r.n, note=note))
    for cell in sorted(r.missing + r.thin, key=lambda c: -c.expected)[:8]:
        rows.append(
            row(
                f"{cell.unit} with {cell.where}",
                value=cell.count,
                p_value=cell.p_value,
                n=cell.of,
                note=f"{cell.expected:.0f} expected {cell.against}",
            )
        )
    note = f"{len(r.missing)} missing, {len(r.thin)} thin, {r.unsure} empty but too rare to judge"
    return [*rows, row("combinations looked at", value=len(r.cells), note=note)]


def _sentences(r: LatentPositivity, verdict: Verdict) -> tuple[str, str]:
    """The finding and what to do."""
    said, holes, thins = [], r.missing, r.thin
    if r.constant:
        said.append(f"{_list(r.constant)} never differ{'s' * (len(r.constant) == 1)} within a pair")
    if r.tied:
        said.append(f"{_list(r.tied)} determine one another")
    if holes:
        said.append(
            f"{len(holes)} combination{'s' * (len(holes) > 1)} never occur"
            f"{'s' * (len(holes) == 1)} that should, for one "
            f"{max(holes, key=lambda c: c.expected).where}"
        )
    if thins and not holes:
        said.append(
            f"{len(thins)} combination{'s are' if len(thins) > 1 else ' is'} far rarer than "
            f"{'their' if len(thins) > 1 else 'its'} parts, for one "
            f"{max(thins, key=lambda c: c.expected).where}"
        )
    if r.inflated and not thins and not r.tied:
        said.append(
            f"{' and '.join(r.closest)} move together: the variance of a weight is "
            f"{r.inflation[r.separate].max():.1f} times what independent latents would give"
        )
    if said:
        text = "; ".join(said)
        return (
            text[0].upper() + text[1:] + ".",
            "Effects that need these combinations rest on the form of the model alone. "
            "Generate responses that break the tie (the same answer, one feature changed) and "
            "have them judged.",
        )
    if verdict is Verdict.UNTESTABLE and r.separate.any():
        return (
            "One latent has no combinations that could be missing.",
            "Name a second latent, of the responses or of the prompt.",
        )
    if verdict is Verdict.UNTESTABLE:
        return (
            f"{r.prompts} prompts are too few to tell a latent that never differs from one that "
            "rarely does, or the latents from one another.",
            "Collect more prompts.",
        )
    most = r.inflation[np.isfinite(r.inflation)].max(initial=1)
    return (
        f"{len(r.cells)} combinations looked at, none missing that could be judged; variance "
        f"inflation at most {most:.2f}.",
        "Ask latent_support(data).in_support(new) before trusting a prediction for new latents.",
    )


def _matrix(r: LatentPositivity) -> Picture | None:
    names = r._where(r.differs)
    if len(names) < 2:
        return None
    return matrix(
        list(itertools.product(names, names)),
        r.correlation.ravel(),
        "correlation of differences within a pair",
        "Matrix of correlations of latent differences, largest "
        f"{' and '.join(r.closest)} with {r.largest.value:.2f}.",
    )


LATENT_POSITIVITY = Check(
    "latent_positivity",
    5,
    "latent positivity",
    _compute,
    _judge,
    _word,
    sees="combinations of the recorded latents that are missing, rare or tied together",
    blind="latents that were not recorded; and whether what was never seen is impossible or rare",
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


@dataclass(frozen=True, eq=False)
class _Coded:
    """A latent as it is, or in thirds: codes 0, 1, ..., with words and a share for each."""

    code: np.ndarray
    words: list[str]
    share: np.ndarray
    discrete: bool = True

    @classmethod
    def of(cls, v: np.ndarray, name: str) -> _Coded:
        values, code = np.unique(v, return_inverse=True)
        discrete = len(values) <= _LEVELS
        said = [f"= {x:g}" for x in values]
        if not discrete:  # thirds of the values; ties stay together
            thirds = np.searchsorted(np.unique(np.quantile(v, [1 / 3, 2 / 3])), v, side="left")
            present, code = np.unique(thirds, return_inverse=True)
            said = {2: ["low", "high"], 3: ["low", "middling", "high"]}.get(len(present), ["0"])
        share = np.bincount(code, minlength=len(said)) / len(code)
        return cls(code, [f"{name} {w}" for w in said], share, discrete)


def _cells(data: PreferenceData, thin: float) -> list[Cell]:
    """Every combination looked at. Is its count below ``thin`` times what was expected?"""
    used = np.unique(data.pairs)
    row_of = np.full(len(data.responses), -1)
    row_of[used] = np.arange(len(used))
    x, z = [], []  # latents that vary, of prompts and of responses
    values, names = _latents(data)
    n_x = len(names) - len(data.names_of("response_latents"))
    for j, name in enumerate(names):
        coded = _Coded.of(values[:, j], name)
        if len(coded.words) > 1:
            (x if j < n_x else z).append(coded)

    # two-way, at the level of responses; two latents of the prompt are not the response's doing
    cells: list[Cell] = []
    for a, b in itertools.combinations(x + z, 2):
        if not (a in x and b in x):
            against = "if the two had nothing to do with each other"
            cells += _table_cells([a, b], against, "responses")

    # all of (Z^X, Z^T, Z'^T), at the level of pairs
    first, second = row_of[data.pairs].T
    size = np.prod([len(v.words) for v in x + z + z], dtype=float)
    if all(v.discrete for v in x + z) and z and size <= _MOST_CELLS:
        sides = [_of_pairs(v, v.words, first, first) for v in x]
        for place, rows in (("first", first), ("second", second)):
            both = np.concatenate([first, second])
            sides += [_of_pairs(v, [f"{place} {w}" for w in v.words], rows, both) for v in z]
        cells += _table_cells(sides, "if latents had nothing to do with one another", "pairs")

    # each context against all of them
    if several_contexts(data):
        for c, name in zip(contexts(data), data.names_of("objective")):
            here = row_of[np.unique(data.pairs[data.objective == c])]
            against = "from the share under all objectives"
            cells += [
                Cell(f"{w} under {name}", k, len(here) * p, len(here), "responses", against)
                for v in x + z
                for w, k, p in zip(
                    v.words,
                    np.bincount(v.code[here], minlength=len(v.words)).tolist(),
                    v.share.tolist(),
                )
            ]
    expected = np.array([c.expected for c in cells])
    p = np.asarray(stats.poisson.cdf([c.count for c in cells], thin * expected))
    return [replace(c, p_value=float(v)) for c, v in zip(cells, holm(p))]


def _of_pairs(v: _Coded, words: list[str], rows: np.ndarray, pooled: np.ndarray) -> _Coded:
    """A latent of one response of each pair; the shares are those among ``pooled`` responses."""
    share = np.bincount(v.code[pooled], minlength=len(words)) / len(pooled)
    return _Coded(v.code[rows], words, share)


def _table_cells(coded: list[_Coded], against: str, unit: str) -> list[Cell]:
    """Cells of a cross table, with what independence would give."""
    n, shape = len(coded[0].code), [len(v.words) for v in coded]
    flat = np.ravel_multi_index([v.code for v in coded], shape)
    count = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)
    expected = n * np.ones(shape)
    for axis, v in enumerate(coded):
        expected = expected * v.share.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return [
        Cell(
            ", ".join(v.words[i] for v, i in zip(coded, index)),
            int(count[index]),
            float(expected[index]),
            n,
            unit,
            against,
        )
        for index in np.ndindex(*shape)
    ]
