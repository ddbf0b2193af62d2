r"""Write the quiz bank of the page for teachers to files that others import.

``python book/_ext/quiz.py SITE FOLDER`` reads ``teaching.html`` of a built site,
where references are resolved and answers computed, and writes ``quiz.gift`` (the
GIFT format of Moodle, which other systems read too) and ``quiz.csv``.

A question is an admonition with ``:class: quiz`` whose title is its name in
backticks, a middle dot and its kind. In it are the text, the options of a
multiple choice as a list ``- (a) ...``, and an admonition *Answer*, which
begins with the answer, a glued value, and may give a reason for each option.
"""

from __future__ import annotations

import csv
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

from bs4 import BeautifulSoup, Tag

KINDS = ("multiple choice", "numeric", "graph reading")


@dataclass(frozen=True)
class Question:
    """A question with its answer; texts are HTML, formulas in ``\\( \\)``."""

    name: str
    kind: str
    section: str
    text: str
    options: dict[str, str]
    answer: str  # letter of the right option, or a number as it is shown
    feedback: str
    reasons: dict[str, str]

    @property
    def number(self) -> tuple[float, float]:
        """Value and tolerance of a numeric answer, in the unit in which it is shown.

        One in the last digit that is shown, or what the text allows; none for a count.
        """
        value, percent, _ = self.answer.partition("%")
        decimals = len(value.partition(".")[2])
        unit = 10.0**-decimals if decimals or percent else 0.0
        within = re.search(r"± (\d+(?:\.\d+)?)", self.text)
        return float(value), float(within[1]) if within else unit

    def gift(self) -> str:
        """The question in the GIFT format."""
        if self.options:
            body = "{\n" + "".join(
                f"\t{'=' if letter == self.answer else '~'}{_escape(option)}"
                f"#{_escape(self.reasons[letter])}\n"
                for letter, option in self.options.items()
            )
        else:
            body = "{{#{:.6g}:{:.6g}\n".format(*self.number)
        why = f"\t####{_escape(self.feedback)}\n}}"
        return f"::{self.name}::[html]{_escape(self.text)}{body}{why}"

    def row(self) -> dict[str, str]:
        """The question as a row of a table."""
        number = [f"{v:.6g}" for v in self.number] if not self.options else [self.answer, ""]
        reasons = [f"({letter}) {why}" for letter, why in self.reasons.items()]
        return {
            "name": self.name,
            "section": self.section,
            "kind": self.kind,
            "question": self.text,
            "options": " | ".join(f"({letter}) {text}" for letter, text in self.options.items()),
            "answer": number[0],
            "within": number[1],
            "feedback": " ".join([self.feedback, *reasons]),
        }


def questions(page: str) -> list[Question]:
    """Read the questions of a built page.

    Raises
    ------
    ValueError
        If a question has no name and kind, or no answer that begins with a glued value.
    """
    soup = BeautifulSoup(page, "html.parser")
    canonical = soup.select_one("link[rel=canonical]")
    for link in soup.select(".quiz a[href]"):
        link["href"] = urljoin(str(canonical["href"]) if canonical else "", str(link["href"]))
    return [_question(part) for part in soup.select("div.quiz.admonition")]


def _question(part: Tag) -> Question:
    head = part.select_one("p.admonition-title").extract().get_text()
    title = re.fullmatch(r"([\w-]+) · (.+)", head)
    if title is None or title[2] not in KINDS:
        raise ValueError(f"title {head!r} is not `name` · one of {KINDS}")
    above = part.find_previous(["h2", "h3"])
    why = part.select_one("div.admonition")
    start = why.select_one("p.admonition-title + p").contents[0] if why else None
    glued = start.select_one(".pasted-text") if isinstance(start, Tag) else None
    if why is None or glued is None:
        raise ValueError(f"{title[1]} needs an Answer that begins with a glued value")
    why.extract().p.extract()
    options, reasons = _options(part), _options(why)
    section = "".join(above.find_all(string=True, recursive=False)).strip() if above else ""
    text, answer = _html(part), glued.get_text()
    return Question(title[1], title[2], section, text, options, answer, _html(why), reasons)


def _options(part: Tag) -> dict[str, str]:
    """Take the lists whose items begin with (a), (b), ... out of a piece of the page."""
    found: dict[str, str] = {}
    for item in part.select("li"):
        if letter := re.match(r"\((\w)\) ", item.get_text()):
            found[letter[1]] = _html(item).removeprefix(f"({letter[1]}) ")
    for listed in part.select("ul"):
        listed.extract()
    return found


def _html(part: Tag) -> str:
    """What is in a piece of the page, without the styles of the site."""
    part = BeautifulSoup(part.decode_contents(), "html.parser")
    for tag in part.select("span"):
        tag.unwrap()
    for tag in part.find_all(True):
        tag.attrs = {"href": tag["href"]} if tag.get("href") else {}
    if len(part.select("p")) == 1:
        part.p.unwrap()
    return " ".join(str(part).split())


def _escape(text: str) -> str:
    """Put a backslash before what has a meaning in GIFT."""
    return re.sub(r"([\\~=#{}:])", r"\\\1", text)


def main(argv: list[str]) -> int:
    """Run the command: write both files."""
    site, folder = map(Path, argv)
    soup = BeautifulSoup((site / "index.html").read_text(encoding="utf-8"), "html.parser")
    book = soup.title.get_text().rpartition("—")[2].partition(":")[0].strip()
    page = site / "teaching.html"
    if not page.is_file():
        print(f"{page} does not exist: build the public or the instructor edition", file=sys.stderr)
        return 1
    asked = questions(page.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    parts, section = [], ""
    for question in asked:
        if question.section != section:
            section = question.section
            parts.append(f"$CATEGORY: $course$/{book}/{section}")
        parts.append(question.gift())
    (folder / "quiz.gift").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    rows = [question.row() for question in asked]
    with (folder / "quiz.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(asked)} questions: {folder / 'quiz.gift'}, {folder / 'quiz.csv'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
