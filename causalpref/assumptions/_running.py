"""All checks of one data set: the registry and the runner."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from causalpref.assumptions._check import Check, Settings, drawn
from causalpref.assumptions._units import numbered
from causalpref.assumptions.additivity import ADDITIVITY
from causalpref.assumptions.confounding import UNCONFOUNDEDNESS
from causalpref.assumptions.consistency import CONSISTENCY
from causalpref.assumptions.heterogeneity import HETEROGENEITY
from causalpref.assumptions.latent_positivity import LATENT_POSITIVITY
from causalpref.assumptions.positivity import POSITIVITY
from causalpref.assumptions.report import Report
from causalpref.assumptions.sufficiency import SUFFICIENCY
from causalpref.data import PreferenceData
from causalpref.text.conversations import first_turn
from causalpref.text.embedding import hashed_texts

__all__ = ["CHECKS", "Checked", "check_all", "group_openings", "run_checks"]

CHECKS: dict[str, Check] = {
    check.key: check
    for check in (
        CONSISTENCY,
        UNCONFOUNDEDNESS,
        POSITIVITY,
        SUFFICIENCY,
        LATENT_POSITIVITY,
        ADDITIVITY,
        HETEROGENEITY,
    )
}
"""Every check by its key, in the order in which they are reported."""

_HASHED = (
    "hashed word 1-2-grams: of the prompt (128 columns) and of the two responses "
    "(128 columns, their mean) to tell the objective; of each response (256 columns) to "
    "tell the label"
)


@dataclass(frozen=True, eq=False)
class Checked:
    """What :func:`run_checks` found.

    Parameters
    ----------
    reports : list of Report
    n_texts : int
        Pairs that the checks of texts rest on.
    features : str
        What was known of the texts, in words.
    """

    reports: list[Report]
    n_texts: int
    features: str


def run_checks(
    data: PreferenceData,
    settings: Settings,
    *,
    checks: Iterable[Check] | None = None,
    stage: Callable[[str], AbstractContextManager[Any]] = lambda name: nullcontext(),
) -> Checked:
    """Make checks that share one subsample and the features of its texts.

    Parameters
    ----------
    data : PreferenceData
        Without ``prompt_group``, prompts that open with the same human turn are kept together.
    settings : Settings
        ``features`` may also be ``"auto"`` (the embeddings of the data, else hashed word
        n-grams), ``"hashed"``, or a function that adds embeddings to the data it is given, which
        are those of the subsample.
    checks : iterable of Check, optional
        Default: :data:`CHECKS`.
    stage : callable
        ``stage(name)`` is a context in which each piece of work is done, so that its progress can
        be shown.

    Raises
    ------
    ValueError
        Features that are not understood, of the wrong shape or not finite.
    """
    given = settings.features
    if isinstance(given, str) and given not in ("auto", "hashed"):
        raise ValueError(
            f"features is {given!r}, expected 'auto', 'hashed', an array, a function or None"
        )
    data = group_openings(data)
    with stage("features of the texts"):
        part, settings = drawn(data, settings)
        part, x, said = _featured(part, settings.features)
    reports = []
    for check in CHECKS.values() if checks is None else checks:
        with stage(check.title):
            on, known = (part, x) if check.reads_texts(data) else (data, None)
            reports.append(check.report(on, replace(settings, features=known)))
    return Checked(reports, len(part), said)


def check_all(
    data: PreferenceData,
    *,
    features: Any = "auto",
    most_pairs: int = 20_000,
    seed: int | np.random.Generator = 0,
) -> list[Report]:
    """Every check, in the order of the assumptions.

    Parameters
    ----------
    data : PreferenceData
    features, most_pairs, seed
        See :func:`run_checks` and :class:`Settings`.

    Returns
    -------
    list of Report
        One for each of :data:`CHECKS`. Each check raises a false alarm in up to 5 % of sound data
        sets, so an occasional false alarm among all of them is expected.
    """
    return run_checks(data, Settings(features, most_pairs, seed=seed)).reports


def group_openings(data: PreferenceData) -> PreferenceData:
    """The data with a ``prompt_group``: their own, or prompts that open with one human turn.

    Groups are numbered as they appear, so that nothing depends on their codes.
    """
    data = numbered(data)
    if data.prompt_group is not None:
        return data
    return data.replace(prompt_group=pd.factorize(first_turn(data.prompts))[0])


def _featured(part: PreferenceData, features: Any) -> tuple[PreferenceData, np.ndarray | None, str]:
    """Pairs with embeddings, what predicts their objective (None: these), and how, in words."""
    if features is None:
        return part, None, "not looked at" if part.embeddings is None else "embeddings of the data"
    if isinstance(features, np.ndarray):
        if part.embeddings is None:
            part = part.replace(embeddings=hashed_texts(part.responses, 256))
        return part, features, "features that were passed"
    if callable(features):
        embedded = features(part)
        if embedded.embeddings is None or not np.array_equal(embedded.pairs, part.pairs):
            raise ValueError(
                "features, a function, must return the data it is given with embeddings"
            )
        return embedded, None, "embeddings of a language model"
    if features == "auto" and part.embeddings is not None:
        return part, None, "embeddings of the data"
    e = hashed_texts(part.responses, 256)
    first, second = part.pairs.T
    # hashes of 256 columns folded once are hashes of 128
    both = (e[first] + e[second]).reshape(len(part), 2, 128).sum(axis=1) / 2
    x = np.column_stack([hashed_texts(part.prompts, 128)[part.pair_prompt], both])
    return part.replace(embeddings=e), x, _HASHED
