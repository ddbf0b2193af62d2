"""The audit: what was read, its contents, latents, baselines and checks of one data set."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from causalpref.assumptions import Report, Settings, Verdict, group_openings, run_checks
from causalpref.auditing._baselines import baselines
from causalpref.auditing._result import Audit
from causalpref.data import PreferenceData, contents, example_pairs, shared_prompts
from causalpref.sources.files import LAYOUTS, LoadedPreferences, load_preferences
from causalpref.text.surface import (
    PROMPT_FEATURES,
    RESPONSE_FEATURES,
    language_notes,
    prompt_features,
    surface_features,
)

if TYPE_CHECKING:
    import datasets

    Readable = (
        str
        | os.PathLike[str]
        | datasets.Dataset
        | pd.DataFrame
        | Sequence[Mapping[str, Any]]
        | PreferenceData
        | LoadedPreferences
    )

__all__ = ["audit", "staged"]

_PACKAGES = ("causalpref", "numpy", "scipy", "pandas", "scikit-learn")
_MOST_TYPES = 12
_MOST_BAD = 1000

Featuriser = Callable[[PreferenceData], PreferenceData]


def audit(
    data: Readable,
    *,
    against: Readable | None = None,
    latents: Literal["auto", "own", "surface"] = "auto",
    features: Literal["auto", "hashed"] | np.ndarray | Featuriser | None = "auto",
    most_pairs: int = 20_000,
    seed: int | np.random.Generator = 0,
    notes: Sequence[str] = (),
    progress: bool = False,
    **read: Any,
) -> Audit:
    """Look at what a data set holds and make every check on it, with content-blind baselines.

    Parameters
    ----------
    data : path, str, datasets.Dataset, pandas.DataFrame, sequence of mappings, or preference data
        Whatever :func:`causalpref.load_preferences` reads, what it returned, or
        :class:`~causalpref.PreferenceData`. Data that were read here, and what
        ``load_preferences`` returned, also tell how many rows were lost, what the label was taken
        to mean, the ties and the columns that were not read.
        Prompts of one ``prompt_group`` are kept together; without groups, those that open with
        the same human turn.
    against : the same, optional
        A second data set, for example the test data of a model that is trained on ``data``.
        Prompts that both have, exactly or but for blanks and case, are a finding. Nothing
        else is checked of it.
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
    most_pairs : int
        Checks that look at texts draw at most so many, whole groups at a time.
    seed : int or numpy.random.Generator
    notes : sequence of str
        Shown in the report.
    progress : bool
        Say on stderr what is done and how many seconds it took.
    **read
        Options of :func:`causalpref.load_preferences`, such as ``layout``, ``columns`` or
        ``label_values``, for ``data`` and ``against``. A layout that is not given is guessed for
        each of the two separately.

    Returns
    -------
    Audit

    Raises
    ------
    TypeError
        Something that is no preference data and cannot be read; an option for reading when there
        is nothing to read.
    ValueError
        Rows that cannot be read, see :func:`causalpref.load_preferences`; an argument that is not
        understood; features of the wrong shape or not finite.
    FileNotFoundError, ImportError
        See :func:`causalpref.load_preferences`.

    Notes
    -----
    The surface is nobody's claim to be all that matters. Where it is used for the latents, a
    violation of latent sufficiency is therefore reported as strained.
    """
    if latents not in ("auto", "own", "surface"):
        raise ValueError(f"latents is {latents!r}, expected 'auto', 'own' or 'surface'")
    settings = Settings(features, most_pairs, seed=seed)
    stage = functools.partial(staged, progress=progress)
    given = [data] if against is None else [data, against]
    if read and not any(map(_unread, given)):
        raise TypeError(
            f"audit got {next(iter(read))!r}, an option for reading, but the data have been read "
            "before: give this option to load_preferences"
        )
    data, loaded = _read(data, read, seed, stage)
    notes = [*(loaded.notes if loaded else ()), *notes]
    with stage("looking at repeated and empty texts"):
        found, examples = contents(data), example_pairs(data)
    reading: dict[str, Any] = {"order_known": data.order_known} | _reading(loaded)
    if against is not None:
        other, loaded = _read(against, read, seed, stage)
        with stage("comparing the prompts of the two data sets"):
            shared = shared_prompts(data, other)
        reading["against"] = {"source": other.source, "pairs": len(other)} | _reading(loaded)
        reading["against"]["shared_prompts"] = shared.exact + shared.near
        names = [_short_name(data), _short_name(other)]
        if names[0] == names[1]:
            names = ["the first data set", "the second data set"]
        if shared:
            found.insert(0, shared.finding(*names))
        else:
            notes.append(shared.sentence(*names))
    groups = "as in the data"
    if data.prompt_group is None:
        groups = "those that open with the same human turn"
    with stage("reading the surface of the texts"):
        data = group_openings(data)
        surface = surface_features(data.responses)
        data, said, derived = _with_latents(data, latents, surface, notes)
        notes += language_notes(data.responses)
    with stage("content-blind baselines"):
        blind = baselines(data, seed=seed, surface=surface)
    checked = run_checks(data, settings, stage=stage)
    return Audit(
        data.source,
        data.simulated,
        _counts(data),
        reading,
        blind,
        [_of_proxies(r, derived) for r in checked.reports],
        said,
        bool(derived),
        found,
        examples,
        notes,
        {
            "seed": seed if isinstance(seed, int) else "a generator",
            "most_pairs": most_pairs,
            "pairs_of_texts": checked.n_texts,
            "features": checked.features,
            "groups": groups,
            "versions": {"python": platform.python_version()}
            | {package: importlib.metadata.version(package) for package in _PACKAGES},
        },
    )


def _unread(data: Any) -> bool:
    return not isinstance(data, (PreferenceData, LoadedPreferences))


def _read(
    data: Any, read: Mapping[str, Any], seed: int | np.random.Generator, stage: Callable[[str], Any]
) -> tuple[PreferenceData, LoadedPreferences | None]:
    """The pairs, and what is known of how they were read."""
    if _unread(data):
        with stage("reading the data"):
            options: dict[str, Any] = {"seed": seed, **read}
            data = load_preferences(data, **options)
    return (data.data, data) if isinstance(data, LoadedPreferences) else (data, None)


def _short_name(data: PreferenceData) -> str:
    """The source without the number of pairs, which :func:`load_preferences` puts behind it."""
    name = data.source.removesuffix(f" ({len(data):,} pair{'' if len(data) == 1 else 's'})")
    return name if len(name) <= 60 else f"…{name[-59:]}"


@contextmanager
def staged(name: str, progress: bool) -> Iterator[None]:
    """Say on stderr, if ``progress``, what was done and how many seconds it took."""
    start = time.perf_counter()
    yield
    if progress:
        print(f"{time.perf_counter() - start:7.1f} s  {name}", file=sys.stderr, flush=True)


# -- latents -------------------------------------------------------------------


def _with_latents(
    data: PreferenceData, latents: str, surface: pd.DataFrame, notes: list[str]
) -> tuple[PreferenceData, str, set[str]]:
    """The data with latents, a sentence about them, and which are proxies."""
    responses = latents == "surface" or (latents == "auto" and data.response_latents is None)
    prompts = latents == "surface" or (
        latents == "auto"
        and data.prompt_latents is None
        and (responses or data.prompt_type is None)
    )
    fields: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if responses:
        z = surface.to_numpy()
        differs = (z[data.pairs[:, 0]] != z[data.pairs[:, 1]]).any(axis=0)
        fields["response_latents"] = z[:, differs], np.array(RESPONSE_FEATURES)[differs]
        if not differs.all():
            left = ", ".join(np.array(RESPONSE_FEATURES)[~differs])
            notes.append(
                f"Left out of the surface latents, because the two responses of a pair never "
                f"differ in them: {left}."
            )
    if prompts:
        x, labels = _of_prompts(data)
        varies = np.ptp(x[np.unique(data.pair_prompt)], axis=0) > 0
        fields["prompt_latents"] = x[:, varies], np.array(labels)[varies]
    if fields:
        names = {**data.names, **{kind: v[1].tolist() for kind, v in fields.items()}}
        values = {kind: v[0] if v[0].size else None for kind, v in fields.items()}
        data = data.replace(names=names, **values)
    derived = {kind for kind in fields if getattr(data, kind) is not None}
    parts = [
        f"{symbol} = {', '.join(data.names_of(kind))} "
        f"({'surface' if kind in derived else 'in the data'})"
        for symbol, kind in (("Z^T", "response_latents"), ("Z^X", "prompt_latents"))
        if getattr(data, kind) is not None
    ]
    if not parts:
        return data, "Latents: none.", derived
    so = "Latents"
    if derived:
        so = "Latents read off the surface are proxies, not what people had in mind"
    return data, f"{so}: {'; '.join(parts)}.", derived


def _of_prompts(data: PreferenceData) -> tuple[np.ndarray, list[str]]:
    """The surface of the prompts, with their types where there are a few, and the names."""
    x = prompt_features(data.prompts).to_numpy()
    labels = [f"prompt {name}" for name in PROMPT_FEATURES]
    types = np.empty(0) if data.prompt_type is None else np.unique(data.prompt_type)
    if 2 <= len(types) <= _MOST_TYPES:
        x = np.column_stack([x, data.prompt_type[:, None] == types[1:]])
        labels += [f"prompt {name}" for name in _types(data, types[1:])]
    return x, labels


def _types(data: PreferenceData, codes: np.ndarray) -> list[str]:
    """Names of types of prompts, each with the word type."""
    names = data.names_of("prompt_type", codes)
    return [name if name.startswith("type ") else f"type {name}" for name in names]


def _of_proxies(report: Report, derived: set[str]) -> Report:
    """The report, where it rests on latents read off the surface, with a word on these."""
    unseen = report.verdict is Verdict.UNTESTABLE and not len(report.evidence)
    if unseen or not derived.intersection(report.rests_on):
        return report
    which = "latents" if "response_latents" in derived else "latents of the prompt"
    blind = f"{report.blind}; and what stands behind the surface, which is a proxy"
    said = f"{report.sentence} The {which} here are surface proxies"
    if report.key == "sufficiency" and report.verdict is Verdict.VIOLATED:
        said += ", of which nobody claims that they suffice: hence strained, not violated"
        report = replace(report, verdict=Verdict.STRAINED)
    return replace(report, blind=blind, sentence=f"{said}.")


# -- what the data are ---------------------------------------------------------


def _counts(data: PreferenceData) -> dict[str, Any]:
    prompt, per_prompt = np.unique(data.pair_prompt, return_counts=True)
    objectives = types = annotators = None
    if data.objective is not None:
        codes, sizes = np.unique(data.objective, return_counts=True)
        objectives = dict(zip(data.names_of("objective", codes), sizes.tolist()))
    if data.prompt_type is not None:
        codes, sizes = np.unique(data.prompt_type[data.pair_prompt], return_counts=True)
        types = dict(zip(data.names_of("prompt_type", codes), sizes.tolist()))
    if data.annotator is not None:
        annotators = len(np.unique(data.annotator))
    return {
        "pairs": len(data),
        "prompts": len(prompt),
        "responses": len(np.unique(data.pairs)),
        "pairs_per_prompt": {"mean": float(per_prompt.mean()), "most": int(per_prompt.max())},
        "objectives": objectives,
        "prompt_types": types,
        "annotators": annotators,
        "repeated_pairs": int(data.duplicated().sum()),
        "same_text_pairs": int((data.pairs[:, 0] == data.pairs[:, 1]).sum()),
    }


def _reading(loaded: LoadedPreferences | None) -> dict[str, Any]:
    """What was read and left out, where rows were read."""
    if loaded is None:
        return {}
    return {
        "layout": loaded.layout,
        "columns": list(LAYOUTS.get(loaded.layout, ())),
        "unread": list(loaded.unread),
        "meaning": loaded.meaning,
        "rows": loaded.rows,
        "ties": loaded.ties,
        "lost": loaded.lost,
        "lost_share": loaded.lost_share,
        "cut": loaded.cut,
        "bad_rows": len(loaded.bad),
        "bad": [str(b) for b in loaded.bad[:_MOST_BAD]],
    }
