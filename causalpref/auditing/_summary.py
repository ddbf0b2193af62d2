"""An audit as text: at most 50 lines of 80 characters."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from causalpref.assumptions import Report
from causalpref.assumptions.evidence import absent, number, p_text

if TYPE_CHECKING:
    from causalpref.auditing._result import Audit

__all__ = ["about", "lost", "shares", "summary", "taken"]

_LINES, _WIDTH = 50, 80


def summary(audit: Audit) -> str:
    """What was read and lost, what stands out, the baselines, and a line for each assumption."""
    lines = [f"Audit of {audit.source}"]
    for said, first in lost(audit):
        lines += _wrapped(f"✗ {said}", 2)
        lines += [f"  first: {first}"] if first else []
    lines += [f"  {line}" for line in about(audit)]
    for said in taken(audit.reading):
        lines += _wrapped(said, 2, "  ")
    for e in audit.examples:
        winner, loser = (_cut(repr(e[kind]), 28) for kind in ("winner", "loser"))
        lines.append(f"  e.g. winner: {winner}, loser: {loser}")
    lines += _wrapped(_clean(audit.latents), 2, "  ")
    if audit.findings:
        lines += ["", "Texts and labels", *_listed([f.sentence for f in audit.findings], "! ", 7)]
    rules = audit.baselines.head(7)
    room = _LINES - (len(lines) + len(rules) + len(audit.reports) + 4 + 5)  # 5 for the alarms
    if audit.notes:
        lines += ["", "Notes", *_listed(audit.notes, "- ", min(room - 2, 6))]
    lines += ["", "Content-blind baselines (accuracy, 95% interval)"]
    for rule in rules.itertuples():
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
    urgent = [r for r in audit.by_urgency if r.verdict.alarm]
    alarms = [f"{r.verdict.mark} {r.name}: {r.sentence}" for r in urgent]
    if alarms:
        lines += ["", *_listed(alarms, "", _LINES - len(lines) - 1)]
    else:
        lines += ["", "No violation found does not mean that there is none."]
    return "\n".join(_cut(line, _WIDTH) for line in lines)


def _wrapped(text: str, most: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        _clean(text),
        _WIDTH - 2,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        max_lines=most,
        placeholder=" …",
    )


def _listed(texts: list[str], mark: str, most: int) -> list[str]:
    """Each text in up to three lines, and how many found no room in ``most`` lines."""
    lines: list[str] = []
    for i, text in enumerate(texts):
        block = _wrapped(mark + text, 3)
        left = len(texts) - i
        if len(lines) + len(block) + (left > 1) > most:
            return [*lines, f"  and {left} more"] if most > len(lines) else lines
        lines += block
    return lines


def about(audit: Audit) -> list[str]:
    """The size of the data, who judged, and whether the order is known, in a few lines."""
    n = audit.counts
    return [
        f"{_count(n['pairs'], 'pair')}, {_count(n['responses'], 'response')}, "
        f"{_count(n['prompts'], 'prompt')} (at most "
        f"{_count(n['pairs_per_prompt']['most'], 'pair')} a prompt)",
        "objective: "
        + (shares(n["objectives"], 4) if n["objectives"] else "not recorded")
        + "; annotators: "
        + (f"{n['annotators']:,}" if n["annotators"] else "not recorded"),
        f"{_count(n['repeated_pairs'], 'repeated pair')}; order shown: "
        + ("as in the file" if audit.reading["order_known"] else "not recorded"),
    ]


def lost(audit: Audit) -> list[tuple[str, str]]:
    """For each data set that lost rows: a sentence on how many, and the first bad row."""
    both = (("", audit.reading), ("The second data set: ", audit.reading.get("against", {})))
    found = []
    for which, read in both:
        gone, parts = read.get("lost", 0), read.get("bad_rows", 0)
        if not gone and not parts:
            continue
        rows, share = read["rows"], f"{read['lost_share']:.1%}"
        said = f"{gone:,} of {_count(rows, 'row')} could not be read; {share}"
        if parts > gone:
            said += f" ({parts:,} bad rows or parts of rows are listed)"
        if read["cut"]:
            said += "; the file ends in damage, so more may be missing"
        found.append((f"{which}{said}.", read["bad"][0] if read["bad"] else ""))
    return found


def taken(read: Mapping[str, Any]) -> list[str]:
    """What the columns and the label were taken to be, in sentences; none if nothing was read."""
    if "rows" not in read:
        return []
    meaning = f"; {read['meaning']}" if read["meaning"] else ""
    said = [
        f"{_count(read['rows'], 'row')} read, {_count(read['ties'], 'tie')}, layout "
        f"{read['layout']}{meaning}"
    ]
    if unread := read["unread"]:
        names = ", ".join(_cut(_clean(name), 30) for name in unread[:12])
        more = f" and {len(unread) - 12:,} more" if len(unread) > 12 else ""
        said.append(f"not read: {_plural(len(unread), 'column')} {names}{more}")
    return said


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
    return f"{n:,} {_plural(n, word)}"


def _plural(n: int, word: str) -> str:
    return word if n == 1 else f"{word}s"


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
