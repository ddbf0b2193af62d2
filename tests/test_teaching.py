"""The page for teachers: the quiz bank and its files, the sums of syllabi and rubric."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import public_names
import pytest
import quiz
import sources
from conftest import ROOT
from test_editions import build

PATH = ROOT / "book" / "teaching.md"
FRONT, TEXT = sources.split(PATH)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of this page alone, run: links to other pages lead nowhere."""
    root = tmp_path_factory.mktemp("teaching")
    shutil.copy(ROOT / "_config.yml", root)
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("*.md", "*.ipynb"))
    shutil.copy(PATH, root / "book")
    (root / "book" / "index.md").write_text("# Index\n")
    (root / "book" / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nchapters:\n- file: teaching\n"
    )
    return build(root, strict=False)


@pytest.fixture(scope="module")
def asked(site: Path) -> list[quiz.Question]:
    return quiz.questions((site / "teaching.html").read_text(encoding="utf-8"))


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


def test_bank_is_large_mixed_and_covers_many_chapters(asked: list[quiz.Question]) -> None:
    assert len(asked) >= 30
    assert len({q.name for q in asked}) == len(asked) == TEXT.count(":class: quiz\n")
    assert {q.kind for q in asked} == set(quiz.KINDS)
    by_section: dict[str, set[str]] = {}
    for question in asked:
        by_section.setdefault(question.section, set()).add(question.name.partition("-")[0])
    assert len(by_section) >= 9 and all(len(prefixes) == 1 for prefixes in by_section.values())
    linked = set(re.findall(r"`(?:[^`<]*<)?([\w-]+)>?`", section("A quiz bank")))
    pages = {page for page, _, label, _ in sources.statements(ROOT / "book") if label in linked}
    assert len(pages) >= 9, "questions lead back to the chapters"


def test_answers_are_computed_and_wrong_options_have_a_reason(asked: list[quiz.Question]) -> None:
    for question in asked:
        name, raw = question.name, TEXT.partition(f"admonition}} `{question.name}`")[2]
        assert re.match(rf"\(?\{{glue:text\}}`{name}\b", raw.partition("dropdown\n**")[2]), (
            f"{name}: the answer is glued under the question's name"
        )
        if question.options:
            assert list(question.options) == list("abcdef"[: len(question.options)]), name
            assert question.answer in question.options, name
            assert question.options.keys() == question.reasons.keys(), name
            assert len(question.options) >= 3, name
        else:
            assert question.kind != "multiple choice", name
            assert question.number[0] > 0, "a minus sign is lost in many answer fields"
        figure = re.search(r"<fig-[\w-]+>`", raw.partition("::::{admonition} Answer")[0])
        assert bool(figure) == (question.kind == "graph reading"), name
        if figure and not question.options:
            assert "± " in question.text, f"{name} says how well it is to be read"
        if question.answer.endswith("%"):
            assert "per cent" in question.text, name


def test_right_options_are_not_always_the_same_letter(asked: list[quiz.Question]) -> None:
    letters = [q.answer for q in asked if q.options]
    assert max(map(letters.count, set(letters))) < len(letters) / 2
    assert set(letters) == set("abcd")


def test_an_answer_needs_one_true_option() -> None:
    cell = next(c for c in public_names.CELL.findall(TEXT) if "def answer" in c)
    kept: dict[str, str] = {}
    names: dict[str, Any] = {"glue": kept.__setitem__}
    exec(cell.partition("]\n")[2], names)
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


def test_files_hold_every_question_and_its_answer(
    site: Path, asked: list[quiz.Question], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quiz.main([str(site), str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"{len(asked)} questions: ")
    text = (tmp_path / "quiz.gift").read_text(encoding="utf-8")
    assert text.startswith("$CATEGORY: $course$/causalpref/") and text.count("$CATEGORY: ") >= 9
    with (tmp_path / "quiz.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    read = gift(text)
    assert [r["name"] for r in read] == [r["name"] for r in rows] == [q.name for q in asked]
    for question, entry, row in zip(asked, read, rows, strict=True):
        if question.options:
            marks = "".join(mark for mark, *_ in entry["options"])
            assert marks.count("=") == 1 and len(marks) == len(question.options)
            assert "abcdef"[marks.index("=")] == question.answer
        else:
            assert entry["number"] == question.number
        assert row["answer"] and row["feedback"]
        assert not re.search(r"\{[a-z:]+\}`|class=", "".join(row.values()))


def test_students_get_no_quiz(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "index.html").write_text("<title>Dogs</title>")
    assert quiz.main([str(tmp_path), str(tmp_path)]) == 1
    assert "build the public or the instructor edition" in capsys.readouterr().err


PAGE = """\
<link rel="canonical" href="https://a.b/teaching.html"><h3>Part<a>#</a></h3>
<div class="quiz admonition"><p class="admonition-title"><code><span>q-one</span></code> · KIND</p>
<p>How <em>many</em> of <span class="math">\\(\\{a, b\\}\\)</span> = 2?
<a class="x" href="p.html#q">P</a></p>
<div class="dropdown admonition"><p class="admonition-title">Answer</p>
<p>ANSWER</p></div>
</div>
"""


def one(kind: str, answer: str) -> quiz.Question:
    (question,) = quiz.questions(PAGE.replace("KIND", kind).replace("ANSWER", answer))
    return question


def test_numbers_formulas_and_control_characters() -> None:
    glued = '<strong><span class="pasted-text">{}</span></strong>: so.'
    question = one("numeric", glued.format("12.3%"))
    assert question.number == (12.3, 0.1) and question.section == "Part"
    assert question.gift() == (
        "::q-one::[html]How <em>many</em> of \\\\(\\\\\\{a, b\\\\\\}\\\\) \\= 2? "
        '<a href\\="https\\://a.b/p.html\\#q">P</a>'
        "{#12.3:0.1\n\t####<strong>12.3%</strong>\\: so.\n}"
    )
    assert one("numeric", glued.format("7")).number == (7, 0)
    assert one("numeric", glued.format("70%")).number == (70, 1)


@pytest.mark.parametrize(
    ("kind", "answer", "message"),
    [
        ("essay", "<strong>2</strong>", "title 'q-one · essay'"),
        ("numeric", "It is <strong>2</strong>.", "q-one needs an Answer that begins with"),
    ],
)
def test_a_question_out_of_form_is_named(kind: str, answer: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        one(kind, answer)


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
    names = set(re.findall(r"\{admonition\} `([\w-]+)` · ", TEXT))
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
    assert FRONT["audience"] == "teachers"  # so the students' edition lacks it
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
