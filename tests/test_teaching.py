"""The page for teachers: the quiz bank and its files, the sums of syllabi and rubric."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import colab
import pytest
import quiz

ROOT = Path(__file__).resolve().parents[1]


BOOK = colab.Book(ROOT)
PATH = BOOK.path("teaching")
TEXT = PATH.read_text(encoding="utf-8")
ASKED = quiz.questions(PATH)


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    """What the cells of the page compute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CAUSALPREF_BOOK", raising=False)
        found: dict[str, Any] = quiz.answers(PATH)
    return found


def section(title: str) -> str:
    """Text of the page from a heading to the next of its rank or a higher one."""
    start = re.search(rf"(?m)^(#+) {re.escape(title)}", TEXT)
    assert start is not None, title
    end = re.search(rf"(?m)^#{{1,{len(start[1])}}} ", TEXT[start.end() :])
    return TEXT[start.end() : start.end() + end.start()] if end else TEXT[start.end() :]


def column(text: str, name: str) -> list[str]:
    """A column of the first table of a text that has it."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.split("\n")
        if line.startswith("|")
    ]
    at = next(row for row in rows if name in row)
    rows = rows[rows.index(at) + 2 :]
    return [row[at.index(name)] for row in rows if len(row) == len(at)]


# Quiz bank ---------------------------------------------------------------------


def test_bank_is_large_mixed_and_covers_many_chapters() -> None:
    assert len(ASKED) >= 30
    assert len({q.name for q in ASKED}) == len(ASKED)
    assert {q.kind for q in ASKED} == set(quiz.KINDS)
    by_section: dict[str, set[str]] = {}
    for question in ASKED:
        by_section.setdefault(question.section, set()).add(question.name.partition("-")[0])
    assert len(by_section) >= 9 and all(len(prefixes) == 1 for prefixes in by_section.values())
    linked = [set(re.findall(r"`(?:[^`<]*<)?([\w-]+)>?`", q.text + q.feedback)) for q in ASKED]
    docs = {BOOK.labels[label].doc for labels in linked for label in labels & set(BOOK.labels)}
    assert len(docs) >= 9, "questions lead back to the chapters"


@pytest.mark.parametrize("question", ASKED, ids=lambda q: q.name)
def test_answer_is_computed_and_wrong_options_have_a_reason(question: Any, values: Any) -> None:
    assert question.glued == question.name, "the answer is glued under the question's name"
    answer = values[question.name]
    if question.options:
        assert list(question.options) == list("abcdef"[: len(question.options)])
        assert answer in question.options and question.options.keys() == question.reasons.keys()
        assert len(question.options) >= 3
    else:
        assert isinstance(answer, (int, float)) and question.kind != "multiple choice"
        assert answer > 0, "a minus sign is lost in many answer fields"
        assert question.spec
    figures = [
        label
        for label in re.findall(r"<([\w-]+)>`", question.text)
        if BOOK.labels[label].kind == "figure"
    ]
    assert bool(figures) == (question.kind == "graph reading")
    if figures and not question.options:
        assert "± " in question.text, "says how well it is to be read"
    if question.spec.endswith("%"):
        assert "per cent" in question.text


def test_right_options_are_not_always_the_same_letter(values: Any) -> None:
    letters = [values[q.name] for q in ASKED if q.options]
    assert max(map(letters.count, set(letters))) < len(letters) / 2
    assert set(letters) == set("abcd")


def test_an_answer_needs_one_true_option() -> None:
    block = next(b.text for b in colab.parse(*colab._split(PATH)[1:]) if "def answer" in b.text)
    kept: dict[str, str] = {}
    names: dict[str, Any] = {"glue": kept.__setitem__}
    exec(block, names)
    names["answer"]("q", 1 > 2, 2 > 1, False)
    assert kept == {"q": "b"}
    for options in ((False, False), (True, True)):
        with pytest.raises(AssertionError, match="q: . options are true"):
            names["answer"]("q", *options)


def gift(text: str) -> list[dict[str, Any]]:
    """Read GIFT as an importer does: control characters that no backslash precedes."""
    found = []
    for item in re.split(r"\n\s*\n", text.strip()):
        if item.startswith("$CATEGORY:"):
            continue
        match = re.fullmatch(r"::([\w-]+)::\[html\](.*?)(?<!\\)\{(.*?)(?<!\\)\}", item, re.DOTALL)
        assert match is not None, item
        assert not re.search(r"(?<!\\)[{}~]|(?<!\\)=", match[2]), item
        body, _, why = match[3].partition("####")
        entry: dict[str, Any] = {"name": match[1], "text": match[2], "why": why.strip()}
        if body.startswith("#"):
            entry["number"] = tuple(map(float, body[1:].strip().split(":")))
        else:
            entry["options"] = re.findall(r"\t([=~])((?:[^\\#]|\\.)+)#((?:\\.|[^\\\n])+)\n", body)
        found.append(entry)
    return found


def test_files_hold_every_question_and_its_answer(tmp_path: Path, values: Any) -> None:
    book = colab.Book(ROOT)
    bank = quiz.Bank(colab.Page(book, "teaching"), values)
    read = gift("\n\n".join(bank.gift(q) for q in ASKED))
    assert [r["name"] for r in read] == [q.name for q in ASKED]
    for question, entry in zip(ASKED, read):
        if question.options:
            marks = "".join(mark for mark, *_ in entry["options"])
            assert marks.count("=") == 1 and len(marks) == len(question.options)
            assert "abcdef"[marks.index("=")] == values[question.name]
        else:
            value, within = entry["number"]
            shown = format(values[question.name], question.spec)
            assert abs(value - float(shown.rstrip("%"))) <= within
        row = bank.row(question)
        assert row["answer"] and row["feedback"]
        assert not re.search("[\ue000-\ue003]|\\{[a-z:]+\\}`", "".join(row.values()))


def test_command_writes_both_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], values: Any
) -> None:
    monkeypatch.setattr(quiz, "answers", lambda path: values)
    assert quiz.main(["--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"{len(ASKED)} questions: ")
    text = (tmp_path / "quiz.gift").read_text(encoding="utf-8")
    assert len(gift(text)) == len(ASKED) and text.count("$CATEGORY: ") >= 9
    with (tmp_path / "quiz.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [q.name for q in ASKED]


PAGE = """\
# Page

