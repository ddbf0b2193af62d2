"""Write the quiz bank of the page for teachers to files that others import.

``python book/_ext/quiz.py`` runs the cells of ``book/teaching.md``, puts the
answers that they compute into the questions, and writes ``quiz.gift`` (the
GIFT format of Moodle, which other systems read too) and ``quiz.csv``.

A question is an admonition with ``:class: quiz`` whose title is its name in
backticks, a middle dot and its kind. In it are the text, the options of a
multiple choice as a list ``- (a) ...``, and an admonition *Answer*, which
begins with the answer, glued under the name of the question, and may give a
reason for each option.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from colab import START, STOP, Block, Book, Page, _split, parse
from markdown_it import MarkdownIt

from causalpref.figures import notebook

PAGE = "teaching"
KINDS = ("multiple choice", "numeric", "graph reading")

_TITLE = re.compile(r"`([\w-]+)` · (.+)")
_OPTION = re.compile(r"(?m)^- \((\w)\) (.+)$")
_ANSWER = re.compile(r"\*\*\(?\{glue:text\}`([\w-]+)(?::([^`]*))?`\)?\*\*")
_GLUED = re.compile(f"{START}([\\w-]+)(?::([^{STOP}]*))?{STOP}")
_WITHIN = re.compile(r"± (\d+(?:\.\d+)?)")
_MATH = re.compile(r"\$((?:[^$\\]|\\.)+)\$")


@dataclass
class Question:
    """A question as it stands on the page, in Markdown with roles."""

    name: str
    kind: str
    section: str
    line: int
    text: str
    feedback: str
    options: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    glued: str = ""  # name under which the answer is glued
    spec: str = ""  # and how it is shown


def questions(path: Path) -> list[Question]:
    """Read the questions of a page.

    Raises
    ------
    ValueError
        If a question has no name and kind, or no answer that begins with a
        glued value.
    """
    _, lines, first = _split(path)
    found, section = [], ""
    for block in parse(lines, first):
        if block.kind == "heading":
            section = block.text
        elif block.name == "admonition" and block.options.get("class") == "quiz":
            found.append(_question(block, section))
    return found


def _question(block: Block, section: str) -> Question:
    title = _TITLE.fullmatch(block.arg)
    if title is None or title[2] not in KINDS:
        raise ValueError(f"line {block.line}: title {block.arg!r} is not `name` · one of {KINDS}")
    inner = parse(block.text.split("\n"), block.first)
    told = [b.text for b in inner if b.kind == "text"]
    folded = [b for b in inner if b.name == "admonition" and b.arg == "Answer"]
    options = dict(_OPTION.findall("\n".join(told)))
    text = "\n\n".join(t for t in told if not _OPTION.match(t))
    if len(folded) != 1 or (answer := _ANSWER.match(folded[0].text)) is None:
        raise ValueError(
            f"line {block.line}: {title[1]} needs an Answer that begins with a glued value"
        )
    why = folded[0].text
    feedback = _OPTION.sub("", why).strip()
    return Question(
        title[1],
        title[2],
        section,
        block.line,
        text,
        feedback,
        options,
        dict(_OPTION.findall(why)),
        answer[1],
        answer[2] or "",
    )


def answers(path: Path) -> dict[str, Any]:
    """Run the cells of a page and return what they glue."""
    _, lines, first = _split(path)
    notebook._glued.clear()
    names: dict[str, Any] = {"__name__": "page"}
    for block in parse(lines, first):
        if block.name == "code-cell":
            source = re.sub(r"(?m)^(\s*)%.*$", r"\1pass", block.text)
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(source, f"{path.name}:{block.first}", "exec"), names)
    return dict(notebook._glued)


class Bank:
    """Questions with their answers, as text for other programs.

    Parameters
    ----------
    page : Page
        For its links and references.
    values : mapping of str to object
        What the cells glue.
    """

    def __init__(self, page: Page, values: Mapping[str, Any]) -> None:
        self.page, self.values = page, values
        self.markdown = MarkdownIt()

    def html(self, text: str, line: int) -> str:
        """Render Markdown with roles and glued values; formulas in ``\\( \\)``."""
        plain = self.page.inline(text, line)
        plain = _GLUED.sub(lambda m: format(self.values[m[1]], m[2] or ""), plain)
        formulas: list[str] = []

        def put_by(match: re.Match[str]) -> str:
            formulas.append(match[1])
            return f"\ue002{len(formulas) - 1}\ue003"

        shown = self.markdown.render(_MATH.sub(put_by, plain)).strip()
        shown = re.sub(
            "\ue002(\\d+)\ue003", lambda m: f"\\({_entities(formulas[int(m[1])])}\\)", shown
        )
        if shown.count("<p>") == 1 and shown.startswith("<p>"):
            shown = shown.removeprefix("<p>").removesuffix("</p>")
        return shown.replace("\n", " ")

    def number(self, question: Question) -> tuple[float, float]:
        """Value and tolerance of a numeric answer, in the unit in which it is shown.

        One in the last digit that is shown, or what the text allows; none for a count.
        """
        value = float(self.values[question.glued])
        percent = question.spec.endswith("%")
        digits = re.search(r"\.(\d+)", question.spec)
        unit = 10.0 ** -int(digits[1]) if digits else 0.0 if question.spec == "d" else 1.0
        within = _WITHIN.search(question.text)
        return 100 * value if percent else value, float(within[1]) if within else unit

    def gift(self, question: Question) -> str:
        """The question in the GIFT format."""
        text = _escape(self.html(question.text, question.line))
        why = _escape(self.html(question.feedback, question.line))
        if question.options:
            right = self.values[question.glued]
            lines = [
                f"\t{'=' if letter == right else '~'}"
                f"{_escape(self.html(option, question.line))}"
                f"#{_escape(self.html(question.reasons[letter], question.line))}"
                for letter, option in question.options.items()
            ]
            body = "{\n" + "\n".join(lines) + f"\n\t####{why}\n}}"
        else:
            value, within = self.number(question)
            body = f"{{#{value:.6g}:{within:.6g}\n\t####{why}\n}}"
        return f"::{question.name}::[html]{text}{body}"

    def row(self, question: Question) -> dict[str, str]:
        """The question as a row of a table."""
        options = [f"({k}) {self.html(v, question.line)}" for k, v in question.options.items()]
        if question.options:
            answer, within = str(self.values[question.glued]), ""
        else:
            answer, within = (f"{v:.6g}" for v in self.number(question))
        reasons = [f"({k}) {self.html(v, question.line)}" for k, v in question.reasons.items()]
        return {
            "name": question.name,
            "section": question.section,
            "kind": question.kind,
            "question": self.html(question.text, question.line),
            "options": " | ".join(options),
            "answer": answer,
            "within": within,
            "feedback": " ".join([self.html(question.feedback, question.line), *reasons]),
        }


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escape(text: str) -> str:
    """Put a backslash before what has a meaning in GIFT."""
    return re.sub(r"([\\~=#{}:])", r"\\\1", text)


def main(argv: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Run the command; return 0."""
    root = root or Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description="Write the quiz bank as GIFT and CSV.")
    parser.add_argument("--out", type=Path, default=root / "_build" / "quiz", help="folder")
    folder = parser.parse_args(argv).out
    book = Book(root)
    path = book.path(PAGE)
    bank, asked = Bank(Page(book, PAGE), answers(path)), questions(path)
    folder.mkdir(parents=True, exist_ok=True)
    parts, section = [], ""
    for question in asked:
        if question.section != section:
            section = question.section
            parts.append(f"$CATEGORY: $course$/{book.title}/{section}")
        parts.append(bank.gift(question))
    (folder / "quiz.gift").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    rows = [bank.row(question) for question in asked]
    with (folder / "quiz.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(asked)} questions: {folder / 'quiz.gift'}, {folder / 'quiz.csv'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
