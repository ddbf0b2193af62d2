"""All checks of one preference data set, as one report to read, to print and to compute with."""

from __future__ import annotations

import html
import importlib.metadata
import json
import math
import platform
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from causalpref.assumptions import (
    Picture,
    Report,
    Verdict,
    check_additivity,
    check_consistency,
    check_latent_positivity,
    check_positivity,
    check_sufficiency,
    check_unconfoundedness,
)
from causalpref.assumptions._fits import groups_of, sampled_rows
from causalpref.assumptions.confounding import Names, _names
from causalpref.assumptions.report import _MARK, STYLE, _html_table, number, table
from causalpref.data import PreferenceData
from causalpref.estimators import longer_preferred
from causalpref.sources.files import LAYOUTS, LoadedPreferences
from causalpref.statistics import cluster_proportion, folds, logistic_fit
from causalpref.text.conversations import first_turn
from causalpref.text.surface import (
    PROMPT_FEATURES,
    RESPONSE_FEATURES,
    prompt_features,
    surface_features,
)

__all__ = ["Audit", "audit", "baselines"]

_FORMAT = "causalpref.Audit/1"
_HASHED = (
    "hashed word 1-2-grams: of the prompt (128 columns) and of the two responses "
    "(128 columns, their mean) to tell the objective; of each response (256 columns) to "
    "tell the label"
)
_PACKAGES = ("causalpref", "numpy", "scipy", "pandas", "scikit-learn")
_MOST_TYPES = 12

