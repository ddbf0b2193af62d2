"""What the checks know of preference data: contexts, features, and what a context was given to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from causalpref.data import PreferenceData, expect_preferences
from causalpref.statistics import cluster_sums, standardised, unit_spread

FEWEST = 5
"""Minimum number of prompts per context."""


def contexts(data: PreferenceData) -> np.ndarray:
    """The contexts that occur, sorted; none where no objective was recorded."""
    return np.empty(0, dtype=int) if data.objective is None else np.unique(data.objective)


def several_contexts(data: PreferenceData) -> bool:
    """Whether two contexts can be compared at all."""
    return len(contexts(data)) > 1


def numbered(data: PreferenceData) -> PreferenceData:
    """The data with groups of prompts numbered as they appear: their codes mean nothing."""
    expect_preferences(data, "a check")
    if data.prompt_group is None:
        return data
    return data.replace(prompt_group=pd.factorize(data.prompt_group)[0])


def prompt_groups(data: PreferenceData) -> np.ndarray:
    """The group of each prompt, shape (n_prompts,): the prompt itself when none is recorded."""
    return np.arange(len(data.prompts)) if data.prompt_group is None else data.prompt_group


def pair_features(data: PreferenceData, features: np.ndarray | None) -> np.ndarray | None:
    """What is known of the texts of each pair, whichever response stood first, (n_pairs, q).

    ``features`` if given; else the mean embedding of the two responses, else latents of the
    prompt with the mean and the absolute difference of those of the responses.
    """
    if features is not None:
        return checked_features(features, len(data))
    if data.embeddings is not None:
        return data.mean("embeddings")
    parts = []
    if data.prompt_latents is not None:
        parts.append(data.prompt_latents[data.pair_prompt])
    if data.response_latents is not None:
        parts += [data.mean("response_latents"), np.abs(data.difference("response_latents"))]
    return np.concatenate(parts, axis=1) if parts else None


def checked_features(features: np.ndarray, n: int) -> np.ndarray:
    """Features of n pairs.

    Raises
    ------
    ValueError
        Of the wrong shape or not finite.
    """
    features = np.asarray(features, dtype=float)
    if features.ndim != 2 or len(features) != n:
        raise ValueError(
            f"features has shape {features.shape}, expected ({n}, any): one row a pair"
        )
    bad = ~np.isfinite(features)
    if bad.any():
        row, column = np.argwhere(bad)[0].tolist()
        raise ValueError(f"features[{row}, {column}] = {features[row, column]} is not finite")
    return features


def common_contexts(
    data: PreferenceData, x: np.ndarray
) -> tuple[PreferenceData, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs and features of the contexts with :data:`FEWEST` prompts; these and the other contexts.

    All pairs are kept where fewer than two contexts have so many.
    """
    values, code = np.unique(data.objective, return_inverse=True)
    key = np.unique(np.stack([code, data.pair_prompt], axis=1), axis=0)
    many = np.bincount(key[:, 0], minlength=len(values)) >= FEWEST
    if many.sum() > 1:
        kept = many[code]
        data, x = data.select(kept), x[kept]
    return data, x, values[many], values[~many]


def indicators(data: PreferenceData) -> np.ndarray:
    """Whether a pair was judged under each context but the first, shape (n_pairs, k - 1)."""
    if data.objective is None:
        return np.zeros((len(data), 0))
    return (data.objective[:, None] == contexts(data)[1:]).astype(float)


