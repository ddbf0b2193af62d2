"""What an audit found, and its forms: text, page, JSON, table."""

from __future__ import annotations

import importlib.metadata
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from causalpref.assumptions import Report, Verdict
from causalpref.auditing import _page, _summary
from causalpref.data import Finding

__all__ = ["Audit"]

_FORMAT = "causalpref.Audit/1"
_URGENT = (Verdict.VIOLATED, Verdict.STRAINED, Verdict.UNTESTABLE, Verdict.NOT_FOUND)


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
        ``order_known``, and where rows were read ``layout``, ``columns`` (of the layout),
        ``unread`` (columns that were not read), ``meaning`` (of the label, in words), ``rows``,
        ``ties``, ``lost`` (rows that gave no judgement at all), ``lost_share`` (of the rows),
        ``cut`` (the file ends in damage),
        ``bad_rows`` (how many rows, or parts of rows, could not be used) and ``bad`` (the first
        thousand of these, each with file and line). ``against``: the same of a second data set,
        its ``source``, its ``pairs`` and how many ``shared_prompts``.
    baselines : pandas.DataFrame
        See :func:`baselines`.
    reports : list of Report
        In the order of the assumptions.
    latents : str
        Which latents are used for Z^T and Z^X, in a sentence.
    proxies : bool
        True when latents are read off the surface of the texts.
    findings : list of Finding
        What texts and labels give away without any model: contradictions, repeats, empty
        responses, and prompts shared with a second data set. The gravest first.
    examples : tuple of mappings
        Two pairs with ``prompt``, ``winner`` and ``loser``, to see whether labels were understood.
    notes : list of str
    settings : dict
        ``seed``, ``most_pairs``, ``pairs_of_texts`` (pairs that the checks of texts rest on),
        ``features``, ``groups``, ``versions``.
    """

    source: str
    simulated: bool
    counts: dict[str, Any]
    reading: dict[str, Any]
    baselines: pd.DataFrame
    reports: list[Report]
    latents: str
    proxies: bool
    findings: list[Finding] = field(default_factory=list)
    examples: tuple[Mapping[str, str], ...] = ()
    notes: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Report:
        """The report of a check, by a key of :data:`causalpref.assumptions.CHECKS`."""
        found = {r.key: r for r in self.reports}
        if key not in found:
            raise KeyError(f"{key!r} is no check of this audit, expected {', '.join(found)}")
        return found[key]

    @property
    def verdict(self) -> Verdict:
        """The worst of the reports."""
        return max((r.verdict for r in self.reports), key=list(Verdict).index)

    @property
    def violated(self) -> bool:
        """True when a report says ``VIOLATED``."""
        return self.verdict is Verdict.VIOLATED

    @property
    def by_urgency(self) -> list[Report]:
        """The reports: violated, strained, cannot be tested, and the rest."""
        return sorted(self.reports, key=lambda r: _URGENT.index(r.verdict))

    @property
    def lost_share(self) -> float:
        """The share of rows that could not be read, the larger one if two data sets were read."""
        both = self.reading, self.reading.get("against", {})
        return max(read.get("lost_share", 0.0) for read in both)

    @property
    def cut(self) -> bool:
        """Whether a file ends in damage, so that nobody knows how many rows are lost."""
        return any(
            read.get("cut", False) for read in (self.reading, self.reading.get("against", {}))
        )

    def __repr__(self) -> str:
        return f"Audit({self.source!r}, {str(self.verdict)!r})"

    def __str__(self) -> str:
        """A summary of at most 50 lines of 80 characters."""
        return _summary.summary(self)

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
                "examples": [dict(e) for e in self.examples],
                "findings": [f.to_dict() for f in self.findings],
                "latents": self.latents,
                "proxies": self.proxies,
                "baselines": self.baselines.to_dict("records"),
                "reports": [r.to_dict() for r in self.reports],
                "next_steps": [
                    {
                        "key": r.key,
                        "assumption": r.assumption,
                        "verdict": str(r.verdict),
                        "do": r.next_step,
                    }
                    for r in self.by_urgency
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

    def to_html(self) -> str:
        """One page that needs nothing else: no script, no font, no picture from elsewhere.

        Every text from the data is escaped.
        """
        return _page.page(self)

    def _repr_html_(self) -> str:
        return _page.fragment(self)


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
