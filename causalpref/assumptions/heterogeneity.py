"""Do annotators agree in taste, or is the average taste that of nobody?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse, special, stats

from causalpref.assumptions._check import Check, Settings, run_check
from causalpref.assumptions._taste import scaled_latents
from causalpref.assumptions._units import indicators, modifiers, products
from causalpref.assumptions.evidence import dots, row, table
from causalpref.assumptions.report import Report, Verdict, Words
from causalpref.data import PreferenceData
from causalpref.statistics import (
    Estimate,
    distinct,
    holm,
    independent,
    logistic_fit,
    permutation_p_value,
    unit_spread,
)

__all__ = ["Heterogeneity", "check_heterogeneity"]

_ANNOTATORS, _PAIRS, _PROMPTS = 10, 15, 5
"""Fewest annotators; fewest pairs, and prompts, of each."""
_FEATURES = 30
"""Most features that are looked at."""
_MOST = 200_000
"""Most pairs; of more, whole annotators are drawn."""
_DRAWS = 399
_POSITION = "position"


@dataclass(frozen=True, eq=False)
class Heterogeneity:
    """Numbers of the check of heterogeneity between annotators.

    Parameters
    ----------
    n, annotators : int
        Pairs, and annotators with enough of them.
    features : list of str
        What tastes are about; ``"position"`` is the pull of the first response.
    average : array, shape (m,)
        Weight of each feature on average.
    spread : array, shape (m,)
        Standard deviation of the weights between annotators, beyond a common factor.
    ranges : list of Estimate
        P(preferred) of annotators at the 90th percentile of taste less that at the 10th, for a
        difference of one standard deviation in the feature; intervals hold for all at once.
    p_values : array
        Of each feature, adjusted (Holm).
    surer : float
        Standard deviation of the factor by which annotators are surer or less sure, at most 1;
        all variance along the average taste is counted as this.
    margin, alpha : float
    """

    n: int
    annotators: int
    features: list[str]
    average: np.ndarray
    spread: np.ndarray
    ranges: list[Estimate]
    p_values: np.ndarray
    surer: float
    margin: float
    alpha: float

    @property
    def found(self) -> np.ndarray:
        """Features with a significant spread beyond the margin, largest first."""
        size = np.array([r.value for r in self.ranges])
        found = np.flatnonzero((self.p_values <= self.alpha) & (size > self.margin))
        return found[np.argsort(-size[found], kind="stable")]


def check_heterogeneity(
    data: PreferenceData,
    *,
    margin: float = 0.1,
    alpha: float = 0.05,
    seed: int | np.random.Generator = 0,
) -> Report:
    """Do annotators differ in what they prefer: in length, position and other features?

    Where they do, the average taste that a reward model learns may be that of nobody, and depends
    on who was asked. Each annotator's weights of a logistic Bradley-Terry model are compared with
    the average weights. Residuals of one annotator on different prompts agree in sign where
    the annotator's taste differs from the average; the sum of their products estimates the
    variance of taste between annotators, by the method of moments, and a variance of 0 is tested
    by flipping the signs of all residuals of a prompt group together. Annotators who are surer or
    less sure than others multiply all weights by a positive factor, which is no difference of
    taste: as much variance as such a factor can explain is taken out.

    Parameters
    ----------
    data : PreferenceData
        With annotators. Features are the latents of the responses, or without these the length of
        the responses; and position, where the order shown is known. Ties are left out.
    margin : float
        A spread that does not matter, in (0, 1): P(preferred) at the 90th percentile of annotators
        less that at the 10th, for a difference of one standard deviation in a feature.
    alpha : float
        Level of the tests, adjusted for the number of features by Holm's method.
    seed : int or numpy.random.Generator

    Returns
    -------
    Report
        ``value`` is the largest spread, with an interval that holds for all features at once.
        Violated when a test rejects and the interval lies beyond the margin, strained when
        a test rejects and the spread, but not its interval, is beyond the margin.

    Raises
    ------
    ValueError
        A margin outside (0, 1).

    Notes
    -----
    Needs ten annotators with 15 pairs or more on five prompts or more each; with fewer it cannot be
    tested. Of more than 200,000 pairs, whole annotators are drawn.

    Size, 300 simulated sets a world of mostly 40 annotators with 40 pairs each: a test rejects in 0
    to 2 % where all agree (also with prompts shared, topics of their own, a taste that changes with
    the prompt, log-normal lengths, ties left out, or pairs spread very unequally) and where
    annotators are surer or less sure (log-normal factors with standard deviations to 0.5,
    or every other one twice as sure); 4 % with 100 annotators of 200 pairs, every other one twice
    as sure.

    Power: 100 % when half of 40 annotators like a latent as much (0.8) as the other half
    dislike it, 75 % with ten annotators of 30 pairs; 73 % when tastes have a standard
    deviation of 0.5 about an average of 0.8, 4 % with ten annotators of 15 pairs and one
    of 0.7. The spread is too small where tastes differ along the average, since as much as
    a factor may explain is taken out.
    """
    if not 0 < margin < 1:
        raise ValueError(
            f"margin is {margin!r}, expected a spread of probabilities between 0 and 1, like 0.1"
        )
    return run_check(HETEROGENEITY, data, Settings(alpha=alpha, seed=seed), margin=margin)


def _compute(
    data: PreferenceData, settings: Settings, *, margin: float = 0.1
) -> Heterogeneity | Words:
    n = len(data)
    collect = (
        f"With {_ANNOTATORS} annotators of {_PAIRS} pairs each, this check says how far tastes "
        "differ, and the other checks get intervals that hold for annotators not yet asked."
    )
    if data.annotator is None:
        return Words(
            n=n,
            sentence="Nobody recorded who judged, so whether annotators agree cannot be tested.",
            next_step=f"Record a number for the annotator with each label. {collect}",
        )
    if data.tie.any():
        data = data.select(~data.tie) if not data.tie.all() else data
    some = 0
    if _enough(data).any():
        data = _often(data, settings.rng)
        some = len(np.unique(data.require("annotator")))
    who = np.unique(data.require("annotator"), return_inverse=True)[1]
    if (annotators := some) < _ANNOTATORS:
        return Words(
            n=n,
            sentence=f"{some} annotator{'' if some == 1 else 's'} judged {_PAIRS} pairs or more on "
            f"{_PROMPTS} prompts or more; it takes {_ANNOTATORS} to say how far tastes differ.",
            next_step=f"Collect more labels from the same annotators. {collect}",
        )
    y = data.label.astype(float)
    d, features = _features(data)
    if d.shape[1] == 0 or d.shape[1] > _FEATURES or y.min() == y.max():
        return Words(
            n=n,
            sentence="There is nothing to compare: the answers of a pair never differ in a "
            f"recorded feature, there are more than {_FEATURES} features, or the labels are all "
            "the same.",
            next_step="Name a few features of the responses, such as length.",
        )
    probability, average = _pooled(data, d, y)
    slope = np.array([f != _POSITION for f in features])
    index = d[:, slope] @ average[slope]
    known = float((index**2).mean()) > 1e-12
    d = np.column_stack([d, index]) if known else d
    moments = _moments(d, y - probability, probability, who, data.pair_group)
    m = len(features)
    if np.min(np.diag(moments.pairs.sum(axis=0))[:m]) <= 0:
        return Words(
            n=n,
            sentence="The labels are predicted almost perfectly by the features: nothing is left "
            "in which annotators could differ.",
            next_step="Collect closer pairs.",
        )
    variance, factor = _solved(moments.sums.sum(axis=0), moments.pairs.sum(axis=0), m)
    one_out, _ = _solved(
        moments.sums.sum(axis=0) - moments.sums, moments.pairs.sum(axis=0) - moments.pairs, m
    )
    se = np.sqrt((annotators - 1) / annotators * ((one_out - one_out.mean(axis=0)) ** 2).sum(0))
    share = np.diagonal(moments.pairs, axis1=1, axis2=2)[:, :m]
    df = np.maximum(share.sum(axis=0) ** 2 / (share**2).sum(axis=0) - 1, 1)
    flipped, _ = _solved(_flipped(moments, settings.rng), moments.pairs.sum(axis=0), m)
    p = np.array([permutation_p_value(v, f) for v, f in zip(variance, flipped.T)])
    p = np.maximum(p, stats.t.sf(variance / np.maximum(se, 1e-300), df))
    reach = stats.t.ppf(1 - 0.025 / m, df) * se
    ranges = [
        Estimate(*(_range(b, v) for v in (value, value - half, value + half)), n=len(data))
        for b, value, half in zip(average, variance, reach)
    ]
    return Heterogeneity(
        len(data),
        annotators,
        features,
        average,
        np.sqrt(np.maximum(variance, 0)),
        ranges,
        holm(p),
        float(np.sqrt(factor)),
        margin,
        settings.alpha,
    )


def _enough(data: PreferenceData) -> np.ndarray:
    """Whether each pair's annotator judged enough pairs on enough prompts, shape (n_pairs,)."""
    who = np.unique(data.require("annotator"), return_inverse=True)[1]
    group = np.unique(data.pair_group, return_inverse=True)[1]
    met = np.unique(who * (group.max() + 1) + group) // (group.max() + 1)
    return ((np.bincount(who) >= _PAIRS) & (np.bincount(met) >= _PROMPTS))[who]