Featuriser = Callable[[PreferenceData], PreferenceData]


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """What the checks found in a data set, how far no content goes, and how both were computed.

    Parameters
    ----------
    source : str
    simulated : bool
    counts : dict
        Of ``pairs``, ``prompts``, ``responses``, ``pairs_per_prompt`` (mean, most),
        ``objectives`` and ``prompt_types`` (by name), ``annotators``, ``repeated_pairs``,
        ``same_text_pairs`` (a response against itself).
    reading : dict
        ``order_known``, and where a file was read ``layout``, ``columns``, ``rows``, ``ties``,
        ``bad_rows`` (how many) and ``bad`` (the first twenty, each with its line).
    baselines : pandas.DataFrame
        See :func:`baselines`.
    reports : list of Report
        In the order of the assumptions.
    latents : str
        What stands for Z^T and Z^X, in a sentence.
    proxies : bool
        True when latents are read off the surface of the texts.
    notes : list of str
    settings : dict
        ``seed``, ``most_pairs``, ``pairs_of_texts`` (pairs that the checks of texts rest on),
        ``features``, ``versions``.
    """

    source: str
    simulated: bool
    counts: dict[str, Any]
    reading: dict[str, Any]
    baselines: pd.DataFrame
    reports: list[Report]
    latents: str
    proxies: bool
    notes: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The worst of the reports."""
        return max((r.verdict for r in self.reports), key=list(Verdict).index)

    @property
    def violated(self) -> bool:
        """True when a report says ``VIOLATED``."""
        return self.verdict is Verdict.VIOLATED

    @property
    def next_steps(self) -> list[tuple[Report, str]]:
        """What to do, for what is violated, strained, cannot be tested, and the rest."""
        first = [Verdict.VIOLATED, Verdict.STRAINED, Verdict.UNTESTABLE, Verdict.NOT_FOUND]
        return [
            (r, r.next_step) for r in sorted(self.reports, key=lambda r: first.index(r.verdict))
        ]

    def __repr__(self) -> str:
        return f"Audit({self.source!r}, {str(self.verdict)!r})"

    def __str__(self) -> str:
        """A summary of at most 40 lines of 80 characters."""
        lines = [f"Audit of {self.source}", *(f"  {line}" for line in self._about())]
        lines += ["", "Content-blind baselines (accuracy, 95 % interval)"]
        for row in self.baselines.head(7).itertuples():
            said = (
                f"{row.value:.3f}  ({row.low:.3f} to {row.high:.3f})"
                if _known(row.value)
                else row.note
            )
            lines.append(f"  {_cut(row.what, 43):<43}  {_cut(said, 33)}")
        lines += ["", f"Assumptions (the worst: {self.verdict})"]
        for r in self.reports:
            lines.append(
                f"{_MARK[r.verdict]} {_cut(_name(r), 21):<21} {r.verdict!s:<18} "
                f"{_cut(_finding(r), 37)}"
            )
        alarms = [r for r, _ in self.next_steps if r.verdict.alarm]
        lines.append("")
        for i, r in enumerate(alarms):
            block = textwrap.wrap(
                f"{_MARK[r.verdict]} {_name(r)}: {_clean(r.sentence)}",
                78,
                subsequent_indent="  ",
                max_lines=3,
                placeholder=" …",
            )
            if len(lines) + len(block) > 38:
                lines.append(f"  and {len(alarms) - i} more")
                break
            lines += block
        if not alarms:
            lines.append("No violation found does not mean that there is none.")
        return "\n".join(_cut(line, 80) for line in lines)

    def _about(self) -> list[str]:
        """What the data are, in a few lines."""
        n, read = self.counts, self.reading
        per = n["pairs_per_prompt"]
        lines = [
            f"{_count(n['pairs'], 'pair')}, {_count(n['responses'], 'response')}, "
            f"{_count(n['prompts'], 'prompt')} (at most {_count(per['most'], 'pair')} a "
            "prompt)"
        ]
        lines.append(
            "objective: "
            + (_shares(n["objectives"], 4) if n["objectives"] else "not recorded")
            + "; annotators: "
            + (f"{n['annotators']:,}" if n["annotators"] else "not recorded")
        )
        if "rows" in read:
            lines.append(
                f"{read['rows']:,} rows read, layout {read['layout']}: "
                f"{_count(read['ties'], 'tie')} and {_count(read['bad_rows'], 'bad row')} "
                "left out"
            )
        lines.append(
            f"{_count(n['repeated_pairs'], 'repeated pair')}; order shown: "
            + ("as in the file" if read["order_known"] else "not recorded")
        )
        return lines + textwrap.wrap(_clean(self.latents), 76, max_lines=3, placeholder=" …")

    # -- other forms --------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: None for what is not known, ``"Infinity"`` for infinite."""
        return _jsonable(
            {
                "format": _FORMAT,
                "version": importlib.metadata.version("causalpref"),
                "source": self.source,
                "simulated": self.simulated,
                "verdict": str(self.verdict),
                "violated": self.violated,
                "counts": self.counts,
                "reading": self.reading,
                "latents": self.latents,
                "proxies": self.proxies,
                "baselines": self.baselines.to_dict("records"),
                "reports": [r.to_dict() for r in self.reports],
                "next_steps": [
                    {"assumption": r.assumption, "verdict": str(r.verdict), "do": step}
                    for r, step in self.next_steps
                ],
                "notes": self.notes,
                "settings": self.settings,
            }
        )

    def to_json(self) -> str:
        """:meth:`to_dict` as strict JSON, ASCII only."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def to_frame(self) -> pd.DataFrame:
        """One row a report."""
        return pd.concat([r.to_frame() for r in self.reports], ignore_index=True)

    def _repr_html_(self) -> str:
        kind = self.verdict.name.lower().replace("_", "-")
        return (
            f'<style>{STYLE}</style><section class="cp-report cp-{kind}">'
            f"<h3>Audit of {_html(self.source)}</h3>"
            + "".join(f"<p>{_html(line)}</p>" for line in self._about()[:1] + [self.latents])
            + _html_table(self._overview())
            + _html_table(_shown(self.baselines))
            + "<p>The whole report: <code>to_html()</code>.</p></section>"
        )

    def _overview(self) -> pd.DataFrame:
        return pd.DataFrame(
            [
                {
                    "assumption": _name(r),
                    "verdict": f"{_MARK[r.verdict]} {r.verdict}",
                    "finding": r.sentence,
                }
                for r in self.reports
            ]
        )

    def to_html(self) -> str:
        """One page that needs nothing else: no script, no font, no picture from elsewhere.

        Every text from the data is escaped.
        """
        return _page(self)


# -- the audit ---------------------------------------------------------------


def audit(
    data: PreferenceData | LoadedPreferences,
    *,
    names: Names | None = None,
    order_known: bool | None = None,
    latents: Literal["auto", "own", "surface"] = "auto",
    features: Literal["auto", "hashed"] | np.ndarray | Featuriser | None = "auto",
    groups: Sequence[Any] | None = None,
    most_pairs: int = 20_000,
    seed: int = 0,
    notes: Sequence[str] = (),
    progress: bool = False,
) -> Audit:
    """Make every check on a data set, with the content-blind baselines.

    Parameters
    ----------
    data : PreferenceData or LoadedPreferences
        What :func:`causalpref.sources.load_preferences` returns says more: names, ties, bad rows,
        whether the order shown is known.
    names : mapping, optional
        As for the checks. Default: those that were read.
    order_known : bool, optional
        Default: what was read, else True.
    latents : {"auto", "own", "surface"}
        ``"surface"`` takes the features of :mod:`causalpref.text.surface`, which are proxies;
        ``"own"`` those of the data only; ``"auto"`` those of the data, and the surface of
        responses or of prompts where the data have none. Features that never differ within a pair
        are left out, with a note.
    features : str, array, callable or None
        What the checks know of the texts. ``"hashed"``: hashed word n-grams. A callable adds
        ``embeddings`` to the data it is given (``lambda d: embed(d, MODEL)``), and gets the
        subsample only. An array of shape (n_pairs, q) to tell the objective from. None: no text is
        looked at. ``"auto"``: the embeddings of the data, else hashed.
    groups : sequence, shape (n_prompts,), optional
        Prompts with the same value are kept together. Default: those that open with the same
        human turn (:func:`causalpref.text.conversations.first_turn`).
    most_pairs : int
        Checks that look at texts draw at most so many, whole groups at a time.
    seed : int
    notes : sequence of str
        Shown in the report.
    progress : bool
        Say on stderr what is done and how many seconds it took.

    Returns
    -------
    Audit

    Raises
    ------
    ValueError
        An argument that is not understood; features of the wrong shape or not finite.

    Notes
    -----
    The surface is nobody's claim to be all that matters. Where it stands in for the latents, a
    violation of latent sufficiency is therefore reported as strained.
    """
    if latents not in ("auto", "own", "surface"):
        raise ValueError(f"latents is {latents!r}, expected 'auto', 'own' or 'surface'")
    if isinstance(features, str) and features not in ("auto", "hashed"):
        raise ValueError(
            f"features is {features!r}, expected 'auto', 'hashed', an array, a function or None"
        )
    if most_pairs < 1:
        raise ValueError(f"most_pairs is {most_pairs}, expected 1 or more")
    loaded = data if isinstance(data, LoadedPreferences) else None
    names, notes = dict(names or {}), list(notes)
    if isinstance(data, LoadedPreferences):
        data, notes = data.data, [*data.notes, *notes]
    names = {**data.names, **names}
    if order_known is None:
        order_known = data.order_known

    with staged("reading the surface of the texts", progress):
        group = groups_of(data, first_turn(data.prompts) if groups is None else groups)
        surface = surface_features(data.responses)
        data, names, said, derived = _with_latents(data, names, latents, surface, notes)
    with staged("content-blind baselines", progress):
        blind = baselines(
            data, order_known=order_known, names=names, groups=group, seed=seed, surface=surface
        )
    with staged("features of the texts", progress):
        # whole groups of prompts, by the rule that the checks have for themselves
        rows = sampled_rows(data, most_pairs, np.random.default_rng(seed), group)
        part_group = group[np.unique(data.pair_prompt[rows])]
        given = isinstance(features, np.ndarray)
        if given and (features.ndim != 2 or len(features) != len(data)):
            raise ValueError(
                f"features has shape {features.shape}, expected ({len(data)}, any): one row a pair"
            )
        part, x, looked = _with_features(
            data.select(rows).compact(), features[rows] if given else features
        )
    plain = data if data.embeddings is None else data.replace(embeddings=None)
    contexts = 0 if data.objective is None else len(np.unique(data.objective))
    told, told_group = (part, part_group) if contexts > 1 else (plain, group)
    x = x if contexts > 1 else None
    drawn: dict[str, Any] = {
        "names": names,
        "most_pairs": len(told),
        "seed": seed,
        "features": x,
        "groups": told_group,
    }
    reports = []
    for name, check in (
        ("consistency", lambda: check_consistency(plain, order_known=order_known, names=names)),
        ("unconfoundedness", lambda: check_unconfoundedness(told, **drawn)),
        ("positivity", lambda: check_positivity(told, **drawn)),
        (
            "latent sufficiency",
            lambda: check_sufficiency(part, groups=part_group, most_pairs=len(part), seed=seed),
        ),
        ("latent positivity", lambda: check_latent_positivity(plain, names=names)),
        ("additivity", lambda: check_additivity(plain, names=names, groups=group)),
    ):
        with staged(name, progress):
            reports.append(check())
    reports = [_of_proxies(r, derived, contexts) for r in reports]

    reading: dict[str, Any] = {"order_known": order_known}
    if loaded is not None:
        reading |= {
            "layout": loaded.layout,
            "columns": list(LAYOUTS.get(loaded.layout, ())),
            "rows": loaded.rows,
            "ties": loaded.ties,
            "bad_rows": len(loaded.bad),
            "bad": [str(b) for b in loaded.bad[:20]],
        }
    return Audit(
        data.source,
        data.simulated,
        _counts(data, names),
        reading,
        blind,
        reports,
        said,
        bool(derived),
        notes,
        {
            "seed": seed,
            "most_pairs": most_pairs,
            "pairs_of_texts": len(part),
            "features": looked,
            "groups": "those that open with the same human turn" if groups is None else "as given",
            "versions": _versions(),
        },
    )


@contextmanager
def staged(name: str, progress: bool) -> Iterator[None]:
    """Say on stderr, if ``progress``, what was done and how many seconds it took."""
    start = time.perf_counter()
    yield
    if progress:
        print(f"{time.perf_counter() - start:7.1f} s  {name}", file=sys.stderr, flush=True)


def _with_latents(
    data: PreferenceData,
    names: dict[str, Any],
    latents: str,
    surface: pd.DataFrame,
    notes: list[str],
) -> tuple[PreferenceData, dict[str, Any], str, set[str]]:
    """The data with latents, their names, a sentence about them, and which are proxies."""
    names = dict(names)
    proxies = latents == "surface" or (latents == "auto" and data.response_latents is None)
    fields: dict[str, Any] = {}
    if proxies:
        z = surface.to_numpy()
        first, second = data.pairs.T
        differs = (z[first] != z[second]).any(axis=0)
        names["response_latents"] = [n for n, d in zip(RESPONSE_FEATURES, differs) if d]
        fields["response_latents"] = z[:, differs] if differs.any() else None
        for name in np.array(RESPONSE_FEATURES)[~differs]:
            notes.append(
                f"The two responses of a pair never differ in {name}: it is left out of "
                "the surface latents."
            )
    of_prompts = latents == "surface" or (
        latents == "auto" and data.prompt_latents is None and (proxies or data.prompt_type is None)
    )
    if of_prompts:
        x = prompt_features(data.prompts).to_numpy()
        labels = [f"prompt {name}" for name in PROMPT_FEATURES]
        types = np.unique(data.prompt_type) if data.prompt_type is not None else np.empty(0)
        if 2 <= len(types) <= _MOST_TYPES:
            said = _types(names, types)
            x = np.column_stack([x, data.prompt_type[:, None] == types[1:]])
            labels += [f"prompt type {name}" for name in said[1:]]
        used = np.unique(data.pair_prompt)
        varies = np.ptp(x[used], axis=0) > 0
        names["prompt_latents"] = [n for n, v in zip(labels, varies) if v]
        fields["prompt_latents"] = x[:, varies] if varies.any() else None
    if fields:
        data = data.replace(**fields)
    derived = {
        k
        for k, d in (("response_latents", proxies), ("prompt_latents", of_prompts))
        if d and getattr(data, k) is not None
    }
    parts = []
    for symbol, kind in (("Z^T", "response_latents"), ("Z^X", "prompt_latents")):
        values = getattr(data, kind)
        if values is not None:
            labels = _names(names, kind, range(values.shape[1]), f"{symbol}_")
            whence = " (surface)" if kind in derived else " (in the data)"
            parts.append(f"{symbol} = {', '.join(labels)}{whence}")
    sentence = "; ".join(parts) or "Latents: none"
    if derived:
        sentence = (
            "Latents read off the surface are proxies, not what people had in mind: " + sentence
        )
    elif parts:
        sentence = "Latents: " + sentence
    return data, names, sentence + ".", derived


def _with_features(
    part: PreferenceData, features: Any
) -> tuple[PreferenceData, np.ndarray | None, str]:
    """Pairs with embeddings, what tells their objective (None: these), and how, in words."""
    if features is None:
        return part, None, "not looked at" if part.embeddings is None else "embeddings of the data"
    if callable(features):
        embedded = features(part)
        if embedded.embeddings is None or not np.array_equal(embedded.pairs, part.pairs):
            raise ValueError(
                "features, a function, must return the data it is given with embeddings"
            )
        return embedded, None, "embeddings of a language model"
    if isinstance(features, np.ndarray):
        if part.embeddings is None:
            part = part.replace(embeddings=_hashed(part.responses, 256))
        return part, features, "features that were passed"
    if features == "auto" and part.embeddings is not None:
        return part, None, "embeddings of the data"
    e = _hashed(part.responses, 256)
    first, second = part.pairs.T
    # hashes of 256 columns folded once are hashes of 128
    both = (e[first] + e[second]).reshape(len(part), 2, 128).sum(axis=1) / 2
    x = np.column_stack([_hashed(part.prompts, 128)[part.pair_prompt], both])
    return part.replace(embeddings=e), x, _HASHED


def _hashed(texts: np.ndarray, n_features: int) -> np.ndarray:
    """As :func:`causalpref.text.embedding.hashed_ngrams`, without importing PyTorch for it."""
    from sklearn.feature_extraction.text import HashingVectorizer

    counts = HashingVectorizer(
        n_features=n_features, ngram_range=(1, 2), dtype=np.float32, token_pattern=r"(?u)\b\w+\b"
    )
    return counts.transform(texts).toarray()


def _of_proxies(report: Report, derived: set[str], contexts: int) -> Report:
    """The report, where it rests on latents read off the surface, with a word on these."""
    about = report.assumption
    rests = {
        "2": {"response_latents"} if contexts < 2 else set(),
        "4": {"response_latents"},
        "5": {"response_latents", "prompt_latents"},
        "t": {"response_latents", "prompt_latents"},
    }.get(about[0], set())
    if not rests & derived or (report.verdict is Verdict.UNTESTABLE and not len(report.evidence)):
        return report
    which = "latents" if "response_latents" in derived else "latents of the prompt"
    changes: dict[str, Any] = {
        "blind": f"{report.blind}; and what stands behind the surface, which is a proxy",
        "sentence": f"{report.sentence} The {which} here are surface proxies.",
    }
    if about.startswith("4") and report.verdict is Verdict.VIOLATED:
        changes |= {
            "verdict": Verdict.STRAINED,
            "sentence": f"{report.sentence} The latents here are surface proxies, of which nobody "
            "claims that they suffice: hence strained, not violated.",
        }
    return replace(report, **changes)


# -- baselines ---------------------------------------------------------------


def baselines(
    data: PreferenceData,
    *,
    order_known: bool = True,
    names: Names | None = None,
    groups: Sequence[Any] | None = None,
    seed: int | np.random.Generator = 0,
    surface: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """How often one is right about the label without reading: by length, place, formatting.

    A reward model's accuracy has to be read against these.

    Parameters
    ----------
    data : PreferenceData
    order_known : bool
        False when the order shown was not recorded: place predicts nothing then.
    names : mapping, optional
        ``"objective"``.
    groups : sequence, shape (n_prompts,), optional
        Prompts with the same value are neither independent nor on two sides of a fit. Default:
        each prompt on its own.
    seed : int or numpy.random.Generator
        For the folds.
    surface : pandas.DataFrame, optional
        Of :func:`causalpref.text.surface.surface_features`, when it was computed before.

    Returns
    -------
    pandas.DataFrame
        ``what``, ``value`` (accuracy, a coin for ties; None where it makes no sense), ``low``,
        ``high`` (95 %, robust to dependence within groups), ``n`` (pairs), ``note``. Rules are
        turned round where that makes them better, and are then called so; the logistic
        regression on the surface is cross-fitted. With two to six objectives, "the longer one
        wins" follows for each, not turned round.
    """
    if surface is None:
        surface = surface_features(data.responses)
    group = groups_of(data, groups)[data.pair_prompt]
    first, second = data.pairs.T
    n, y = len(data), data.label
    longer = longer_preferred(data)
    rows = [
        _rule(
            longer,
            group,
            "the longer one wins",
            "the shorter one wins",
            f"{(longer == 0.5).mean():.1%} of pairs are equally long"
            if (longer == 0.5).any()
            else "",
        )
    ]
    if order_known and 0 < y.sum() < n:
        rows.append(_rule(y.astype(float), group, "the first one wins", "the second one wins", ""))
    else:
        rows.append(
            {
                "what": "the first one wins",
                "n": n,
                "note": "order shown not recorded"
                if not order_known
                else "all labels are the same",
            }
        )
    marks = surface["formatting"].to_numpy()
    gap = marks[first] - marks[second]
    if gap.any():
        rows.append(
            _rule(
                np.where(gap == 0, 0.5, (gap > 0) == (y == 1)),
                group,
                "the one with more formatting wins",
                "the one with less formatting wins",
                f"{(gap == 0).mean():.1%} of pairs have equally much",
            )
        )
    z = surface[list(RESPONSE_FEATURES)].to_numpy()
    d = z[first] - z[second]
    size = np.sqrt((d**2).mean(axis=0))
    d = d[:, size > 1e-9] / size[size > 1e-9]
    kept = [name for name, s in zip(RESPONSE_FEATURES, size) if s > 1e-9]
    what = "logistic regression on the surface"
    if n < 20 or len(np.unique(group)) < 5 or not kept:
        rows.append(
            {
                "what": what,
                "n": n,
                "note": "too few pairs" if kept else "the surface never differs within a pair",
            }
        )
    else:
        fold = folds(group, 5, seed=seed)
        margin = np.zeros(n)
        for k in range(fold.max() + 1):
            held = fold == k
            margin[held] = (
                d[held] @ logistic_fit(d[~held], y[~held].astype(float), ridge=1.0).weights
            )
        hit = np.where(margin == 0, 0.5, (margin > 0) == (y == 1))
        rows.append(
            _rule(hit, group, what, "", f"cross-fitted, on differences in {', '.join(kept)}")
        )
    values = np.empty(0) if data.objective is None else np.unique(data.objective)
    if 2 <= len(values) <= 6:
        for value, name in zip(values, _names(names, "objective", values)):
            here = data.objective == value
            rows.append(
                _rule(longer[here], group[here], f"the longer one wins, objective {name}", "", "")
            )
    return table(rows).drop(columns="p_value")


def _rule(
    hit: np.ndarray, group: np.ndarray, what: str, opposite: str, note: str
) -> dict[str, Any]:
    """A row for a rule that is right where ``hit`` is 1, or for its opposite if that is better."""
    if opposite and hit.mean() < 0.5:
        hit, what = 1 - hit, opposite
    rate = cluster_proportion(hit, group)
    return {
        "what": what,
        "value": rate.value,
        "low": rate.low,
        "high": rate.high,
        "n": rate.n,
        "note": note,
    }


# -- what the data are ---------------------------------------------------------


def _counts(data: PreferenceData, names: Names) -> dict[str, Any]:
    prompt, per_prompt = np.unique(data.pair_prompt, return_counts=True)
    counts: dict[str, Any] = {
        "pairs": len(data),
        "prompts": len(prompt),
        "responses": len(np.unique(data.pairs)),
        "pairs_per_prompt": {"mean": float(per_prompt.mean()), "most": int(per_prompt.max())},
        "objectives": None,
        "prompt_types": None,
        "annotators": None,
        "repeated_pairs": int(data.duplicated().sum()),
        "same_text_pairs": int((data.pairs[:, 0] == data.pairs[:, 1]).sum()),
    }
    for key, kind, values in (
        ("objectives", "objective", data.objective),
        ("prompt_types", "prompt_type", data.prompt_type),
    ):
        if values is not None:
            values = values if kind == "objective" else values[data.pair_prompt]
            codes, sizes = np.unique(values, return_counts=True)
            said = (
                _names(names, kind, codes)
                if kind == "objective"
                else [f"type {t}" if t.isdecimal() else t for t in _types(names, codes)]
            )
            counts[key] = {name: int(size) for name, size in zip(said, sizes)}
    if data.annotator is not None:
        counts["annotators"] = len(np.unique(data.annotator))
    return counts


def _types(names: Names, codes: np.ndarray) -> list[str]:
    """Names of types of prompts; a code without one is its own."""
    known = list(names.get("prompt_type", ()))
    return [known[c] if 0 <= c < len(known) else str(c) for c in codes.tolist()]


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {
        package: importlib.metadata.version(package) for package in _PACKAGES
    }


# -- words ---------------------------------------------------------------------


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _count(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def _clean(text: Any) -> str:
    """One line that a terminal shows as it is: no control characters."""
    flat = " ".join(str(text).split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in flat)


def _cut(text: Any, width: int) -> str:
    """The text in at most so many characters, leading spaces kept."""
    text = str(text)
    indent = text[: len(text) - len(text.lstrip(" "))]
    flat = indent + "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text.strip(" ")
    )
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def _shares(counts: Mapping[str, int], most: int) -> str:
    shown = sorted(counts.items(), key=lambda item: -item[1])
    text = ", ".join(f"{_cut(_clean(name), 30)} {size:,}" for name, size in shown[:most])
    return text + (f" and {len(shown) - most:,} more" if len(shown) > most else "")


def _name(report: Report) -> str:
    return report.assumption.removeprefix("that ").removesuffix(" (3.2)")


_SHORT = {
    "P(first preferred)": "first wins",
    "P(the next triple is new)": "P(new triple)",
    "disagreement of one person with themselves": "two answers",
    "AUC of guessing the objective from the texts": "AUC",
    "gain in accuracy from the embedding": "gain",
    "largest variance inflation": "variance inflation",
    "chi squared / df of the interactions": "chi²/df",
}


def _finding(report: Report) -> str:
    """The statistic in few characters."""
    if report.value is None:
        return ""
    statistic = _SHORT.get(report.statistic, report.statistic)
    if statistic.startswith("share of prompts"):
        statistic = "poor overlap"
    text = f"{statistic} {number(report.value)}"
    if report.low is not None and report.high is not None:
        text += f" ({number(report.low)} to {number(report.high)})"
    elif report.p_value is not None:
        text += f", p {'< 0.001' if report.p_value < 0.001 else f'= {report.p_value:.3f}'}"
    return text


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


# -- the page --------------------------------------------------------------------

_CSS = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #222832; --link: #0a5c9e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14181e; --ink: #ced6dd; --link: #7cc0f5; } }
@media print { :root { color-scheme: light; --page: #ffffff; --ink: #000000; --link: #000000; }
  nav { display: none; } h2, h3 { break-after: avoid; }
  .cp-figure, .cp-table { overflow: visible !important; break-inside: avoid; } }
* { box-sizing: border-box; }
body { max-width: 48rem; margin: 0 auto; padding: 1rem 1rem 4rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { margin-top: 2.5rem; font-size: 1.3rem; }
a { color: var(--link); } nav ol { padding-left: 1.25rem; } li { margin: 0.25rem 0; }
.findings { padding: 0; list-style: none; } .findings li { margin: 0.75rem 0; }
.cp-report { margin: 1.5rem 0 2.5rem; }
""".strip()

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def _html(text: Any) -> str:
    return html.escape(str(text))


