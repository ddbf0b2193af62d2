"""An audit as text: at most 40 lines of 80 characters."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from causalpref.assumptions import Report
from causalpref.assumptions.evidence import absent, number, p_text

if TYPE_CHECKING:
    from causalpref.auditing._result import Audit

__all__ = ["about", "shares", "summary"]


def summary(audit: Audit) -> str:
    """What the data are, the baselines, a line for each assumption, and the alarms in full."""
    lines = [f"Audit of {audit.source}", *(f"  {line}" for line in about(audit))]
    lines += ["", "Content-blind baselines (accuracy, 95 % interval)"]
    for rule in audit.baselines.head(7).itertuples():
        said = (
            rule.note
            if absent(rule.value)
            else f"{rule.value:.3f}  ({rule.low:.3f} to {rule.high:.3f})"
        )
        lines.append(f"  {_cut(rule.what, 43):<43}  {_cut(said, 33)}")
    lines += ["", f"Assumptions (the worst: {audit.verdict})"]
    for r in audit.reports:
        lines.append(
            f"{r.verdict.mark} {_cut(r.name, 21):<21} {r.verdict!s:<18} {_cut(_finding(r), 37)}"
        )
    alarms = [r for r in audit.by_urgency if r.verdict.alarm]
    lines.append("")
    for i, r in enumerate(alarms):
        block = textwrap.wrap(
            f"{r.verdict.mark} {r.name}: {_clean(r.sentence)}",
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


def about(audit: Audit) -> list[str]:
    """What the data are, in a few lines."""
    n, read = audit.counts, audit.reading
    lines = [
        f"{_count(n['pairs'], 'pair')}, {_count(n['responses'], 'response')}, "
        f"{_count(n['prompts'], 'prompt')} (at most "
        f"{_count(n['pairs_per_prompt']['most'], 'pair')} a prompt)",
        "objective: "
        + (shares(n["objectives"], 4) if n["objectives"] else "not recorded")
        + "; annotators: "
        + (f"{n['annotators']:,}" if n["annotators"] else "not recorded"),
    ]
    if "rows" in read:
        lines.append(
            f"{_count(read['rows'], 'row')} read, layout {read['layout']}: "
            f"{_count(read['ties'], 'tie')} and {_count(read['bad_rows'], 'bad row')} left out"
        )
    lines.append(
        f"{_count(n['repeated_pairs'], 'repeated pair')}; order shown: "
        + ("as in the file" if read["order_known"] else "not recorded")
    )
    return lines + textwrap.wrap(_clean(audit.latents), 76, max_lines=3, placeholder=" …")


def shares(counts: Mapping[str, int], most: int) -> str:
    """The largest counts by name, as text."""
    shown = sorted(counts.items(), key=lambda item: -item[1])
    text = ", ".join(f"{_cut(_clean(name), 30)} {size:,}" for name, size in shown[:most])
    return text + (f" and {len(shown) - most:,} more" if len(shown) > most else "")


def _finding(report: Report) -> str:
    """The statistic in few characters."""
    if report.value is None:
        return ""
    text = f"{report.short} {number(report.value)}"
    if report.low is not None and report.high is not None:
        text += f" ({number(report.low)} to {number(report.high)})"
    elif report.p_value is not None:
        text += f", {p_text(report.p_value)}"
    return text


def _count(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def _clean(text: Any) -> str:
    """One line that a terminal shows as it is: no control characters."""
    return _printable(" ".join(str(text).split()))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _cut(text: Any, width: int) -> str:
    """The text in at most so many characters, leading spaces kept."""
    text = str(text)
    indent = text[: len(text) - len(text.lstrip(" "))]
    flat = indent + _printable(text.strip(" "))
    return flat if len(flat) <= width else flat[: width - 1] + "…"