def _often(data: PreferenceData, rng: np.random.Generator) -> PreferenceData:
    """The pairs of annotators with enough of them, at most so many."""
    data = data.select(_enough(data))
    if len(data) > _MOST:
        who = np.unique(data.require("annotator"), return_inverse=True)[1]
        order = rng.permutation(who.max() + 1)
        last = np.searchsorted(np.cumsum(np.bincount(who)[order]), _MOST, side="right")
        data = data.select(np.isin(who, order[: max(last, _ANNOTATORS)]))
    return data


def _features(data: PreferenceData) -> tuple[np.ndarray, list[str]]:
    """What tastes are about, as differences (n_pairs, m), and their names."""
    if data.response_latents is not None:
        z, names = scaled_latents(data), data.names_of("response_latents")
    else:
        z = unit_spread(np.log1p([[len(text)] for text in data.responses]))
        names = ["length"]
    first, second = data.pairs.T
    d = z[first] - z[second]
    d[:, (d**2).mean(axis=0) <= 1e-12] = 0
    live = independent(np.column_stack([np.ones(len(d)), d]))[1:]
    d, names = d[:, live], [name for name, v in zip(names, live) if v]
    if data.order_known and (data.label.min() != data.label.max()):
        d, names = np.column_stack([d, np.ones(len(d))]), [*names, _POSITION]
    return d, names