def _anchor(report: Report) -> str:
    return "check-" + (report.assumption[0] if report.assumption[0].isdigit() else "additive")


def _shown(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(columns={"what": "rule", "value": "accuracy"})


def _page(audit: Audit) -> str:
    from causalpref import figures

    title = f"Audit of {audit.source}"
    urgent = [
        (r, step)
        for r, step in audit.next_steps
        if r.verdict.alarm or r.verdict is Verdict.UNTESTABLE
    ]
    worst = {
        Verdict.VIOLATED: "Something is violated.",
        Verdict.STRAINED: "Something is strained.",
        Verdict.NOT_FOUND: "No violation was found, which does not mean that there is none.",
        Verdict.UNTESTABLE: "Nothing could be tested.",
    }[audit.verdict]
    known = audit.baselines[audit.baselines["value"].map(_known)]
    picture = Picture(
        "intervals",
        known,
        "accuracy",
        (0.5,),
        "Dots with 95 % intervals, accuracies: "
        + "; ".join(f"{r.what} {r.value:.3f}" for r in known.itertuples())
        + ".",
    )
    sections = [
        (
            "findings",
            "Findings",
            [
                f"<p><strong>{worst}</strong> {_html(audit.latents)}</p>",
                '<ul class="findings">',
                *(
                    f'<li><a href="#{_anchor(r)}">{_html(_name(r))}</a> <span class="cp-verdict">'
                    f"{_MARK[r.verdict]} {_html(r.verdict)}</span><br>{_html(r.sentence)}</li>"
                    for r in audit.reports
                ),
                "</ul>",
                "<p>No check can say that an assumption holds. Each errs by itself in up to 5 % of "
                "sound data sets, so one false alarm among six checks is not rare.</p>",
            ],
        ),
        ("data", "The data", _data_section(audit)),
        (
            "baselines",
            "Content-blind baselines",
            [
                "<p>How often the label is predicted without looking at what is said. A reward model's "
                "accuracy has to be read against these: one that is right no more often has shown no "
                "grasp of content.</p>",
                f'<div class="cp-figure">{figures.evidence(picture, title="Baselines").svg}</div>',
                _html_table(_shown(audit.baselines)),
            ],
        ),
        (
            "checks",
            "The checks",
            [f'<div id="{_anchor(r)}">{r.to_html(style=False)}</div>' for r in audit.reports],
        ),
        (
            "next",
            "What to collect next",
            [
                "<ol>",
                *(
                    f"<li><strong>{_html(_name(r))}</strong> ({_html(r.verdict)}): {_html(step)}</li>"
                    for r, step in urgent
                ),
                "</ol>",
            ]
            if urgent
            else ["<p>Nothing urgent; each check says above what would sharpen it.</p>"],
        ),
        ("how", "How this was computed", _how_section(audit)),
    ]
    contents = "".join(f'<li><a href="#{key}">{name}</a></li>' for key, name, _ in sections)
    body = "".join(
        f'<section><h2 id="{key}">{name}</h2>{"".join(parts)}</section>'
        for key, name, parts in sections
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_html(title)}</title>\n<style>\n{STYLE}\n{_CSS}\n</style>\n</head>\n<body>\n"
        f"<main>\n<h1>{_html(title)}</h1>\n<p>{_html(audit._about()[0])}"
        f"{' Simulated.' if audit.simulated else ''}</p>\n"
        f'<nav aria-label="Contents"><ol>{contents}</ol></nav>\n{body}\n</main>\n</body>\n'
        "</html>\n"
    )


