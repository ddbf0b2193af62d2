"""What a check of an assumption has to say: one type for all of them."""

from __future__ import annotations

import enum
import html
import textwrap
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from causalpref.assumptions.drawing import SVG, draw
from causalpref.assumptions.evidence import Picture, absent, number, p_text, table

__all__ = ["STYLE", "Report", "Verdict", "Words", "html_table"]


class Verdict(enum.StrEnum):
    """What the data say of an assumption. None of them says that it holds.

    ``NOT_FOUND``: looked for a violation and found none, at the size that the interval shows.
    ``STRAINED``: the data lean on the assumption harder than they can bear, or something fails
    that has another explanation too. ``VIOLATED``: the data speak against it. ``UNTESTABLE``:
    these data cannot tell.
    """

    UNTESTABLE = "cannot be tested"
    NOT_FOUND = "no violation found"
    STRAINED = "strained"
    VIOLATED = "violated"

    @property
    def alarm(self) -> bool:
        """True for ``STRAINED`` and ``VIOLATED``."""
        return self in (Verdict.STRAINED, Verdict.VIOLATED)

    @property
    def mark(self) -> str:
        """One letter."""
        return "?·!✗"[list(Verdict).index(self)]

    @property
    def css(self) -> str:
        """Class of its reports, see :data:`STYLE`."""
        return f"cp-{self.name.lower().replace('_', '-')}"


STYLE = """
.cp-report { color: inherit; margin: 1rem 0; padding-left: 1rem; border-left: 4px solid #858585; }
.cp-report.cp-not-found { border-left-color: #2f86c8; }
.cp-report.cp-strained { border-left: 4px dashed #d1672c; }
.cp-report.cp-violated { border-left-color: #d1672c; }
.cp-report h3 { margin: 0 0 0.5rem; font-size: 1.15em; line-height: 1.5; }
.cp-verdict { padding: 0 0.4em; border: 1px solid currentColor; border-radius: 0.25em;
  white-space: nowrap; }
.cp-report p { margin: 0.5rem 0; }
.cp-report dt { margin-top: 0.5rem; font-weight: 600; }
.cp-report dd { margin: 0; }
.cp-figure, .cp-table { margin: 0.75rem 0; overflow-x: auto; }
.cp-figure svg { display: block; width: 100%; min-width: 20rem; height: auto; }
.cp-table.cp-table table { margin: 0; border: 0; border-collapse: collapse; color: inherit;
  font-size: 0.875em; }
.cp-table.cp-table table tr { background: transparent; border: 0; color: inherit; }
.cp-table.cp-table table :is(th, td) { max-width: 30em; padding: 0.3em 1em 0.3em 0; border: 0;
  border-bottom: 1px solid #85858566; color: inherit; text-align: left; vertical-align: top;
  white-space: normal; overflow-wrap: break-word; }
.cp-table.cp-table table td { min-width: 9em; }
.cp-table.cp-table table .cp-number { min-width: 0; font-variant-numeric: tabular-nums;
  text-align: right; white-space: nowrap; }
""".strip()
"""How the HTML of reports looks, on a light page and a dark one: it takes the page's colours."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Words:
    """What a check says about its result.

    Parameters
    ----------
    sentence : str
        The finding, in one plain sentence.
    next_step : str
        What to do.
    sees, blind : str
        What the check can notice, and what it cannot. Default: what the check says of itself.
    title : str
        What was looked at, where that is only a part of what the check is named after.
    statistic, short : str
        What ``value`` is, with units; and in a few letters, for a summary.
    value : float or None
    low, high : float or None
        Ends of the 95 % interval of ``value``.
    p_value : float or None
        Of the hypothesis that the verdict rests on; adjusted where there are several.
    n : int
        Sample size.
    unit : str
        What ``n`` counts: ``"pairs"`` or ``"prompts"``.
    evidence : pandas.DataFrame
        One row a finding: ``what``, ``value``, ``low``, ``high``, ``p_value``, ``n``, ``note``;
        what does not apply is None.
    examples : pandas.DataFrame, optional
        Texts worth reading.
    picture : Picture, optional
    rests_on : tuple of str
        The latents that the finding rests on: ``"prompt_latents"``, ``"response_latents"``.
    """

    sentence: str
    next_step: str
    sees: str = ""
    blind: str = ""
    title: str = ""
    statistic: str = ""
    short: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    n: int = 0
    unit: str = "pairs"
    evidence: pd.DataFrame = field(default_factory=lambda: table([]))
    examples: pd.DataFrame | None = None
    picture: Picture | None = None
    rests_on: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Report(Words):
    """The outcome of one check: its words, with the verdict and the numbers that they put so.

    Parameters
    ----------
    key : str
        Of the check, see :data:`causalpref.assumptions.CHECKS`.
    number : int or None
        Of the assumption in the paper; None for a statement that is no assumption.
    verdict : Verdict
    result : object
        The numbers, a frozen dataclass of the check's own.
    source : str
        What the data are.
    simulated : bool
    """

    key: str
    number: int | None
    verdict: Verdict
    result: Any = None
    source: str = "unnamed data"
    simulated: bool = False

    @property
    def name(self) -> str:
        """Number, if there is one, and title: ``"2, unconfoundedness"``."""
        return self.title if self.number is None else f"{self.number}, {self.title}"

    @property
    def assumption(self) -> str:
        """The name as recorded tables have it."""
        if self.number is not None:
            return self.name
        return f"that {self.title}{' (3.2)' if self.key == 'additivity' else ''}"

    @property
    def heading(self) -> str:
        """Assumption and verdict."""
        return f"Assumption {self.assumption}: {self.verdict}"

    @property
    def figures(self) -> str:
        """Statistic, interval, p-value and sample size as one line of text."""
        parts = []
        if self.value is not None:
            part = f"{self.statistic} {number(self.value)}"
            if self.low is not None:
                part += f" (95 % interval {number(self.low)} to {number(self.high)})"
            parts.append(part)
        if self.p_value is not None:
            parts.append(p_text(self.p_value))
        parts.append(f"{self.n:,} {self.unit}")
        return ", ".join(parts)

    def __str__(self) -> str:
        fill = lambda label, text: textwrap.fill(
            text, 88, initial_indent=f"  {label:<8}", subsequent_indent=" " * 10
        )
        lines = [
            f"{self.verdict.mark} {self.heading}",
            fill("", self.sentence),
            fill("figures", self.figures),
        ]
        for row in self.evidence.itertuples():
            lines.append(fill("", f"- {_line(row)}"))
        lines += [fill("sees", self.sees), fill("blind", self.blind), fill("next", self.next_step)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Report({self.assumption!r}, {str(self.verdict)!r}, {self.figures!r})"

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self, *, style: bool = True) -> str:
        """A fragment of HTML, figure included. Every text from the data is escaped.

        Parameters
        ----------
        style : bool
            With :data:`STYLE`. A page of several reports needs it once.
        """
        escape = html.escape
        parts = [f"<style>{STYLE}</style>"] * style + [
            f'<section class="cp-report {self.verdict.css}">',
            f"<h3>Assumption {escape(self.assumption)}: "
            f'<span class="cp-verdict">{escape(self.verdict)}</span></h3>',
            f"<p><strong>{escape(self.sentence)}</strong></p>",
            f'<p class="cp-figures">{escape(self.figures)}</p>',
        ]
        if self.picture is not None:
            parts.append(f'<div class="cp-figure">{self.plot().svg}</div>')
        if len(self.evidence):
            shown = self.evidence.drop(
                columns=[c for c in self.evidence if self.evidence[c].map(absent).all()]
            )
            parts.append(html_table(shown))
        if self.examples is not None and len(self.examples):
            parts.append(html_table(self.examples))
        parts.append("<dl>")
        for term, text in (
            ("What this check can see", self.sees),
            ("What it cannot", self.blind),
            ("What to do next", self.next_step),
        ):
            parts.append(f"<dt>{term}</dt><dd>{escape(text)}</dd>")
        parts.append("</dl></section>")
        return "\n".join(parts)

    def to_frame(self) -> pd.DataFrame:
        """One row: everything but the tables. ``pandas.concat`` makes a table of several."""
        row = {name: getattr(self, name) for name in _COLUMNS_OF_FRAME}
        return pd.DataFrame([row | {"verdict": str(self.verdict)}])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the tables as lists of rows."""
        plain = lambda frame: [
            {k: None if absent(v) else v for k, v in r.items()} for r in frame.to_dict("records")
        ]
        return {
            **{name: getattr(self, name) for name in ("key", *_COLUMNS_OF_FRAME)},
            **{name: getattr(self, name) for name in ("sees", "blind", "simulated")},
            "verdict": str(self.verdict),
            "evidence": plain(self.evidence),
            "examples": [] if self.examples is None else plain(self.examples),
        }

    def plot(self) -> SVG:
        """The figure of the check, see :func:`causalpref.assumptions.drawing.draw`.

        Raises
        ------
        ValueError
            A check that has none, since it could not be made.
        """
        if self.picture is None:
            raise ValueError(f"there is no figure: {self.heading}")
        return draw(self.picture, title=self.heading)


