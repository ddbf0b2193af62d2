"""Is Z^X additive, so that it may be left out of the reward? (Section 3.2, why Z^X matters.)"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special, stats

from causalpref.assumptions._check import Check, Settings, drawn, run_check
from causalpref.assumptions._taste import (
    ANNOTATORS,
    TasteFit,
    clusters_of,
    level,
    scaled_latents,
    taste_fit,
)
from causalpref.assumptions._units import indicators, modifiers, products
from causalpref.assumptions.evidence import matrix, row, table
from causalpref.assumptions.report import Report, Verdict, Words
from causalpref.data import PreferenceData
from causalpref.statistics import Estimate, cluster_sums, holm, independent

__all__ = ["Additivity", "check_additivity"]

_CLUSTERS = 10
"""Fewest clusters of equal size that a standard error may rest on."""
_CELLS = 200
"""Most interactions that are looked at."""
_NUMBERS = 40_000_000
"""Most numbers in the matrix of a fit; of more pairs, whole prompt groups are drawn."""


@dataclass(frozen=True, eq=False)
class Additivity:
    """Numbers of the check of additivity.

    Parameters
    ----------
    n : int
        Pairs.
    cells : list of (str, str)
        Latent of the response and of the prompt.
    changes : list of Estimate
        Of each cell: by how much P(preferred) changes between prompts at the 10th and the 90th
        percentile of the prompt latent, for a difference of one standard deviation in the
        response latent, once a common factor is taken out; intervals hold for all cells at once
        with 95 %.
    p_values : array
        Of each cell, adjusted (Holm).
    surer : list of (str, Estimate, float)
        Of each latent of the prompt: how many times as large differences in reward are at its
        90th percentile as at its 10th, and the p-value of a ratio of 1, adjusted (Holm).
    level : str
        What the standard errors are clustered by.
    margin, alpha : float
    """

    n: int
    cells: list[tuple[str, str]]
    changes: list[Estimate]
    p_values: np.ndarray
    surer: list[tuple[str, Estimate, float]]
    level: str
    margin: float
    alpha: float

    @property
    def largest(self) -> int:
        """The cell with the largest change."""
        return int(np.argmax([abs(c.value) for c in self.changes]))

    @property
    def ruled_out(self) -> float:
        """The largest change that some interval holds."""
        return max(max(abs(c.low), abs(c.high)) for c in self.changes)

    @property
    def found(self) -> np.ndarray:
        """Cells in which a change beyond the margin is significant."""
        size = np.array([abs(c.value) for c in self.changes])
        return np.flatnonzero((self.p_values <= self.alpha) & (size > self.margin))


def check_additivity(data: PreferenceData, *, margin: float = 0.05, alpha: float = 0.05) -> Report:
    """Does what annotators prefer depend on the prompt? ("Why Z^X matters")

    If Z^X enters the reward additively it cancels in R - R' and may be left out of the
    model; if it interacts with Z^T it may not (section 3.2). A logistic Bradley-Terry model
    gives each latent of the response, and its square, a weight that changes with the latents of
    the prompt. Annotators who are surer on some prompts multiply all weights by one
    positive factor: that is no change of taste. The factor that fits best is taken out and
    reported apart. What is left is a change in what is preferred.

    Each recorded objective has weights of its own, and so has, where annotators judge several
    pairs each, the average prompt of an annotator: otherwise prompts would be credited with the
    taste of those who write them (example 4). Standard errors come from a jackknife over prompt
    groups and, crossed with them, annotators.

    Parameters
    ----------
    data : PreferenceData
        With response latents, and prompt latents or, in their place, prompt types. Pairs of one
        ``prompt_group``, and of one ``annotator``, may depend on one another. Ties are left out.
    margin : float
        A change of P(preferred) that does not matter, in (0, 1): between the 10th and the 90th
        percentile of a latent of the prompt, for a difference of one standard deviation in a
        latent of the response.
    alpha : float
        Level of the tests, adjusted for the number of interactions by Holm's method.

    Returns
    -------
    Report
        ``value`` is the largest change, with an interval that holds for all changes at once.
        Violated when an adjusted test rejects and the interval lies wholly beyond the margin;
        strained when a test rejects and the change, but not its interval, is beyond the margin.

    Raises
    ------
    ValueError
        A margin outside (0, 1).

    Notes
    -----
    Needs 20 prompt groups for each pair of a latent of the response and one of the prompt (squares
    are left out where they are too many), 20 annotators where several are recorded, and, for each
    interaction, ten clusters of equal size; with fewer it cannot be tested.

    Size, 300 simulated sets a world of mostly 60 annotators with 40 pairs each: an adjusted test
    rejects in 1 to 3 % where annotators have slopes of their own (also with topics of their own,
    with 20 annotators, with 3 pairs each, with shared prompts, or with pairs spread very unequally)
    or differ in how sure they are, in 2 to 5 % where they are surer on some prompts, in 2 to 3 %
    with log-normal lengths, in 2 % with many ties. Alarms, which also need the
    margin, are at most as many. It is not within 5 % where the reward bends more than a
    quadratic and latents of prompt and response are associated.

    Power is above 80 % with 1,000 pairs when a latent is worth 0.5 more and 0.5 less at one
    standard deviation of Z^X to either side, and 100 % (of 300) with 60 annotators of 20 pairs.
    With one feature of the response a worth that changes and keeps its sign is not found: it
    cannot be distinguished from annotators who are surer.
    """
    if not 0 < margin < 1:
        raise ValueError(
            f"margin is {margin!r}, expected a change of a probability between 0 and 1, like 0.05"
        )
    return run_check(ADDITIVITY, data, Settings(alpha=alpha), margin=margin)


def _compute(
    data: PreferenceData, settings: Settings, *, margin: float = 0.05
) -> Additivity | Words:
    n, z = len(data), data.response_latents
    if data.tie.any() and not data.tie.all():
        data = data.select(~data.tie)
    if z is None or not (modifiers(data).std(axis=0) > 0.5).any():
        what = (
            "latents of the response" if z is None else "latent or type of the prompt that varies"
        )
        return Words(
            n=n,
            sentence=f"The data have no {what}.",
            next_step="Record what kind of prompt each is: topic, task, length.",
        )
    under, k = indicators(data), int((modifiers(data).std(axis=0) > 0.5).sum())
    columns = 2 * z.shape[1] * (1 + 2 * k + under.shape[1])
    if len(data) * columns > _NUMBERS:
        settings = replace(settings, features=None, most_pairs=_NUMBERS // columns)
        data = drawn(data, settings)[0]
        under = indicators(data)
    clusters = clusters_of(data)
    n_groups = int(clusters[0].max()) + 1
    who = int(clusters[-1].max()) + 1 if len(clusters) == 2 else None
    if who is not None and who < ANNOTATORS:
        return Words(
            n=n,
            sentence=f"There are {who} annotators: too few to separate a taste that changes with "
            f"the prompt from annotators who differ. It takes {ANNOTATORS} annotators.",
            next_step=f"Collect labels from {ANNOTATORS} annotators or more, each on several kinds "
            "of prompt.",
        )
    by, names_x, ends = _prompts(data)
    d, names_d = _features(data, min(_CELLS, n_groups // 20) // k)
    y = data.label.astype(float)
    few = Words(
        n=n,
        sentence=f"There is too little to fit: {n_groups:,} prompts, where it takes 20 for each "
        "pair of a latent of the response and one of the prompt; or the latents never differ "
        "within a pair, or the labels are predicted almost perfectly.",
        next_step="Collect more prompts, or look at fewer latents.",
    )
    if d.shape[1] == 0 or y.min() == y.max():
        return few
    # what a latent is worth under each objective, or to each annotator, is not the prompt's doing
    if under.shape[1] and n_groups < 10 * d.shape[1] * (under.shape[1] + 1):
        return Words(
            n=n,
            sentence=f"What a latent is worth may differ between {under.shape[1] + 1} objectives, "
            "and there are too few prompts to separate that from the prompt.",
            next_step="Collect more prompts, or merge objectives.",
        )
    aside = [under - under.mean(axis=0)]
    if who is not None and len(data) >= 5 * who:
        means = cluster_sums(by, clusters[1]) / np.bincount(clusters[1])[:, None]
        aside.append(means[clusters[1]])
    m = d.shape[1]
    x = np.column_stack([np.ones(len(y)), d, products(d, np.column_stack(aside)), products(d, by)])
    keep = independent(x)
    tested = np.flatnonzero(keep[-m * k :])
    if len(tested) == 0:
        return Words(
            n=n,
            sentence="Kinds of prompts cannot be separated from "
            f"{'objectives' if under.shape[1] else 'annotators'}: each kind was judged under its "
            "own.",
            next_step="Have some prompts judged under another objective, and by other annotators.",
        )
    fit = taste_fit(x[:, keep], y, clusters)
    if fit.informative < 3 * keep.sum():
        return few
    first = keep.sum() - len(tested)
    weights = np.full(m * k, -1)
    weights[tested] = first + np.arange(len(tested))
    found = _changes(fit, d, ends, weights.reshape(m, k))
    if not found.cells:
        return Words(
            n=n,
            sentence=f"Every interaction rests on fewer than {_CLUSTERS} prompts or annotators: a "
            "few of them decide.",
            next_step="Collect more prompts and annotators, or look at fewer latents.",
        )
    surer = holm(np.array([p for _, _, p in found.surer]))
    return Additivity(
        len(data),
        [(names_d[j], names_x[i]) for j, i in found.cells],
        found.changes,
        holm(np.array(found.p_values)),
        [(names_x[i], ratio, float(p)) for (i, ratio, _), p in zip(found.surer, surer)],
        level(clusters),
        margin,
        settings.alpha,
    )


def _prompts(data: PreferenceData) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Latents of prompts that vary, (n, k), of mean 0; names; 10th and 90th percentiles (k, 2)."""
    by = modifiers(data)
    varies = by.std(axis=0) > 0.5  # those that vary have 1
    if data.prompt_latents is not None:
        names = data.names_of("prompt_latents")
    else:
        codes = np.unique(data.require("prompt_type")[data.pair_prompt])[1:]
        names = [f"prompt {name}" for name in data.names_of("prompt_type", codes)]
    by = by[:, varies]
    ends = np.quantile(by, [0.1, 0.9], axis=0).T
    same = np.diff(ends, axis=1)[:, 0] < 0.1  # rare types, and latents that are mostly 0
    ends[same] = np.stack([by.min(axis=0), by.max(axis=0)], axis=1)[same]
    return by, [name for name, v in zip(names, varies) if v], ends


