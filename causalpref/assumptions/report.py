"""What a check of an assumption has to say: one type for all of them."""

from __future__ import annotations

import enum
import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

__all__ = ["STYLE", "Picture", "Report", "Verdict", "excerpt", "number"]


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

_MARK = {
    Verdict.UNTESTABLE: "?",
    Verdict.NOT_FOUND: "·",
    Verdict.STRAINED: "!",
    Verdict.VIOLATED: "✗",
}


@dataclass(frozen=True, eq=False)
class Picture:
    """Numbers for the figure of a report; :func:`causalpref.figures.evidence` draws them.

    Parameters
    ----------
    kind : {"intervals", "histogram", "matrix"}
        Dots with intervals (columns ``what``, ``value``, ``low``, ``high``); counts of two or
        more groups over bins (``left``, ``right``, ``group``, ``count``); a matrix (``row``,
        ``column``, ``value``).
    table : pandas.DataFrame
    axis : str
        What the numbers are, with units.
    reference : tuple of float
        Where dashed lines stand.
    description : str
        For a screen reader: what the figure shows, with numbers.
    """

    kind: str
    table: pd.DataFrame
    axis: str
    reference: tuple[float, ...] = ()
    description: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """The outcome of one check.

    Parameters
    ----------
    assumption : str
        Number and name in the paper, e.g. ``"2, unconfoundedness"``.
    verdict : Verdict
    sentence : str
        The finding, in one plain sentence.
    sees, blind : str
        What the check can notice, and what it cannot.
    next_step : str
        What to do.
    statistic : str
        What ``value`` is, with units.
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
    source : str
        What the data are.
    simulated : bool
    """

    assumption: str
    verdict: Verdict
    sentence: str
    sees: str
    blind: str
    next_step: str
    statistic: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    n: int = 0
    unit: str = "pairs"
    evidence: pd.DataFrame = field(default_factory=lambda: table([]))
    examples: pd.DataFrame | None = None
    picture: Picture | None = None
    source: str = "unnamed data"
    simulated: bool = False

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
            parts.append(f"p {'< 0.001' if self.p_value < 0.001 else f'= {self.p_value:.3f}'}")
        parts.append(f"{self.n:,} {self.unit}")
        return ", ".join(parts)

    def __str__(self) -> str:
        fill = lambda label, text: textwrap.fill(
            text, 88, initial_indent=f"  {label:<8}", subsequent_indent=" " * 10
        )
        lines = [
            f"{_MARK[self.verdict]} Assumption {self.assumption}: {self.verdict}",
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
        kind = self.verdict.name.lower().replace("_", "-")
        parts = [f"<style>{STYLE}</style>"] * style + [
            f'<section class="cp-report cp-{kind}">',
            f"<h3>Assumption {escape(self.assumption)}: "
            f'<span class="cp-verdict">{escape(self.verdict)}</span></h3>',
            f"<p><strong>{escape(self.sentence)}</strong></p>",
            f'<p class="cp-figures">{escape(self.figures)}</p>',
        ]
        if self.picture is not None:
            parts.append(f'<div class="cp-figure">{self.plot().svg}</div>')
        if len(self.evidence):
            shown = self.evidence.drop(
                columns=[c for c in self.evidence if self.evidence[c].map(_absent).all()]
            )
            parts.append(_html_table(shown))
        if self.examples is not None and len(self.examples):
            parts.append(_html_table(self.examples))
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
        return pd.DataFrame(
            [
                {
                    "assumption": self.assumption,
                    "verdict": str(self.verdict),
                    "statistic": self.statistic,
                    "value": self.value,
                    "low": self.low,
                    "high": self.high,
                    "p_value": self.p_value,
                    "n": self.n,
                    "unit": self.unit,
                    "sentence": self.sentence,
                    "next_step": self.next_step,
                    "source": self.source,
                }
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the tables as lists of rows."""
        row = {
            k: getattr(self, k)
            for k in (
                "assumption",
                "sentence",
                "sees",
                "blind",
                "next_step",
                "statistic",
                "value",
                "low",
                "high",
                "p_value",
                "n",
                "unit",
                "source",
                "simulated",
            )
        }
        plain = lambda frame: [
            {k: None if _absent(v) else v for k, v in r.items()} for r in frame.to_dict("records")
        ]
        return {
            **row,
            "verdict": str(self.verdict),
            "evidence": plain(self.evidence),
            "examples": [] if self.examples is None else plain(self.examples),
        }

    def plot(self) -> Any:
        """The figure of the check, see :func:`causalpref.figures.evidence`.

        Raises
        ------
        ValueError
            A check that has none, since it could not be made.
        """
        from causalpref import figures

        if self.picture is None:
            raise ValueError(f"there is no figure: assumption {self.assumption} {self.verdict}")
        return figures.evidence(self)


COLUMNS = ("what", "value", "low", "high", "p_value", "n", "note")


def table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """An evidence table: the columns of :class:`Report`, None where nothing is stated."""
    full = [{c: r.get(c) for c in COLUMNS} for r in rows]
    return pd.DataFrame(full, columns=list(COLUMNS), dtype=object)


def number(value: float) -> str:
    """A number in as few characters as tell it apart."""
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 10):
        return f"{int(value):,}"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    if abs(value) >= 100:
        return f"{value:,.0f}" if abs(value) < 1e6 else f"{value:.1e}"
    if value != 0 and abs(value) < 0.001:
        return f"{value:.1e}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def excerpt(text: str, width: int = 110) -> str:
    """The text on one line, its middle left out when it is long."""
    flat = " ".join(text.split())
    if len(flat) <= width:
        return flat
    half = (width - 3) // 2
    return flat[:half] + " … " + flat[-half:]


def _absent(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _line(row: Any) -> str:
    text = row.what
    if not _absent(row.value):
        text += f": {number(row.value)}"
        if not _absent(row.low):
            text += f" ({number(row.low)} to {number(row.high)})"
    if not _absent(row.p_value):
        text += f", p {'< 0.001' if row.p_value < 0.001 else f'= {row.p_value:.3f}'}"
    if not _absent(row.n):
        text += f", n = {row.n:,}"
    return text + (f"; {row.note}" if not _absent(row.note) else "")


def _html_table(frame: pd.DataFrame) -> str:
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
            if _absent(v)
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
