"""How long a chapter takes: minutes to read, reckoned; time to run, measured.

The card of a chapter says ``{card-time}`an hour for the exercises```. What is
between the backticks is the only time that anybody types. The minutes to read
follow from the page (`reading_minutes`), the time to run from the tables that
``benchmarks/pages.py`` records in ``book/results/pages``.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Container, Iterable
from pathlib import Path

import yaml
from colab import HIDDEN_TAGS, Block, _split, parse

WORDS_A_MINUTE = 150.0  # technical prose
PROOF = 2.0  # a word of a proof takes as long as two others
FORMULA = 15.0  # words that a displayed formula takes as long as
CODE_LINE = 6.0  # the same for a line of code that is shown
FIGURE = 150.0  # and for a figure with its dials, besides the caption

RESULTS = ("results/pages/pages.csv", "results/pages/gpu.csv")

_MATH = re.compile(r"\$\$.+?\$\$|\$(?:[^$\\]|\\.)+\$", re.DOTALL)
_ROLE = re.compile(r"\{[\w:.+-]+\}(?=`)")
_NOT_READ = frozenset(
    ["exercise", "exercise-start", "exercise-end", "solution", "solution-start", "solution-end"]
)


def _words(text: str) -> int:
    """Count words; a formula within a line counts as one."""
    plain = _ROLE.sub("", _MATH.sub(" formula ", text))
    return sum(any(c.isalnum() for c in word) for word in plain.split())


def _load(blocks: Iterable[Block], weight: float = 1.0) -> float:
    """Words that the blocks weigh."""
    total = 0.0
    for block in blocks:
        if block.kind in ("heading", "text"):
            total += weight * _words(block.text)
        elif block.kind == "math" or block.name == "math":
            total += weight * FORMULA
        elif block.kind == "fence":
            total += CODE_LINE * (block.text.count("\n") - 1)
        elif block.kind != "directive" or block.name in _NOT_READ:
            continue
        elif block.name == "code-cell":
            if not any(tag in block.options.get("tags", "") for tag in HIDDEN_TAGS):
                total += CODE_LINE * sum(bool(line.strip()) for line in block.text.split("\n"))
        else:
            inner = weight * (PROOF if block.name == "prf:proof" else 1.0)
            total += FIGURE * (block.name in ("figure", "glue:figure", "image"))
            total += inner * _words(block.arg) if block.name != "glue:figure" else 0.0
            total += _load(parse(block.text.split("\n"), block.first), inner)
    return total


def reading_minutes(page: Path) -> int:
    """Minutes to read a page, to the nearest five.

    Parameters
    ----------
    page : Path
        A MyST source.

    Returns
    -------
    int
        At `WORDS_A_MINUTE`, where a word of a proof counts `PROOF` times, and
        formulas, lines of code and figures count as so many words. Hidden
        cells, exercises with what follows them, and solutions count nothing.
    """
    _, lines, first = _split(page)
    kept: list[Block] = []
    skipping = False
    for block in parse(lines, first):
        if block.kind == "heading" and len(block.name) <= 2:
            skipping = block.text.strip().lower() == "exercises"
        if not skipping:
            kept.append(block)
    return max(5, 5 * round(_load(kept) / WORDS_A_MINUTE / 5))


def recorded_seconds(table: Path, page: str) -> float | None:
    """Measured seconds that a page takes to run.

    Parameters
    ----------
    table : Path
        CSV file with columns ``page`` and ``execution_s``; may be absent.
    page : str
        Name of the page, without extension.

    Returns
    -------
    float or None
        None if the page was not measured.
    """
    if not table.is_file():
        return None
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["page"].removesuffix(".html") == page and row["execution_s"].strip():
                return float(row["execution_s"])
    return None


def spoken(seconds: float) -> str:
    """Say a duration, rounded so that another run says the same.

    Examples
    --------
    >>> spoken(4.8), spoken(23), spoken(57), spoken(142)
    ('under 10 seconds', 'about 20 seconds', 'about 1 minute', 'about 2.5 minutes')
    """
    if seconds < 10:
        return "under 10 seconds"
    if seconds < 55:
        return f"about {10 * max(1, round(seconds / 10))} seconds"
    minutes = round(seconds / 30) / 2 if seconds < 600 else round(seconds / 60)
    return f"about {minutes:g} minute{'' if minutes == 1 else 's'}"


def time_line(book: Path, page: str, exercises: str) -> str:
    """Write what the card says about time.

    Parameters
    ----------
    book : Path
        Folder of the sources, with ``results/`` in it.
    page : str
        Name of the page, without extension.
    exercises : str
        Time for the exercises, in words, such as "an hour for the exercises".

    Returns
    -------
    str
        Minutes to read, the exercises, and what was measured.
    """
    source = book / f"{page}.md"
    cpu, gpu = (recorded_seconds(book / table, page) for table in RESULTS)
    if "kernelspec" not in _split(source)[0]:
        run = "nothing to run"
    elif cpu is None:
        run = "time to run not measured yet"
    else:
        run = f"{spoken(cpu)} to run on a CPU"
        run += f", {spoken(gpu)} on a GPU" if gpu is not None else " (not measured on a GPU)"
    return f"{reading_minutes(source)} minutes to read, {exercises}; {run}."


def table_data(source: Path, html: str) -> str | None:
    """Say of what data a table is that a cell shows.

    Parameters
    ----------
    source : Path
        The page. Its front matter may hold ``table_data``: what to say by the
        name of a column, and under ``default`` for all other tables. ``as
        chosen`` there means simulated or real as ``CAUSALPREF_DATA`` has it.
    html : str
        The table.

    Returns
    -------
    str or None
        Without ``table_data``, "simulated" if the card says so of the page;
        None if nothing does.
    """
    front, lines, _ = _split(source)
    said = dict(front.get("table_data") or {})
    default = said.pop("default", None)
    for column, data in said.items():
        if re.search(rf"<th[^>]*>{re.escape(column)}</th>", html):
            return str(data)
    if default == "as chosen":
        return (
            "simulated"
            if os.environ.get("CAUSALPREF_DATA", "offline") in ("", "offline")
            else "real"
        )
    if default is None and any(line.startswith("- **Data:** simulated") for line in lines):
        return "simulated"
    return default


def chapter_list(book: Path, pages: Container[str]) -> str:
    """Write the parts of the book with the question of every chapter.

    Parameters
    ----------
    book : Path
        Folder of the sources, with ``_toc.yml`` in it.
    pages : container of str
        Names of the pages that the edition at hand has.

    Returns
    -------
    str
        MyST: one paragraph and list a part. A page without a card is named only.
    """
    toc = yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8"))
    out: list[str] = []
    for part in toc.get("parts", []):
        lines, plain = [], []
        for entry in part["chapters"]:
            page = entry["file"].removesuffix(".md")
            if page not in pages:
                continue
            text = (book / f"{page}.md").read_text(encoding="utf-8")
            question = re.search(r"^- \*\*Question:\*\* (.+)$", text, re.MULTILINE)
            if question is None:
                plain.append(f"{{doc}}`{page}`")
            else:
                lines.append(f"- {{doc}}`{page}`: {question[1].strip()}")
        if plain:
            lines.append("- " + ", ".join(plain))
        if lines:
            out += [f"**{part['caption']}**", "\n".join(lines)]
    return "\n\n".join(out)