_COLUMNS_OF_FRAME = (
    *("assumption", "verdict", "statistic", "value", "low", "high", "p_value", "n", "unit"),
    *("sentence", "next_step", "source"),
)


def _line(row: Any) -> str:
    text = row.what
    if not absent(row.value):
        text += f": {number(row.value)}"
        if not absent(row.low):
            text += f" ({number(row.low)} to {number(row.high)})"
    if not absent(row.p_value):
        text += f", {p_text(row.p_value)}"
    if not absent(row.n):
        text += f", n = {row.n:,}"
    return text + (f"; {row.note}" if not absent(row.note) else "")


def html_table(frame: pd.DataFrame) -> str:
    """A table of a report as HTML, every text escaped, numbers to the right."""
    numeric = [any(isinstance(v, (int, float)) for v in frame[c]) for c in frame.columns]
    kinds = [' class="cp-number"' if n else "" for n in numeric]
    head = "".join(
        f"<th{kind}>{html.escape(str(c).replace('_', ' '))}</th>"
        for c, kind in zip(frame.columns, kinds)
    )
    body = []
    for row in frame.itertuples(index=False):
        cells = [
            ""
            if absent(v)
            else number(v)
            if isinstance(v, (int, float)) and not isinstance(v, bool)
            else str(v)
            for v in row
        ]
        body.append(
            "<tr>"
            + "".join(f"<td{kind}>{html.escape(text)}</td>" for text, kind in zip(cells, kinds))
            + "</tr>"
        )
    return (
        f'<div class="cp-table" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )
