"""The audit: latents, baselines and checks of one data set."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from causalpref.assumptions import Report, Settings, Verdict, group_openings, run_checks
from causalpref.auditing._baselines import baselines
from causalpref.auditing._result import Audit
from causalpref.data import PreferenceData, expect_preferences
from causalpref.sources.files import LAYOUTS, LoadedPreferences
from causalpref.text.surface import (
    PROMPT_FEATURES,
    RESPONSE_FEATURES,
    prompt_features,
    surface_features,
)

__all__ = ["audit", "staged"]

_PACKAGES = ("causalpref", "numpy", "scipy", "pandas", "scikit-learn")
_MOST_TYPES = 12

Featuriser = Callable[[PreferenceData], PreferenceData]


def audit(
    data: PreferenceData | LoadedPreferences,
    *,
    latents: Literal["auto", "own", "surface"] = "auto",
    features: Literal["auto", "hashed"] | np.ndarray | Featuriser | None = "auto",
    most_pairs: int = 20_000,
    seed: int | np.random.Generator = 0,
    notes: Sequence[str] = (),
    progress: bool = False,
) -> Audit:
    """Make every check on a data set, with the content-blind baselines.

    Parameters
    ----------
    data : PreferenceData or LoadedPreferences
        What :func:`causalpref.sources.load_preferences` returns says more: rows, ties, bad rows.
        Prompts of one ``prompt_group`` are kept together; without groups, those that open with
        the same human turn.
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

    Returns
    -------
    Audit

    Raises
    ------
    TypeError
        Anything but preference data.
    ValueError
        An argument that is not understood; features of the wrong shape or not finite.

    Notes
    -----
    The surface is nobody's claim to be all that matters. Where it is used for the latents, a
    violation of latent sufficiency is therefore reported as strained.
    """
    if not isinstance(data, LoadedPreferences):
        expect_preferences(data, "audit")
    if latents not in ("auto", "own", "surface"):
        raise ValueError(f"latents is {latents!r}, expected 'auto', 'own' or 'surface'")
    settings = Settings(features, most_pairs, seed=seed)
    stage = functools.partial(staged, progress=progress)
    loaded, notes = data if isinstance(data, LoadedPreferences) else None, list(notes)
    if isinstance(data, LoadedPreferences):
        data, notes = data.data, [*data.notes, *notes]
    groups = "as in the data"
    if data.prompt_group is None:
        groups = "those that open with the same human turn"
    with stage("reading the surface of the texts"):
        data = group_openings(data)
        surface = surface_features(data.responses)
        data, said, derived = _with_latents(data, latents, surface, notes)
    with stage("content-blind baselines"):
        blind = baselines(data, seed=seed, surface=surface)
    checked = run_checks(data, settings, stage=stage)
    return Audit(
        data.source,
        data.simulated,
        _counts(data),
        {"order_known": data.order_known} | _reading(loaded),
        blind,
        [_of_proxies(r, derived) for r in checked.reports],
        said,
        bool(derived),
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
        notes += [
            f"The two responses of a pair never differ in {name}: it is left out of "
            "the surface latents."
            for name in np.array(RESPONSE_FEATURES)[~differs]
        ]
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
    """What was read and left out, where a file was read."""
    if loaded is None:
        return {}
    return {
        "layout": loaded.layout,
        "columns": list(LAYOUTS.get(loaded.layout, ())),
        "rows": loaded.rows,
        "ties": loaded.ties,
        "bad_rows": len(loaded.bad),
        "bad": [str(b) for b in loaded.bad[:20]],
    }