def _features(data: PreferenceData, most: int) -> tuple[np.ndarray, list[str]]:
    """Differences of latents, with their squares if that makes no more than ``most``, and names.

    Scaled so that 1 is one standard deviation, or one value against the other where there are two.
    None where the latents alone are more than ``most``.
    """
    z, names = scaled_latents(data), data.names_of("response_latents")
    if z.shape[1] > most:
        return np.zeros((len(data), 0)), []
    # a square of two values is linear
    bent = [j for j, column in enumerate(z.T) if len(np.unique(column)) > 2]
    if z.shape[1] + len(bent) <= most:
        z = np.concatenate([z, z[:, bent] ** 2], axis=1)
        names = names + [f"{names[j]} squared" for j in bent]
    first, second = data.pairs.T
    d = z[first] - z[second]
    d[:, (d**2).mean(axis=0) <= 1e-12] = 0
    live = independent(np.column_stack([np.ones(len(d)), d]))[1:]
    return d[:, live], [name for name, v in zip(names, live) if v]


@dataclass(frozen=True)
class _Found:
    cells: list[tuple[int, int]]
    changes: list[Estimate]
    p_values: list[float]
    surer: list[tuple[int, Estimate, float]]


def _changes(fit: TasteFit, d: np.ndarray, ends: np.ndarray, at: np.ndarray) -> _Found:
    """Changes of taste, the common factor taken out, and that factor for each prompt latent.

    Parameters
    ----------
    fit : TasteFit
        Weight 1 + j is that of column j of d.
    d : array, shape (n, m)
    ends : array, shape (k, 2)
        Percentiles of each prompt latent.
    at : array of int, shape (m, k)
        Which weight is that of a column of d times a prompt latent; -1 where there is none.
    """
    m, k = at.shape
    taste = np.arange(1, m + 1)
    b = fit.weights[taste]
    metric = d.T @ d / len(d)
    pull = metric @ b
    size = max(float(b @ pull), 1e-300)
    noise = np.array([[fit.variance(e) for e in np.eye(len(fit.weights))[taste]]])
    known = size > 4 * float((noise[0] * np.diag(metric)).sum())  # that there is a common taste
    raw: list[tuple[tuple[int, int], float, float, float]] = []
    surer = []
    for i in range(k):
        low, high = ends[i]
        there = at[:, i] >= 0
        change = np.where(there, fit.weights[at[:, i]], 0.0)
        least, most = _bounds(low, high)
        factor = float(change @ pull) / size
        inside = least < factor < most
        g = np.zeros(len(fit.weights))  # derivative of the factor
        if inside:
            g[at[there, i]] = pull[there] / size
            g[taste] = (metric @ change - 2 * factor * pull) / size
        factor = float(np.clip(factor, least, most))
        if known and inside and (df := fit.effective(g).min() - 1) >= _CLUSTERS - 1:
            se = np.sqrt(fit.variance(g))
            half = stats.t.ppf(0.975, df) * se
            p = float(2 * stats.t.sf(abs(factor) / max(se, 1e-300), df))
            times = [_ratio(f, low, high) for f in (factor, factor - half, factor + half)]
            surer.append((i, Estimate(*times, n=len(d)), p))
        for j in np.flatnonzero(there).tolist():
            alone = np.zeros(len(fit.weights))
            alone[at[j, i]] = 1
            df = float(fit.effective(alone).min()) - 1
            if df < _CLUSTERS - 1:
                continue
            left = float(change[j] - factor * b[j])
            if m == 1 and inside:
                raw.append(((j, i), 0.0, np.nan, df))
            else:
                se = np.sqrt(fit.variance(alone - factor * np.eye(len(g))[taste[j]] - b[j] * g))
                raw.append(((j, i), left, float(se), df))
    cells, changes, p_values = [], [], []
    for (j, i), left, se, df in raw:
        reach = float(stats.t.ppf(1 - 0.025 / len(raw), df))
        if np.isnan(se):
            interval = _reversal(fit, 1 + j, int(at[j, i]), ends[i], reach)
            p = 1.0
        else:
            interval = left - reach * se, left + reach * se
            p = float(2 * stats.t.sf(abs(left) / max(se, 1e-300), df))
        value, lowest, highest = (_moved(b[j], float(w), *ends[i]) for w in (left, *interval))
        cells.append((j, i))
        changes.append(Estimate(value, min(lowest, value), max(highest, value), n=len(d)))
        p_values.append(p)
    return _Found(cells, changes, p_values, surer)