def _data_section(audit: Audit) -> list[str]:
    n, read = audit.counts, audit.reading
    rows = [
        ("pairs", f"{n['pairs']:,}"),
        ("prompts", f"{n['prompts']:,}"),
        ("responses", f"{n['responses']:,}"),
        (
            "pairs a prompt",
            f"{n['pairs_per_prompt']['mean']:.2f} on average, "
            f"{n['pairs_per_prompt']['most']:,} at most",
        ),
        ("objectives", _shares(n["objectives"], 12) if n["objectives"] else "not recorded"),
        (
            "types of prompts",
            _shares(n["prompt_types"], 12) + " (pairs)" if n["prompt_types"] else "not recorded",
        ),
        ("annotators", f"{n['annotators']:,}" if n["annotators"] else "not recorded"),
        ("pairs that repeat an earlier one", f"{n['repeated_pairs']:,}"),
        ("pairs of a response with itself", f"{n['same_text_pairs']:,}"),
        (
            "order shown",
            "as in the file"
            if read["order_known"]
            else "not recorded; dealt by a coin, so place means nothing",
        ),
    ]
    if "rows" in read:
        rows += [
            ("rows read", f"{read['rows']:,}"),
            ("layout", read["layout"]),
            ("columns of the layout", ", ".join(read["columns"]) or "its own"),
            ("ties, left out", f"{read['ties']:,}"),
            ("bad rows, left out", f"{read['bad_rows']:,}"),
        ]
    parts = [_html_table(pd.DataFrame(rows, columns=["what", "how many"]))]
    if read.get("bad"):
        parts += ["<h3>Bad rows</h3><ul>", *(f"<li>{_html(b)}</li>" for b in read["bad"])]
        more = read["bad_rows"] - len(read["bad"])
        parts.append((f"<li>and {more:,} more</li>" if more else "") + "</ul>")
    if audit.notes:
        parts += ["<h3>Notes</h3><ul>", *(f"<li>{_html(t)}</li>" for t in audit.notes), "</ul>"]
    return parts


def _how_section(audit: Audit) -> list[str]:
    s = audit.settings
    used, n = s["pairs_of_texts"], audit.counts["pairs"]
    said = (
        f"all {n:,} pairs"
        if used == n
        else f"{used:,} of the {n:,} pairs, whole groups of prompts drawn at random"
    )
    rows = [
        ("seed", str(s["seed"])),
        ("texts", s["features"]),
        ("checks of texts rest on", said),
        ("other checks and baselines rest on", f"all {n:,} pairs"),
        ("prompts kept together", s["groups"]),
        ("versions", ", ".join(f"{k} {v}" for k, v in s["versions"].items())),
    ]
    return [_html_table(pd.DataFrame(rows, columns=["what", "how"]))]