def _pooled(data: PreferenceData, d: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P(L = 1) of each pair, whoever judged, and the average weights of the features.

    Weights may change with the objective and the prompt, if there are pairs enough: an annotator
    with prompts of a kind has no taste of that kind for it.
    """
    by = np.column_stack([indicators(data), modifiers(data)])
    crossed = products(d, by - by.mean(axis=0))
    x = d
    if crossed.shape[1] and len(d) >= 20 * (d.shape[1] + crossed.shape[1]):
        x = np.column_stack([d, distinct(crossed)])
        x = x[:, independent(x)]
    if not (x == 1).all(axis=0).any():
        x = np.column_stack([x, np.ones(len(x))])
    w = logistic_fit(x, y, ridge=0.01).weights
    return special.expit(x @ w), w[: d.shape[1]]


@dataclass(frozen=True, eq=False)
class _Moments:
    """Products of an annotator's residuals on different prompts, and what they estimate.

    Parameters
    ----------
    sums : array, shape (n_annotators, q)
        Sums of products of scores of two different prompt groups, for each feature.
    pairs : array, shape (n_annotators, q, q)
        The factor of the variance of the weight of feature k in the mean of ``sums`` of j.
    scores : list of sparse matrix, shape (n_annotators, n_groups)
    n_groups : int
    """

    sums: np.ndarray
    pairs: np.ndarray
    scores: list[sparse.csr_matrix]
    n_groups: int


def _moments(
    d: np.ndarray, residual: np.ndarray, p: np.ndarray, who: np.ndarray, group: np.ndarray
) -> _Moments:
    group = np.unique(group, return_inverse=True)[1]
    shape = (int(who.max()) + 1, int(group.max()) + 1)
    cell, member = np.unique(who * shape[1] + group, return_inverse=True)
    at = (cell // shape[1], cell % shape[1])

    def different(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each annotator the square of the sum less the sum of squares; sums of cells."""
        of_cell = np.bincount(member, weights=values)
        total = np.bincount(at[0], weights=of_cell)
        return total**2 - np.bincount(at[0], weights=of_cell**2), of_cell

    q = d.shape[1]
    sums, scores = np.zeros((shape[0], q)), []
    pairs = np.zeros((shape[0], q, q))
    for j in range(q):
        sums[:, j], of_cell = different(residual * d[:, j])
        scores.append(sparse.csr_matrix((of_cell, at), shape=shape))
        for k in range(j + 1):
            pairs[:, j, k] = pairs[:, k, j] = different(p * (1 - p) * d[:, j] * d[:, k])[0]
    return _Moments(sums, pairs, scores, shape[1])


def _flipped(moments: _Moments, rng: np.random.Generator) -> np.ndarray:
    """Sums over annotators, the signs of prompt groups flipped, shape (draws, q)."""
    out = np.zeros((_DRAWS, len(moments.scores)))
    own = np.array([(s.data**2).sum() for s in moments.scores])
    for start in range(0, _DRAWS, 50):
        size = min(50, _DRAWS - start)
        signs = rng.choice([-1.0, 1.0], size=(moments.n_groups, size))
        for j, s in enumerate(moments.scores):
            out[start : start + size, j] = ((s @ signs) ** 2).sum(axis=0) - own[j]
    return out


def _solved(sums: np.ndarray, pairs: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Variances of the weights of m features, (..., m), and that of the common factor, (...).

    Column m of ``sums`` and ``pairs``, if there, belongs to the average taste: the variance along
    it is counted as a factor's, up to 1, beyond which a factor would be negative too often.
    """
    factor = np.zeros(sums.shape[:-1])
    rest = sums[..., :m]
    if sums.shape[-1] > m:
        factor = np.clip(sums[..., m] / np.maximum(pairs[..., m, m], 1e-300), 0, 1)
        rest = rest - factor[..., None] * pairs[..., :m, m]
    inner = pairs[..., :m, :m]
    ridge = 1e-6 * np.trace(inner, axis1=-2, axis2=-1)[..., None, None] / m * np.eye(m)
    return np.linalg.solve(inner + ridge, rest[..., None])[..., 0], factor


def _range(weight: float, variance: float) -> float:
    """P(preferred) at the 90th percentile of annotators less that at the 10th."""
    reach = stats.norm.ppf(0.9) * np.sqrt(max(variance, 0.0))
    return float(special.expit(weight + reach) - special.expit(weight - reach))


def _judge(r: Heterogeneity) -> Verdict:
    if len(r.found) == 0:
        return Verdict.NOT_FOUND
    beyond = any(r.ranges[j].low > r.margin for j in r.found)
    return Verdict.VIOLATED if beyond else Verdict.STRAINED


def _word(r: Heterogeneity, verdict: Verdict) -> Words:
    order = np.argsort([-x.value for x in r.ranges], kind="stable")
    shown = int(r.found[0] if verdict.alarm else order[0])
    found, name = r.ranges[shown], r.features[shown]
    reach = stats.norm.ppf(0.9) * r.spread[shown]
    low, high = special.expit(r.average[shown] + np.array([-reach, reach]))
    if verdict.alarm:
        case = (
            "of two equal answers the first is"
            if name == _POSITION
            else f"an answer with one standard deviation more of {name} is"
        )
        opposed = stats.norm.cdf(-abs(r.average[shown]) / r.spread[shown])
        sentence = (
            f"Annotators differ in what they prefer, most in {name}: {case} preferred {low:.0%} of "
            f"the time by annotators at the 10th percentile and {high:.0%} at the 90th, "
            f"{100 * found.value:.0f} points apart (95 % interval {100 * found.low:.0f} to "
            f"{100 * found.high:.0f}). About {opposed:.0%} of annotators "
            "prefer the opposite of the average."
        )
    elif (most := max(x.high for x in r.ranges)) <= r.margin:
        sentence = (
            f"Annotators agree in taste: they are no more than {100 * most:.1f} points of "
            "P(preferred) apart in any feature, between the 10th and the 90th percentile."
        )
    else:
        sentence = (
            "No difference of taste between annotators beyond the margin was found; a spread of up "
            f"to {100 * most:.0f} points of P(preferred) could have been missed."
        )
    rows = [
        row(
            f"spread between annotators in {r.features[j]}",
            r.ranges[j],
            p_value=float(r.p_values[j]),
        )
        for j in order
    ]
    factor = row(
        "how sure annotators are: relative spread of the factor",
        value=r.surer,
        n=r.annotators,
        note="the same taste: no violation",
    )
    return Words(
        sentence=f"{sentence} The test compares {r.annotators:,} annotators, clustered by prompt.",
        next_step=(
            "Report effects for groups of annotators, or fit a reward model that knows the "
            "annotator or a mixture of tastes; say whose taste an average is; record what sets "
            "annotators apart."
            if verdict.alarm
            else "Keep recording annotators. Tastes may differ in features that were not recorded."
        ),
        statistic="largest spread of P(preferred) between annotators",
        short="spread",
        value=found.value,
        low=found.low,
        high=found.high,
        p_value=float(r.p_values[shown]),
        n=r.n,
        evidence=table([*rows, factor]),
        picture=dots(
            rows, "P(preferred), 90th less 10th percentile of annotators", reference=(r.margin,)
        ),
        rests_on=("response_latents",),
    )


HETEROGENEITY = Check(
    "heterogeneity",
    None,
    "annotators agree in taste",
    _compute,
    _judge,
    _word,
    sees="annotators whose taste in a recorded feature or in position differs, in groups or by "
    "degrees, by more than chance and more than being surer or less sure explains",
    blind="features that were not recorded; annotators with few pairs; with one feature, tastes "
    "that differ in strength and keep their sign",
)