def _bounds(low: float, high: float) -> tuple[float, float]:
    """Between which changes a factor 1 + change * x is positive at both ends."""
    least = -1 / high if high > 0 else -np.inf
    most = -1 / low if low < 0 else np.inf
    return least, most


def _ratio(change: float, low: float, high: float) -> float:
    """The factor at the high end over that at the low end, at most 100 and at least 1/100."""
    above, below = (max(1 + change * x, 1e-9) for x in (high, low))
    return float(np.clip(above / below, 0.01, 100))


def _moved(weight: float, change: float, low: float, high: float) -> float:
    """By how much P(preferred) differs between the ends, for a difference of 1 in the latent."""
    return float(special.expit(weight + change * high) - special.expit(weight + change * low))


def _reversal(
    fit: TasteFit, taste: int, at: int, ends: np.ndarray, reach: float
) -> tuple[float, float]:
    """An interval of the change that one latent cannot owe to a factor: none, or a reversal."""
    found = [0.0, 0.0]
    sign = np.sign(fit.weights[taste]) or 1.0
    for x in ends:
        if abs(x) < 1e-9:
            continue
        g = np.zeros(len(fit.weights))
        g[taste], g[at] = sign, sign * x
        least = float(g @ fit.weights) - reach * np.sqrt(fit.variance(g))
        found.append(sign * min(least, 0.0) / x)
    return min(found), max(found)


