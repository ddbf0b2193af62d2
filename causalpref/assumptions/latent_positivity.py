"""Assumption 5, latent positivity: are all combinations of latents there to be compared?"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats
from scipy.spatial import cKDTree

from causalpref.assumptions._check import Check, Settings, run_check
from causalpref.assumptions._units import several_contexts
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
_MOST_TABLES = 200  # with more of them, those that look worst in a part of the responses
_PART = 20_000
_MOST_CONTEXTS = 20
_APART = 10.0  # distance of two values of a discrete latent, in standard deviations of others
_ENOUGH = 300  # prompts from which on "never differs" is more than chance
_CLUSTERS = 10  # fewer groups of prompts, or annotators, say nothing of what is never shown


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
    """A region of the joint distribution of latents, with how often it was seen.

    Parameters
    ----------
    where : str
        The region, in words.
    count : int
    expected : float
        How often it would be seen if nothing were excluded: what independence gives, or the
        correlation seen in the rest of the table if that gives less.
    of : int
    unit : str
        What is counted: ``"pairs"`` or ``"responses"``.
    p_value : float
        That the region is no rarer than the margin times ``expected``, adjusted.
    latents : tuple of str
        Those that it is about.
    picture : Picture or None
        The table that it lies in.
    """

    where: str
    count: int
    expected: float
    of: int
    unit: str
    p_value: float = 1.0
    latents: tuple[str, ...] = ()
    picture: Picture | None = None


@dataclass(frozen=True, eq=False)
class LatentPositivity:
    """Numbers of the check of latent positivity.

    Parameters
    ----------
    n, prompts : int
        Pairs, and groups of prompts.
    names : list of str
        The latents of responses.
    inflation, least : array, shape (m,)
        Variance inflation of each, and its lower 95 % bound.
    differs : array of bool, shape (m,)
        False for a latent that never differs within a pair.
    differing : array of int, shape (m,)
        Pairs in which it does.
    correlation : array, shape (k, k)
        Of the differences of those that do.
    largest : Estimate or None
        The largest correlation, of the two latents ``closest``.
    closest : tuple of str
    condition : float or None
        Condition number of the correlations.
    missing : list of Cell
        Excluded: never seen, and too rare for chance.
    thin : list of Cell
        Seen, and rarer than the margin allows.
    judged, unsure : int
        Regions common enough to be judged, and regions never seen that are not.
    enough : float
        Expected count from which on a region could be judged.
    clusters : dict of int
        Number of clusters at each level: groups of prompts, and annotators if recorded.
    margin, limit : float
        See :func:`check_latent_positivity`.
    alpha : float
    """

    n: int
    prompts: int
    names: list[str]
    inflation: np.ndarray
    least: np.ndarray
    differs: np.ndarray
    differing: np.ndarray
    correlation: np.ndarray
    largest: Estimate | None
    closest: tuple[str, ...]
    condition: float | None
    missing: list[Cell]
    thin: list[Cell]
    judged: int
    unsure: int
    enough: float
    clusters: dict[str, int]
    margin: float
    limit: float
    alpha: float

    # what chance can do: a rare latent that did not come up, more latents than pairs to separate

    @property
    def constant(self) -> list[str]:
        """Latents that never differ, where that is more than chance."""
        return self._where(~self.differs) if self.prompts >= _ENOUGH else []

    @property
    def tied(self) -> list[str]:
        """Latents that determine one another, where that is more than chance."""
        enough = self.prompts > 2 * len(self.names)
        found = self.differs & np.isinf(self.inflation) & (self.differing >= 20)
        return self._where(found) if enough else []

    @property
    def separate(self) -> np.ndarray:
        """Whether each latent differs and is not determined by the others."""
        return self.differs & np.isfinite(self.inflation)

    @property
    def inflated(self) -> bool:
        """Whether an inflation exceeds the limit by more than chance."""
        return bool((self.least[self.separate] > self.limit).any())

    @property
    def few(self) -> str:
        """Clusters of which there are too few, in words; nothing if there are enough."""
        return next((f"{k} {name}" for name, k in self.clusters.items() if k < _CLUSTERS), "")

    def _where(self, which: np.ndarray) -> list[str]:
        return [name for name, w in zip(self.names, which) if w]


def check_latent_positivity(
    data: PreferenceData,
    *,
    margin: float = 0.1,
    thin: float = 0.05,
    inflation: float = np.inf,
    alpha: float = 0.05,
) -> Report:
    """Are all combinations of (Z^X, Z^T, Z'^T) there, and in each context?

    Latent positivity is about support, and a correlation leaves the support whole. A region of the
    joint distribution is called *unsupported* when nothing lies in it although, going by its
    margins and by the correlation seen everywhere else, it should be common.

    - *Two latents.* Latents of at most six values as they are, others in thirds (fifths from 5,000
      responses on). In the table of every two, all cells and all corners ("length at least 4,
      politeness at most 2"). The expected count is that of independence, or, if less, that of a
      log-linear model with linear-by-linear association (normal scores) fitted to the cells
      *outside* the region. Two latents of two values leave no room for such a model, so
      they are compared with independence alone.
    - *Differences.* For every two latents of responses, the pairs in which one answer is higher
      in one latent and lower in the other, and those in which it is higher in both. They count as
      unsupported only when there are none.
    - *All latents at once,* both answers of a pair together, where all are discrete and there are
      at most 4,096 combinations. The expected count is that of a log-linear model with all two-way
      interactions. With more than 200 tables of two, the 200 with the cells furthest below
      independence are looked at, and the adjustment counts all.
    - *Within each context* (the 20 most common ones) the same tables once more, and levels that
      occur under other contexts.
    - *Latents that do not differ* within a pair.
    - *Correlation of delta = Z - Z'* is a number, with its price in labels: the variance
      inflation (:func:`variance_inflation`). It raises no alarm unless ``inflation`` is set,
      or one latent is an exact linear function of the others.

    Counts and expected counts are divided by the larger design effect of the two latents, by groups
    of prompts and by annotators where they are recorded. For continuous latents
    :func:`latent_support` says whether a new response lies where others were seen.

    Parameters
    ----------
    data : PreferenceData
        With response latents.
    margin, thin : float in (0, 1)
        Shares of the expected count: a region that never occurs is unsupported if it is surely
        rarer than ``margin`` of it, and one that occurs is thinly supported if it is surely
        rarer than ``thin`` of it. Surely: the whole 95 % interval lies below, after adjustment for
        all regions (Holm, without those that could never reach significance; Tarone, 1990).
    inflation : float
        Variance inflation beyond which the verdict is "strained", if its lower bound exceeds it.
        Default: none does.
    alpha : float

    Returns
    -------
    Report
        ``value`` is the largest variance inflation. Violated: a region that never occurs, a latent
        that differs between prompts and never within a pair, or latents that determine one
        another. Strained: a region that occurs and is rarer than ``thin``, a latent with one
        value in 300 groups of prompts or more, or an inflation beyond ``inflation``. "No violation
        found" says how common a combination must be to have been noticed. It cannot be tested
        with fewer than ten groups of prompts or ten annotators.

    Raises
    ------
    ValueError
        ``margin`` or ``thin`` outside (0, 1).

    Notes
    -----
    Size, in 300 simulated sets each of 300 and of 2,000 pairs: no alarm in ratings 1 to 5 from
    normal, t and Clayton copulas at correlations of 0.6 to 0.9 (also skewed, four ratings at once,
    one rating mostly within a step of the other, four answers a prompt with 30 annotators, one
    context with 5 % of the pairs); lognormal, t and normal latents at 0.8 to 0.98; latents of mixed
    kinds; two binary latents with shares of 5 %, or at odds with a correlation of -0.75 or -0.95
    below the surface. Alarms in 0.7 % of sets of 300 pairs with a latent of share 1 %. Also none in
    40 sets each of 20,000 pairs for ratings at 0.75. Not within the idea of the check: normal
    latents at 0.999, of which 300 pairs show no opposed pair at all in 2.7 % of the sets, and two
    binary latents whose combination is real and rarer than ``thin`` of independence, which are
    called strained on purpose.

    Power, in 100 sets: with 1,000 pairs an excluded combination of binary latents of shares 0.3 or
    0.5, and an excluded corner (at least 4, at most 2) of ratings, were found in every set; one
    cell in the middle of a five by five table takes about 5,000 pairs (found in 0 % with 1,000, in
    100 % with 5,000), and so do regions that the thirds of continuous latents cut through.
    """
    for name, value in (("margin", margin), ("thin", thin)):
        if not 0 < value < 1:
            raise ValueError(f"{name} is {value}, expected a number between 0 and 1")
    options = {"margin": margin, "thin": thin, "inflation": inflation}
    return run_check(LATENT_POSITIVITY, data, Settings(alpha=alpha), **options)


def _compute(
    data: PreferenceData,
    settings: Settings,
    *,
    margin: float = 0.1,
    thin: float = 0.05,
    inflation: float = np.inf,
) -> LatentPositivity | Words:
    n = len(data)
    if data.response_latents is None:
        return Words(
            n=n,
            sentence="The data have no latents of responses.",
            next_step="Rate responses, or derive surface latents (causalpref.text.surface).",
        )
    d, names = data.difference("response_latents"), data.names_of("response_latents")
    clusters = {"groups of prompts": len(np.unique(data.pair_group))}
    if data.annotator is not None:
        clusters["annotators"] = len(np.unique(data.annotator))
    prompts, factor = clusters["groups of prompts"], variance_inflation(d)
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
    found = _search(data, d, margin, thin, settings.alpha)
    return LatentPositivity(
        n,
        prompts,
        names,
        factor,
        least,
        live,
        (d != 0).sum(axis=0),
        c,
        largest,
        closest,
        condition,
        *found,
        clusters,
        margin,
        inflation,
        settings.alpha,
    )


def _judge(r: LatentPositivity) -> Verdict:
    if r.tied:
        return Verdict.VIOLATED
    if r.few:
        return Verdict.UNTESTABLE
    if r.missing:
        return Verdict.VIOLATED
    if r.thin or r.inflated or r.constant:
        return Verdict.STRAINED
    return Verdict.NOT_FOUND if r.separate.any() and r.judged + r.unsure else Verdict.UNTESTABLE


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
        picture=_picture(r),
        rests_on=("response_latents", "prompt_latents"),
    )


def _evidence(r: LatentPositivity) -> list[dict[str, Any]]:
    rows = []
    for cell in (r.missing + r.thin)[:8]:
        rows.append(
            row(
                f"{cell.unit} with {cell.where}",
                value=cell.count,
                p_value=cell.p_value,
                n=cell.of,
                note=f"{cell.expected:,.0f} expected if nothing were excluded",
            )
        )
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
            else f"at least {r.least[j]:.2f}, allowing for chance; as many times as many labels"
        )
        what = f"variance inflation of {r.names[j]}"
        rows.append(row(what, value=r.inflation[j], n=r.n, note=note))
    note = (
        f"{len(r.missing)} missing, {len(r.thin)} thin; {r.unsure} empty but too rare to judge; "
        f"margin {r.margin:g}; design effects by {' and '.join(r.clusters)}"
    )
    return [*rows, row("regions of the joint support judged", value=r.judged, note=note)]


def _sentences(r: LatentPositivity, verdict: Verdict) -> tuple[str, str]:
    """The finding and what to do."""
    if verdict.alarm:
        said = []
        if r.tied:
            said.append(f"{_list(r.tied)} determine one another")
        elif r.missing:
            first = r.missing[0]
            said.append(
                f"no {first.unit[:-1]} has {first.where}, where about {first.expected:,.0f} of "
                f"{first.of:,} should" + _more(len(r.missing) - 1, "unsupported")
            )
        elif r.thin:
            first = r.thin[0]
            said.append(
                f"only {first.count:,} of {first.of:,} {first.unit} "
                f"{'has' if first.count == 1 else 'have'} {first.where}, where about "
                f"{first.expected:,.0f} should" + _more(len(r.thin) - 1, "thinly supported")
            )
        if r.constant:
            verb = "never differs" if len(r.constant) == 1 else "never differ"
            said.append(f"{_list(r.constant)} {verb} within a pair")
        if r.inflated and not r.tied:
            said.append(_price(r))
        text = "; ".join(said)
        return (
            text[0].upper() + text[1:] + ".",
            "Effects that need these combinations rest on the form of the model alone. "
            "Generate responses that have them (the same answer, one feature changed) and "
            "have them judged.",
        )
    if verdict is Verdict.UNTESTABLE and r.few:
        return (
            f"The pairs come from {r.few}, too few to say which combinations of latents are "
            f"never shown; {_CLUSTERS} are the least.",
            "Collect pairs from more of them.",
        )
    if verdict is Verdict.UNTESTABLE and r.separate.any():
        return (
            "One latent has no combinations that could be missing.",
            "Name a second latent, of the responses or of the prompt.",
        )
    if verdict is Verdict.UNTESTABLE:
        return (
            f"{r.prompts} prompts are too few to distinguish a latent that never differs from one "
            "that rarely does, or the latents from one another.",
            "Collect more prompts.",
        )
    if r.judged:
        text = (
            "No combination of latents is unsupported: each occurs that should occur "
            f"{r.enough:,.0f} times or more, going by its parts and their correlation"
        )
        if r.unsure:
            rarer = "a rarer one exists" if r.unsure == 1 else f"{r.unsure} rarer ones exist"
            text += f". Whether {rarer} cannot be seen in {r.n:,} pairs"
    else:
        text = (
            f"Whether a combination of latents is unsupported cannot be seen in {r.n:,} pairs: it "
            f"would have to be expected {r.enough:,.0f} times"
        )
    price = _price(r)
    return (
        f"{text}.{' ' + price[0].upper() + price[1:] + '.' if price else ''}",
        "Ask latent_support(data).in_support(new) before trusting a prediction for new latents.",
    )


def _more(k: int, what: str) -> str:
    return f" ({k} more region{'s are' if k > 1 else ' is'} {what})" if k else ""


def _price(r: LatentPositivity) -> str:
    """What correlation costs, in words."""
    finite = np.where(r.separate, r.inflation, 0)
    j = int(np.argmax(finite))
    if r.largest is None or finite[j] == 0:
        return ""
    if finite[j] < 1.1:
        return "correlation among the latents costs at most a tenth more labels"
    return (
        f"{' and '.join(r.closest)} have a correlation of {r.largest.value:.2f}, and the weight of "
        f"{r.names[j]} takes {finite[j]:.1f} times as many labels as without correlation"
    )


def _picture(r: LatentPositivity) -> Picture | None:
    """The table around the first unsupported region; else how differences are correlated."""
    for cell in r.missing + r.thin:
        if cell.picture is not None:
            return cell.picture
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
    sees="combinations of the recorded latents that never or hardly ever occur, though their parts "
    "are common",
    blind="latents that were not recorded; exclusions in regions that would be rare anyway; and "
    "whether what was never seen is impossible or very rare",
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


# -- regions ---------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Coded:
    """A latent as it is, or in bins: codes 0, 1, ... of responses that stand in pairs."""

    name: str
    code: np.ndarray
    levels: list[str]  # " = 2"
    upto: list[str]  # levels 0 to i: " at most 2"
    since: list[str]  # levels i and on: " at least 2"
    of_prompt: bool
    discrete: bool
    effect: float = 1.0
    column: int = 0

    @classmethod
    def of(cls, v: np.ndarray, name: str, bins: int, of_prompt: bool) -> _Coded:
        values, code = np.unique(v, return_inverse=True)
        if len(values) <= _LEVELS:
            said = [f"{x:g}" for x in values]
            return cls(
                name,
                code,
                [f"{name} = {x}" for x in said],
                [f"{name} = {said[0]}", *(f"{name} at most {x}" for x in said[1:])],
                [*(f"{name} at least {x}" for x in said[:-1]), f"{name} = {said[-1]}"],
                of_prompt,
                True,
            )
        cuts = np.unique(np.quantile(v, np.arange(1, bins) / bins))
        cuts = cuts[cuts < values[-1]]  # ties stay together
        code = np.searchsorted(cuts, v, side="left")
        said = [f"{x:.3g}" for x in cuts]
        inner = [f"{name} between {a} and {b}" for a, b in itertools.pairwise(said)]
        below, above = [f"{name} up to {x}" for x in said], [f"{name} above {x}" for x in said]
        levels = [*below[:1], *inner, *above[-1:]]
        return cls(name, code, levels, [*below, name], [name, *above], of_prompt, False)

    def __len__(self) -> int:
        return len(self.levels)


@dataclass(frozen=True, eq=False)
class _Region:
    """A region with its count, what independence gives, and how to know better."""

    where: str
    count: float
    expected: float
    of: int
    unit: str
    effect: float
    latents: tuple[str, ...]
    family: int = 0
    mask: np.ndarray | None = None
    table: _Table | None = None
    model: Callable[[], float] | None = None


@dataclass(frozen=True, eq=False)
class _Table:
    """Counts of two latents."""

    a: _Coded
    b: _Coded
    count: np.ndarray
    under: str

    @property
    def independent(self) -> np.ndarray:
        n = self.count.sum()
        return np.outer(self.count.sum(axis=1), self.count.sum(axis=0)) / max(n, 1)

    def expected(self, mask: np.ndarray) -> float:
        """Count of a region, going by its margins and by the association outside it."""
        plain = float(self.independent[mask].sum())
        return min(plain, float(_association(self.count, ~mask)[mask].sum()))

    def picture(self, where: str) -> Picture:
        ratio = self.count / np.maximum(self.independent, 1e-9)
        cells = list(itertools.product(self.a.levels, self.b.levels))
        return matrix(
            cells,
            np.where(self.independent > 0, ratio, 0).ravel(),
            "how often, against independence (0: never, 1: as often)",
            f"Matrix of counts of {self.a.name} by {self.b.name}{self.under}, divided by what "
            f"independence would give. Unsupported: {where}.",
        )


def _association(count: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Expected counts of linear-by-linear association, fitted to the cells in ``use``.

    log E = row + column + phi u v with normal scores u, v; by penalised Poisson regression, the
    penalty so weak that it decides only what the cells leave open. The margins that the scores
    come from lack the cells that are not used, so these are filled in and the fit made again.
    """
    fit = filled = count.astype(float)
    for _ in range(3):
        u, v = (_normal_scores(filled.sum(axis=axis)) for axis in (1, 0))
        fit = _poisson_fit(count, use, np.outer(u, v))
        filled = np.where(use, count, fit)
    return fit


def _poisson_fit(count: np.ndarray, use: np.ndarray, product: np.ndarray) -> np.ndarray:
    """Rows, columns and a multiple of ``product``, on the log scale."""
    k, m = count.shape
    i, j = np.indices(count.shape).reshape(2, -1)
    x = np.zeros((k * m, k + m + 1))
    x[np.arange(k * m), i] = x[np.arange(k * m), k + j] = 1
    x[:, -1] = product.ravel()
    y, w = count.ravel().astype(float), use.ravel().astype(float)
    total = np.maximum(count.sum(), 1)
    start = np.concatenate([count.sum(axis=1), count.sum(axis=0)]) + 0.5
    theta = np.append(np.log(start) - np.log(total) / 2, 0.0)
    centre, penalty = theta.copy(), np.append(np.full(k + m, 1e-3), 1e-2)

    def loss(t: np.ndarray) -> float:
        eta = np.minimum(x @ t, 50)
        return float(w @ (np.exp(eta) - y * eta) + penalty @ (t - centre) ** 2 / 2)

    at = loss(theta)
    for _ in range(60):
        mu = np.exp(np.minimum(x @ theta, 50)) * w
        slope = x.T @ (mu - w * y) + penalty * (theta - centre)
        step = np.linalg.solve(x.T @ (mu[:, None] * x) + np.diag(penalty), slope)
        size = 1.0
        while size > 1e-4 and not loss(theta - size * step) <= at:
            size /= 2
        theta = theta - size * step
        before, at = at, loss(theta)
        if before - at < 1e-7:
            break
    return np.exp(np.minimum(x @ theta, 50)).reshape(count.shape)


def _normal_scores(count: np.ndarray) -> np.ndarray:
    """Mean of a standard normal within the bins that these shares cut out of it."""
    share = np.maximum(count, 0.5) / np.maximum(count, 0.5).sum()
    cut = stats.norm.ppf(np.clip(np.append(0, np.cumsum(share)), 0, 1))
    return -np.diff(stats.norm.pdf(cut)) / share


def _search(
    data: PreferenceData, d: np.ndarray, margin: float, thin: float, alpha: float
) -> tuple[list[Cell], list[Cell], int, int, float]:
    """Unsupported regions and thin ones; how many could be judged, and how many not."""
    values, names = _latents(data)
    n_x = len(names) - len(data.names_of("response_latents"))
    used = np.unique(data.pairs)
    row_of = np.full(len(data.responses), -1)
    row_of[used] = np.arange(len(used))
    first, second = row_of[data.pairs].T
    shown = np.concatenate([first, second])
    levels = [data.pair_group]
    if data.annotator is not None:
        levels.append(data.annotator)
    levels = [np.unique(v, return_inverse=True)[1] for v in levels]
    bins = 5 if min(len(shown), 2 * (levels[0].max() + 1)) >= 5000 else 3
    coded = []
    for j, name in enumerate(names):
        v = _Coded.of(values[:, j], name, bins, j < n_x)
        if len(v) > 1:
            effect = _design_effect(v, first, second, levels)
            coded.append(replace(v, effect=effect, column=j))

    # all pairs, then those of each context
    parts = [("", np.arange(len(data)))]
    if several_contexts(data):
        objective = data.require("objective")
        found, size = np.unique(objective, return_counts=True)
        common = np.sort(found[np.argsort(-size, kind="stable")[:_MOST_CONTEXTS]])
        for c, name in zip(common, data.names_of("objective", common)):
            parts.append((f" under {name}", np.flatnonzero(objective == c)))
    tables, of_all = _worst_tables(coded)
    regions: list[_Region] = []
    family = 0
    for under, part in parts:
        here = np.concatenate([first[part], second[part]])
        for a, b in tables:
            family += 1
            regions += _of_table(_tabulate(a, b, here, under), family)
            if not (a.of_prompt or b.of_prompt):
                family += 1
                sign_a, sign_b = (np.sign(d[part, v.column - n_x]) for v in (a, b))
                regions += _of_signs(sign_a, sign_b, a, b, under, family)
    family += 1
    regions += _of_levels(coded, parts[1:], first, second, family)
    regions += _of_all(coded, first, second, family + 1)
    alone = _never_within(d, coded, n_x, shown, family + 2)
    missing, few, judged, unsure, enough = _decide(
        regions + alone, margin, thin, alpha, of_all / max(len(tables), 1)
    )
    return missing, few, judged if regions else 0, unsure if regions else 0, enough


def _worst_tables(coded: list[_Coded]) -> tuple[list[tuple[_Coded, _Coded]], int]:
    """Which two latents to make tables of, and of how many they were chosen.

    Two latents of the prompt are not the responses' doing. Of very many tables those are taken that
    have the cell furthest below independence, in a part of the responses.
    """
    pairs = [
        (i, j)
        for i, j in itertools.combinations(range(len(coded)), 2)
        if not (coded[i].of_prompt and coded[j].of_prompt)
    ]
    if len(pairs) > _MOST_TABLES:
        step = -(-len(coded[0].code) // _PART)
        part = [v.code[::step] for v in coded]
        hot = np.concatenate(
            [(c[:, None] == np.arange(len(v))) for v, c in zip(coded, part)], axis=1
        ).astype(np.float32)
        share = hot.mean(axis=0, dtype=float)
        expected = np.outer(share, share) * len(hot)
        # how many standard deviations below independence: the most extreme cell of each table
        short = (expected - hot.T @ hot) / np.sqrt(np.maximum(expected, 1))
        starts = np.cumsum([0, *(len(v) for v in coded[:-1])])
        worst = np.maximum.reduceat(np.maximum.reduceat(short, starts, axis=0), starts, axis=1)
        i, j = np.array(pairs).T
        kept = np.argsort(-worst[i, j], kind="stable")[:_MOST_TABLES]
        return [(coded[pairs[k][0]], coded[pairs[k][1]]) for k in np.sort(kept)], len(pairs)
    return [(coded[i], coded[j]) for i, j in pairs], len(pairs)


def _design_effect(
    v: _Coded, first: np.ndarray, second: np.ndarray, levels: list[np.ndarray]
) -> float:
    """Largest factor by which clusters inflate the variance of the share of a level."""
    worst = 1.0
    for k in range(len(v)):
        hit = (v.code == k).astype(float)
        r = hit[first] + hit[second]
        p = r.mean() / 2
        plain = 2 * len(r) * p * (1 - p)
        if plain > 0:
            for member in levels:
                between = (np.bincount(member, weights=r - 2 * p) ** 2).sum()
                worst = max(worst, float(between / plain))
    return worst


def _tabulate(a: _Coded, b: _Coded, rows: np.ndarray, under: str) -> _Table:
    flat = np.bincount(a.code[rows] * len(b) + b.code[rows], minlength=len(a) * len(b))
    return _Table(a, b, flat.reshape(len(a), len(b)), under)


def _of_table(t: _Table, family: int) -> list[_Region]:
    """The cells of a table, and its corners of more than one cell."""
    k, m = t.count.shape
    masks: list[tuple[str, np.ndarray]] = []
    for i, j in np.ndindex(k, m):
        mask = np.zeros((k, m), dtype=bool)
        mask[i, j] = True
        masks.append((f"{t.a.levels[i]} and {t.b.levels[j]}", mask))
    ends = lambda v: (
        [(v.upto[i], slice(0, i + 1)) for i in range(len(v) - 1)]
        + [(v.since[i], slice(i, len(v))) for i in range(1, len(v))]
    )
    for (said_a, rows), (said_b, columns) in itertools.product(ends(t.a), ends(t.b)):
        mask = np.zeros((k, m), dtype=bool)
        mask[rows, columns] = True
        if mask.sum() > 1:
            masks.append((f"{said_a} and {said_b}", mask))
    n, independent = int(t.count.sum()), t.independent
    effect = max(t.a.effect, t.b.effect)
    return [
        _Region(
            where + t.under,
            float(t.count[mask].sum()),
            float(independent[mask].sum()),
            n,
            "responses",
            effect,
            (t.a.name, t.b.name),
            family,
            mask,
            t,
        )
        for where, mask in masks
    ]


def _of_signs(
    a: np.ndarray, b: np.ndarray, of_a: _Coded, of_b: _Coded, under: str, family: int
) -> list[_Region]:
    """Pairs in which one answer is higher in one latent, and lower or higher in the other."""
    n, product = len(a), a * b
    expected = float((a != 0).sum() * (b != 0).sum()) / max(2 * n, 1)
    effect = max(of_a.effect, of_b.effect)
    return [
        _Region(
            f"an answer that is higher in {of_a.name} and {way} in {of_b.name}{under}",
            float((product == sign).sum()),
            expected,
            n,
            "pairs",
            effect,
            (of_a.name, of_b.name),
            family,
        )
        for sign, way in ((-1, "lower"), (1, "also"))
    ]


def _of_levels(
    coded: list[_Coded],
    parts: list[tuple[str, np.ndarray]],
    first: np.ndarray,
    second: np.ndarray,
    family: int,
) -> list[_Region]:
    """Levels of one latent in each context, against their share under all of them."""
    out = []
    for v in coded:
        share = np.bincount(
            np.concatenate([v.code[first], v.code[second]]), minlength=len(v)
        ) / max(2 * len(first), 1)
        for under, part in parts:
            rows = np.concatenate([first[part], second[part]])
            count = np.bincount(v.code[rows], minlength=len(v))
            out += [
                _Region(
                    said + under,
                    float(k),
                    len(rows) * float(p),
                    len(rows),
                    "responses",
                    v.effect,
                    (v.name,),
                    family,
                )
                for said, k, p in zip(v.levels, count, share)
            ]
    return out


def _never_within(
    d: np.ndarray, coded: list[_Coded], n_x: int, shown: np.ndarray, family: int
) -> list[_Region]:
    """Latents that differ between responses: do they differ within a pair?"""
    out = []
    for v in coded:
        if not v.of_prompt:
            share = np.bincount(v.code[shown]) / len(shown)
            out.append(
                _Region(
                    f"two answers that differ in {v.name}",
                    float((d[:, v.column - n_x] != 0).sum()),
                    len(d) * float(1 - (share**2).sum()),
                    len(d),
                    "pairs",
                    v.effect,
                    (v.name,),
                    family,
                )
            )
    return out


def _of_all(
    coded: list[_Coded], first: np.ndarray, second: np.ndarray, family: int
) -> list[_Region]:
    """Both answers of a pair together, each pair in both orders, if all latents are discrete."""
    x, z = ([v for v in coded if v.of_prompt is side] for side in (True, False))
    sides = x + z + z
    shape = [len(v) for v in sides]
    size = 2.0 ** min(float(np.log2(shape).sum()), 99.0)
    if not z or len(sides) < 3 or size > _MOST_CELLS or not all(v.discrete for v in sides):
        return []
    count = np.zeros(shape)
    for one, other in ((first, second), (second, first)):
        codes = [v.code[one] for v in x + z] + [v.code[other] for v in z]
        flat = np.ravel_multi_index(codes, shape)
        count += np.bincount(flat, minlength=round(size)).reshape(shape)
    n = len(first)
    independent = np.full(shape, float(n))
    for axis in range(len(shape)):
        share = count.sum(axis=tuple(k for k in range(len(shape)) if k != axis)) / (2 * n)
        independent = independent * share.reshape(
            [-1 if k == axis else 1 for k in range(len(shape))]
        )
    effect = max(v.effect for v in sides)
    fitted: list[np.ndarray] = []

    def model(index: tuple[int, ...], factor: int) -> float:
        if not fitted:
            fitted.append(_two_way(count / 2))
        return factor * float(fitted[0][index])

    out = []
    for index in np.ndindex(*shape):
        of_x, one, other = (
            index[: len(x)],
            index[len(x) : len(x) + len(z)],
            index[len(x) + len(z) :],
        )
        if one > other:  # the same pair in the other order
            continue
        factor = 1 if one == other else 2
        words = [", ".join(v.levels[i] for v, i in zip(z, side)) for side in (one, other)]
        where = f"one answer with {words[0]} and the other with {words[1]}"
        if x:
            where += " on " + ", ".join(v.levels[i] for v, i in zip(x, of_x))
        out.append(
            _Region(
                where,
                factor * float(count[index]) / 2,
                factor * float(independent[index]),
                n,
                "pairs",
                effect,
                tuple(v.name for v in x + z),
                family,
                model=lambda index=index, factor=factor: model(index, factor),
            )
        )
    return out


def _two_way(count: np.ndarray) -> np.ndarray:
    """Expected counts with all two-way interactions and no higher ones, by proportional fitting."""
    fit = np.full(count.shape, count.sum() / count.size)
    axes = range(count.ndim)
    others = [tuple(k for k in axes if k not in pair) for pair in itertools.combinations(axes, 2)]
    want = [count.sum(axis=o, keepdims=True) for o in others]
    for _ in range(200):
        before = fit
        for o, goal in zip(others, want):
            now = fit.sum(axis=o, keepdims=True)
            fit = fit * np.divide(goal, now, out=np.zeros_like(goal), where=now > 0)
        if np.abs(fit - before).max() < 1e-3:
            break
    return fit


def _decide(
    regions: list[_Region], margin: float, at_least: float, alpha: float, chosen: float
) -> tuple[list[Cell], list[Cell], int, int, float]:
    """Which regions lie below the margin, after adjustment for all that could have.

    ``chosen``: out of how many times as many tables these were chosen.
    """
    alpha_all, alpha = alpha, alpha / max(chosen, 1)
    if not regions:
        return [], [], 0, 0, 0.0
    expected = np.array([r.expected / r.effect for r in regions])
    count = np.array([r.count / r.effect for r in regions])
    least = np.exp(-margin * expected)  # the smallest p-value that a region can have
    # Tarone: divide by the smallest number k that leaves no more than k regions in the running
    ks = np.arange(1, len(least) + 1)
    left = np.searchsorted(np.sort(least), alpha / ks, side="right") <= ks
    k = int(ks[np.argmax(left)])
    running = least <= alpha / k
    enough = float(np.log(k / alpha) / margin)
    line = np.where(count == 0, margin, at_least)
    p = np.ones(len(regions))
    p[running] = stats.gamma.sf((line * expected)[running], count[running] + 1)
    p[running] = holm(p[running])
    suspect = np.flatnonzero(p <= alpha)

    unsure = int(((count == 0) & ~running & (expected > 0)).sum())

    # of nested regions the largest; those that correlation explains drop out
    missing: list[Cell] = []
    thin: list[Cell] = []
    taken: dict[int, list[np.ndarray]] = {}
    order = sorted(suspect, key=lambda i: (regions[i].count > 0, -regions[i].expected))
    tried: dict[int, list[np.ndarray]] = {}
    for i in order:
        r = regions[i]
        if r.unit == "pairs" and r.model is None and r.count > 0:
            continue  # thin differences are correlation, which has a price and no alarm
        if r.mask is not None:
            if any((r.mask & m).any() for m in taken.get(r.family, [])):
                continue
            if any((r.mask <= m).all() for m in tried.get(r.family, [])):
                continue
        better = r.expected
        if r.table is not None and r.mask is not None:
            better = r.table.expected(r.mask)
        elif r.model is not None:
            better = min(better, r.model())
        again = float(stats.gamma.sf(line[i] * better / r.effect, count[i] + 1))
        again = min(max(again * max(running.sum(), 1), float(p[i])), 1.0)
        if again > alpha:
            unsure += int(r.count == 0)
            if r.mask is not None:
                tried.setdefault(r.family, []).append(r.mask)
            continue
        if r.mask is not None:
            taken.setdefault(r.family, []).append(r.mask)
        picture = None if r.table is None else r.table.picture(r.where)
        again = min(again * alpha_all / alpha, 1.0)
        cell = Cell(r.where, round(r.count), better, r.of, r.unit, again, r.latents, picture)
        (missing if r.count == 0 else thin).append(cell)
    missing.sort(key=lambda c: (c.unit != "pairs" or len(c.latents) != 2, -c.expected))
    thin.sort(key=lambda c: -c.expected)
    return missing, thin, int(running.sum()), unsure, enough