def products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Every column of a times every column of b."""
    return (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)


NEARLY = 0.7
"""How alike C has to be within clusters (:func:`alike_within`) to count as assigned to them."""
MANY = 20
"""Annotators, or groups of prompts, from which on they are permuted and held out as wholes."""


@dataclass(frozen=True, eq=False)
class Units:
    """What a context is predicted for, one a row, and what the context was assigned to.

    Parameters
    ----------
    x : array, shape (n_units, q)
        Features, means over the pairs of a row, standardised.
    code : array of int, shape (n_units,)
        Index of the context among those looked at.
    prompt : array of int, shape (n_units,)
        Row of the prompt.
    group : array of int, shape (n_units,)
        Rows that have to share a fold.
    level : str
        What C was assigned to: ``"annotators"``, ``"sessions"``, ``"prompt groups"``,
        ``"prompts"`` or ``"pairs"``.
    assigned : array of int, shape (n_units,)
        That annotator, session, ... of each row.
    within : array of int, shape (n_units,), optional
        Annotators (or sessions) that these are nested in.
    clusters : array, shape (n_units,) or (n_units, 2)
        Rows that may depend on one another: see :func:`dependence`.
    """

    x: np.ndarray
    code: np.ndarray
    prompt: np.ndarray
    group: np.ndarray
    level: str
    assigned: np.ndarray
    within: np.ndarray | None
    clusters: np.ndarray

    def __len__(self) -> int:
        return len(self.code)

    @property
    def kind(self) -> str:
        """``"pairs"`` or ``"prompts"``."""
        return "pairs" if len(self) > 1.05 * len(np.unique(self.prompt)) else "prompts"

    def counts(self) -> np.ndarray:
        """How many annotators, sessions, ... each context was assigned to (its majority counts)."""
        return assigned_counts(self.code, self.assigned)


def alike_within(code: np.ndarray, clusters: np.ndarray) -> float:
    """How much more often two pairs of one cluster share C than two pairs at random.

    1: C is constant within clusters; 0: as alike as by chance. A cluster counts by its pairs; NaN
    where no cluster has two, or where C does not vary.
    """
    table = _table(code, clusters)
    size = table.sum(axis=1)
    share = table.sum(axis=0) / size.sum()
    table, size = table[size > 1], size[size > 1]
    by_chance = float((share**2).sum())
    if len(size) == 0 or by_chance > 1 - 1e-12:
        return float("nan")
    same = (table * (table - 1)).sum(axis=1) / (size - 1)  # of each cluster, times its size
    return float((same.sum() / size.sum() - by_chance) / (1 - by_chance))


def assigned_counts(code: np.ndarray, assigned: np.ndarray) -> np.ndarray:
    """How many annotators, sessions, ... have each context, at least in most of their pairs."""
    most = _table(code, assigned).argmax(axis=1)
    return np.bincount(most, minlength=int(code.max(initial=-1)) + 1)


def assignment(data: PreferenceData, code: np.ndarray) -> tuple[str, np.ndarray, np.ndarray | None]:
    """What C was assigned to, from the data: annotators, sessions, prompts (or groups), or pairs.

    The first of them within which C is nearly constant (:data:`NEARLY`).

    Returns
    -------
    level : str
    assigned : array of int, shape (n_pairs,)
        The annotator, session, ... of each pair.
    within : array of int, shape (n_pairs,), or None
        The annotators that these are nested in (sessions, where no annotator is recorded): they
        may each have a C of their own to prefer.
    """
    who, session = data.annotator, data.session
    if session is not None and who is not None:
        session = np.unique(np.stack([who, session], axis=1), axis=0, return_inverse=True)[1]
        session = session.ravel()
    grouped = len(np.unique(data.pair_group)) < len(np.unique(data.pair_prompt))
    levels = {
        "annotators": who,
        "sessions": session,
        "prompt groups": data.pair_group if grouped else None,
        "prompts": data.pair_prompt,
    }
    level, assigned = "pairs", np.arange(len(data))
    for name, clusters in levels.items():
        if clusters is not None and alike_within(code, clusters) >= NEARLY:
            level, assigned = name, np.unique(clusters, return_inverse=True)[1]
            break
    outer = session if who is None else who
    if level == "annotators" or (level == "sessions" and who is None):
        outer = None
    if outer is not None:
        outer = np.unique(outer, return_inverse=True)[1]
        several = _table(outer, assigned) > 0 if level != "pairs" else np.ones((1, 1))
        if (several.sum(axis=1) > 1).any():  # judged by several: not nested
            outer = None
    return level, assigned, outer


def dependence(data: PreferenceData) -> tuple[np.ndarray, str]:
    """Clusters of pairs that may depend on one another, and how to say so.

    Prompts (their groups), crossed with annotators where ten or more are recorded, else with
    sessions: the variance between fewer cannot be estimated.
    """
    prompts = np.unique(data.pair_group, return_inverse=True)[1]
    for name, of in (("annotator", data.annotator), ("session", data.session)):
        if of is not None and len(np.unique(of)) >= 10:
            other = np.unique(of, return_inverse=True)[1]
            return np.column_stack([prompts, other]), f"prompt and {name}"
    return prompts, "prompt"


def judged_units(
    data: PreferenceData, x: np.ndarray, values: np.ndarray, rng: np.random.Generator
) -> Units:
    """The rows at which a context is predicted, with what it was assigned to.

    Where C was assigned pair by pair, a row is a pair. Else the pairs of one prompt are no
    independent draws of C: a prompt counts once under each context (and annotator or session,
    where C was assigned to these). Rows of one annotator, session, ... to whom C was assigned
    share a fold, and so do rows of one group of prompts as far as that leaves :data:`MANY` parts.

    Parameters
    ----------
    x : array, shape (n_pairs, q)
    values : array
        The contexts, sorted.
    """
    code = np.searchsorted(values, data.objective)
    level, assigned, within = assignment(data, code)
    clusters = dependence(data)[0]
    first = np.arange(len(data))
    if level != "pairs":
        key = [data.pair_prompt, code]
        if level in ("annotators", "sessions"):
            key.append(assigned)
        first, row = np.unique(
            np.stack(key, axis=1), axis=0, return_index=True, return_inverse=True
        )[1:]
        row = row.ravel()
        x = cluster_sums(x, row) / np.bincount(row)[:, None]
    assigned, within = assigned[first], None if within is None else within[first]
    together = assigned if within is None or len(np.unique(within)) < MANY else within
    return Units(
        standardised(x, seed=rng),
        code[first],
        data.pair_prompt[first],
        _parts(together, data.pair_group[first]),
        level,
        assigned,
        within,
        clusters[first],
    )


def _parts(assigned: np.ndarray, prompts: np.ndarray) -> np.ndarray:
    """Parts that share neither; by the first alone where the two cross too much to be parted."""
    a = np.unique(assigned, return_inverse=True)[1]
    b = np.unique(prompts, return_inverse=True)[1] + a.max(initial=-1) + 1
    n = int(b.max(initial=-1)) + 1
    part = connected_components(coo_matrix((np.ones(len(a)), (a, b)), shape=(n, n)))[1][a]
    size = np.bincount(np.unique(part, return_inverse=True)[1])
    return part if len(size) >= MANY and size.max() <= len(a) / 5 else a


def permuted_codes(units: Units, draws: int, rng: np.random.Generator) -> np.ndarray:
    """The contexts as they are, then ``draws`` times permuted, shape (n_units, 1 + draws).

    The contexts of whole annotators, sessions, prompts or pairs change hands, whichever C was
    assigned to. Where these are nested in :data:`MANY` annotators or more, each annotator gets
    all contexts of another one (in random order, repeated as often as needed), so that annotators
    may differ in how often they judge under each. With fewer annotators contexts are permuted
    within each of them.
    """
    of_row = np.unique(units.assigned, return_inverse=True)[1]
    n = int(of_row.max(initial=-1)) + 1
    outer, several = np.zeros(n, dtype=int), False
    if units.within is not None:
        outer[of_row] = np.unique(units.within, return_inverse=True)[1]
        several = len(np.unique(outer)) >= MANY
    by_outer, by_unit = _Blocks(outer), _Blocks(of_row)
    pure = bool((_table(units.code, of_row) > 0).sum(axis=1).max(initial=0) <= 1)
    code_of = np.zeros(n, dtype=units.code.dtype)
    code_of[of_row] = units.code
    out = np.empty((len(units), 1 + draws), dtype=np.int32)
    out[:, 0] = units.code
    for i in range(1, 1 + draws):
        giver = rng.permutation(by_outer.n) if several else np.arange(by_outer.n)
        unit = by_outer.handed(giver, rng)
        out[:, i] = code_of[unit][of_row] if pure else units.code[by_unit.handed(unit, rng)]
    return out


class _Blocks:
    """Rows in blocks that hand on what they hold."""

    def __init__(self, member: np.ndarray):
        self.member = member
        self.size = np.bincount(member)
        self.n = len(self.size)
        self.start = np.cumsum(self.size) - self.size
        order = np.argsort(member, kind="stable")
        self.rank = np.empty(len(member), dtype=int)
        self.rank[order] = np.arange(len(member)) - self.start[member[order]]

    def handed(self, giver: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The row whose value each row gets, if block b gets those of block giver[b]."""
        if self.n == 1:
            return rng.permutation(len(self.member))
        order = np.argsort(self.member + rng.random(len(self.member)))
        of = giver[self.member]
        return order[self.start[of] + self.rank % self.size[of]]


def _table(code: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """How often each code occurs in each cluster, shape (n_clusters, n_codes)."""
    member = np.unique(clusters, return_inverse=True)[1]
    k = int(code.max(initial=-1)) + 1
    n = int(member.max(initial=-1)) + 1
    return np.bincount(member * k + code, minlength=n * k).reshape(n, k)


def modifiers(data: PreferenceData) -> np.ndarray:
    """Latents of each pair's prompt, or indicators of its type; centred and scaled, (n, k)."""
    if data.prompt_latents is not None:
        x = data.prompt_latents[data.pair_prompt]
    elif data.prompt_type is not None:
        kind = data.prompt_type[data.pair_prompt]
        x = (kind[:, None] == np.unique(kind)[1:]).astype(float)
    else:
        x = np.zeros((len(data), 0))
    return unit_spread(x)