def _judge(r: Additivity) -> Verdict:
    found = r.found
    if len(found) == 0:
        return Verdict.NOT_FOUND
    beyond = [min(abs(r.changes[i].low), abs(r.changes[i].high)) > r.margin for i in found]
    return Verdict.VIOLATED if any(beyond) else Verdict.STRAINED


def _word(r: Additivity, verdict: Verdict) -> Words:
    shown = r.largest if not verdict.alarm else int(r.found[np.argmin(r.p_values[r.found])])
    change = r.changes[shown]
    latent, prompt = r.cells[shown]
    surer = [(name, ratio, p) for name, ratio, p in r.surer if p <= r.alpha]
    scale = ""
    if surer:
        name, ratio, _ = max(surer, key=lambda s: abs(np.log(s[1].value)))
        scale = (
            f" Annotators are {'surer' if ratio.value > 1 else 'less sure'} on prompts with a high "
            f"{name}: differences in reward are {ratio.value:.1f} times as large "
            f"({ratio.low:.1f} to {ratio.high:.1f}). That changes how sure they are, not what they "
            "prefer."
        )
    if verdict.alarm:
        sentence = (
            f"What annotators prefer changes with the prompt: between prompts with a low and a "
            f"high {prompt} (10th and 90th percentile), the preference for {latent}"
            f"{', compared with the other latents,' if len({j for j, _ in r.cells}) > 1 else ''} "
            f"moves by {_points(change.value)} (95 % interval {_signed(change.low)} to "
            f"{_signed(change.high)}). The prompt may not be left out of the reward."
        )
    elif r.ruled_out <= r.margin:
        sentence = (
            "What annotators prefer does not change with the recorded latents of the prompt: no "
            f"change larger than {_points(r.ruled_out)} of P(preferred)."
        )
    else:
        sentence = (
            "No change of taste with the prompt was found. A change of up to "
            f"{_points(r.ruled_out)} of P(preferred) could have been missed"
            f"{'' if r.p_values.min() > r.alpha else '; what is significant is small'}."
        )
    worst = np.argsort([-abs(c.value) for c in r.changes], kind="stable")[:6].tolist()
    rows = [
        row(
            f"change of P(preferred), {' x '.join(r.cells[i])}",
            r.changes[i],
            p_value=float(r.p_values[i]),
        )
        for i in worst
    ]
    rows += [
        row(
            f"how many times as sure annotators are on prompts with a high {name}",
            ratio,
            p_value=p,
            note="the same taste: no violation",
        )
        for name, ratio, p in r.surer
    ]
    return Words(
        sentence=f"{sentence}{scale} {r.level}",
        next_step=(
            "Give the reward model the prompt and let it interact; report effects for each kind of "
            "prompt, or say over which mix they are averaged."
            if verdict.alarm
            else "Keep the prompt in the model where it costs little; this is no proof that it "
            "cancels."
        ),
        statistic="largest change of P(preferred) between kinds of prompts",
        short="change",
        value=change.value,
        low=change.low,
        high=change.high,
        p_value=float(r.p_values[shown]),
        n=r.n,
        evidence=table(rows),
        picture=matrix(
            r.cells,
            np.array([c.value for c in r.changes]),
            "change of P(preferred), latent x prompt",
            "A matrix of changes of P(preferred) between prompts at the 10th and the 90th "
            f"percentile, largest {' x '.join(r.cells[r.largest])} with "
            f"{r.changes[r.largest].value:+.2f}.",
        ),
        rests_on=("response_latents", "prompt_latents"),
    )


def _points(change: float) -> str:
    return f"{100 * abs(change):.1f} points"


def _signed(change: float) -> str:
    return f"{100 * change:+.1f}"


ADDITIVITY = Check(
    "additivity",
    None,
    "Z^X is additive",
    _compute,
    _judge,
    _word,
    sees="latents of the response whose worth, compared with that of the others, changes with the "
    "recorded latents of the prompt; and latents that are liked on some prompts and disliked on "
    "others",
    blind="features of the prompt that were not recorded; interactions that are neither "
    "linear nor quadratic in Z^T; with one latent of the response, a worth that changes and keeps "
    "its sign, since annotators who are surer look the same; where latents of prompt and response "
    "go together, a reward that bends more than a quadratic looks like an interaction",
)