## Part

:::::{admonition} `q-one` · KIND
:class: quiz
How *many* of $\\{a, b\\}$ = 2?

::::{admonition} Answer
:class: dropdown
ANSWER
::::
:::::
"""


def test_numbers_formulas_and_control_characters(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    answer = "**{glue:text}`q-one:.1%`**: so."
    page.write_text(PAGE.replace("KIND", "numeric").replace("ANSWER", answer))
    (question,) = quiz.questions(page)
    bank = quiz.Bank(colab.Page(BOOK, "teaching"), {"q-one": 0.1234})
    assert bank.number(question) == (pytest.approx(12.34), 0.1)
    assert bank.gift(question) == (
        "::q-one::[html]How <em>many</em> of \\\\(\\\\\\{a, b\\\\\\}\\\\) \\= 2?"
        "{#12.34:0.1\n\t####<strong>12.3%</strong>\\: so.\n}"
    )
    page.write_text(PAGE.replace("KIND", "numeric").replace("ANSWER", "**{glue:text}`q-one:d`**"))
    (count,) = quiz.questions(page)
    assert quiz.Bank(colab.Page(BOOK, "teaching"), {"q-one": 1}).number(count) == (1, 0)


@pytest.mark.parametrize(
    ("kind", "answer", "message"),
    [
        ("essay", "**{glue:text}`q-one`**", "line 5: title '`q-one` · essay'"),
        ("numeric", "It is 2.", "line 5: q-one needs an Answer that begins with a glued value"),
    ],
)
def test_a_question_out_of_form_is_named(
    tmp_path: Path, kind: str, answer: str, message: str
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("KIND", kind).replace("ANSWER", answer))
    with pytest.raises(ValueError, match=re.escape(message)):
        quiz.questions(page)


# Syllabi, project, misconceptions ------------------------------------------------


def test_minutes_and_points_add_up() -> None:
    lecture = column(section("One lecture, 90 minutes"), "minutes")
    assert sum(map(int, lecture)) == 90
    assert column(section("One week, five days"), "minutes") == ["150"] * 5
    assert column(section("One term, fourteen weeks"), "minutes") == ["180"] * 14
    assert sum(map(int, column(section("A project"), "points"))) == 100
    marks = re.search(r"Marks: exercises (\d+), quizzes (\d+), project (\d+)", TEXT)
    assert marks is not None and sum(map(int, marks.groups())) == 100


def test_syllabi_name_questions_that_exist() -> None:
    names = {q.name for q in ASKED}
    text = "".join(section(t) for t in ("One lecture", "One week", "One term"))
    named = set(re.findall(r"(?<!\})`([a-z]+-[a-z]+)`", text))
    assert named and named <= names
    prefixes = set(re.findall(r"`([a-z]+)-\*`", text))
    assert prefixes == {name.partition("-")[0] for name in names}


def test_every_misconception_comes_with_something_to_show() -> None:
    beliefs = re.split(r"(?m)^(?=\*\*\d+\. )", section("Common misconceptions"))[1:]
    assert len(beliefs) >= 12
    for k, belief in enumerate(beliefs, start=1):
        assert belief.startswith(f'**{k}. "')
        assert "Say: " in belief
        shown = re.search(r"Show .*\{(ref|doc)\}`", belief)
        assert "{code-cell}" in belief or shown or "{prf:" in belief


def test_page_is_for_teachers_and_its_commands_exist() -> None:
    assert colab._split(PATH)[0]["audience"] == "teachers"  # so the students' edition lacks it
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = set(re.findall(r"`make (\w+)`", TEXT))
    assert "quiz" in commands
    for command in commands:
        assert re.search(rf"(?m)^(\w+ )*{command}( \w+)*:", makefile), command


def test_every_chapter_has_notes() -> None:
    notes = section("Notes, chapter by chapter")
    for doc in re.findall(r"\{doc\}`(\w+)`", section("One term, fourteen weeks")):
        part = notes.partition(f"**{{doc}}`{doc}`**")[2].partition("**{doc}")[0]
        for word in ("*Takes long:*", "*Stuck:*", "*Discuss:*"):
            assert word in part, (doc, word)
