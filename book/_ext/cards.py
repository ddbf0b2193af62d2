"""What is computed for cards, captions and the home page.

The card of a chapter says ``{card-time}`an hour for the exercises```. What is
between the backticks is the only time that anybody types. The time to read is
an estimate, the time to run is read from the tables that
``benchmarks/pages.py`` records in ``book/results/pages``.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Container
from pathlib import Path

import yaml
from sources import split

WORDS_A_MINUTE = 150  # technical prose
RESULTS = ("results/pages/pages.csv", "results/pages/gpu.csv")


def reading_minutes(page: Path) -> int:
    """Minutes to read a page without its exercises, to the nearest five."""
    text = re.sub(r"(?ms)^## Exercises\n.*?(?=^## |\Z)", "", split(page)[1])
    words = sum(any(c.isalnum() for c in word) for word in text.split())
    return max(5, 5 * round(words / WORDS_A_MINUTE / 5))


def recorded_seconds(table: Path, page: str) -> float | None:
    """Measured seconds that a page takes to run; None if it was not measured."""
    if table.is_file():
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
    """What a page's card says about time: to read, for the exercises, to run."""
    source = book / f"{page}.md"
    cpu, gpu = (recorded_seconds(book / table, page) for table in RESULTS)
    if "kernelspec" not in split(source)[0]:
        run = "nothing to run"
    elif cpu is None:
        run = "time to run not measured yet"
    else:
        run = f"{spoken(cpu)} to run on a CPU"
        run += f", {spoken(gpu)} on a GPU" if gpu is not None else " (not measured on a GPU)"
    return f"{reading_minutes(source)} minutes to read, {exercises}; {run}."


def table_data(source: Path, html: str) -> str | None:
    """Say of what data a table is that a cell shows; None if the page does not say.

    The front matter may hold ``table_data``: what to say by the name of a column,
    and under ``default`` for all other tables. ``as chosen`` there means simulated
    or real as ``CAUSALPREF_DATA`` has it. Without it, "simulated" if the card says so.
    """
    front, text = split(source)
    said = dict(front.get("table_data") or {})
    default = said.pop("default", None)
    for column, data in said.items():
        if re.search(rf"<th[^>]*>{re.escape(column)}</th>", html):
            return str(data)
    if default == "as chosen":
        offline = os.environ.get("CAUSALPREF_DATA", "offline") in ("", "offline")
        return "simulated" if offline else "real"
    if default is None and re.search(r"(?m)^- \*\*Data:\*\* simulated", text):
        return "simulated"
    return default


def chapter_list(book: Path, pages: Container[str]) -> str:
    """List in MyST the parts of the book with the question of every chapter.

    `pages` holds those that the edition at hand has. A page without a card is named only.
    """
    out: list[str] = []
    for part in yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8")).get("parts", []):
        lines, plain = [], []
        for page in (entry["file"].removesuffix(".md") for entry in part["chapters"]):
            if page in pages:
                text = split(book / f"{page}.md")[1]
                question = re.search(r"(?m)^- \*\*Question:\*\* (.+)$", text)
                link = f"{{doc}}`{page}`"
                if question:
                    lines.append(f"- {link}: {question[1].strip()}")
                else:
                    plain.append(link)
        if plain:
            lines.append("- " + ", ".join(plain))
        if lines:
            out += [f"**{part['caption']}**", "\n".join(lines)]
    return "\n\n".join(out)
