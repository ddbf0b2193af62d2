"""Cards, captions and the home page: complete, computed, in an order that can be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cards
import pytest
import sources
import yaml
from conftest import ROOT

FOLDER = ROOT / "book"
DOCS = sources.pages(FOLDER)
CARD = ("Question", "Afterwards you can", "Presumes", "Time", "Data")
TEXTS = {doc: (FOLDER / f"{doc}.md").read_text(encoding="utf-8") for doc in DOCS}
CHAPTERS = [doc for doc, text in TEXTS.items() if ":class: chapter-card" in text]
# What a caption says of its data.
STATED = re.compile(r"simulated|\breal\b|recorded|\bno data\b|the paper's|Data: ", re.IGNORECASE)


def card(doc: str) -> dict[str, str]:
    inside = TEXTS[doc].partition(":class: chapter-card\n")[2].partition("\n:::")[0]
    return dict(re.findall(r"^- \*\*(.+?):\*\* (.+)$", inside, re.MULTILINE))


def directives(text: str, *names: str) -> Iterator[tuple[str, str]]:
    """Argument and content of the directives of these names, wherever they are nested."""
    for found in re.finditer(r"(?m)^ *(:{3,}|`{3,})\{([^}\s]+)\} *(.*)\n", text):
        if found[2] in names:
            end = re.compile(rf"(?m)^ *{found[1]}$").search(text, found.end())
            assert end, found[0]
            yield found[3], text[found.end() : end.start()]


# Cards -------------------------------------------------------------------------


def test_every_page_of_the_numbered_parts_has_a_card() -> None:
    toc = yaml.safe_load((FOLDER / "_toc.yml").read_text())
    numbered = [
        entry["file"] for part in toc["parts"] if part.get("numbered") for entry in part["chapters"]
    ]
    assert numbered == CHAPTERS


@pytest.mark.parametrize("doc", CHAPTERS)
def test_cards_are_complete(doc: str) -> None:
    found = card(doc)
    assert tuple(found) == CARD, f"{doc}: the card has {tuple(found)}"
    assert found["Question"].rstrip().endswith("?")
    assert re.search(r"\b(simulated|real|none)\b", found["Data"])


@pytest.mark.parametrize("doc", CHAPTERS)
def test_nobody_types_a_time_that_is_estimated_or_measured(doc: str) -> None:
    time = card(doc)["Time"]
    role = re.match(r"\{card-time\}`([^`]*for the exercises)`", time)
    assert role, f"{doc}: {time}"
    assert not re.search(r"\d", time), f"{doc}: {time}"


@pytest.mark.parametrize("doc", CHAPTERS)
def test_no_chapter_presumes_a_later_one(doc: str) -> None:
    for other in re.findall(r"\{doc\}`(?:[^`<]*<)?(\w+)>?`", card(doc)["Presumes"]):
        assert DOCS.index(other) < DOCS.index(doc), f"{doc} presumes {other}"


PAGE = """\
---
kernelspec: {{name: python3}}
---
# Four words of title

{words}

## Exercises

{solved}

## Key ideas
"""


def write(folder: Path, **parts: str) -> Path:
    (folder / "page.md").write_text(PAGE.format(**parts))
    return folder / "page.md"


def test_reading_time_is_that_of_the_words_without_the_exercises(tmp_path: Path) -> None:
    plain = " ".join(["word ="] * 3000)
    assert cards.reading_minutes(write(tmp_path, words=plain, solved="short")) == 20
    assert cards.reading_minutes(write(tmp_path, words="short", solved=plain)) == 5


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "under 10 seconds"),
        (9.9, "under 10 seconds"),
        (10.0, "about 10 seconds"),
        (26, "about 30 seconds"),
        (54, "about 50 seconds"),
        (57, "about 1 minute"),
        (100, "about 1.5 minutes"),
        (1500, "about 25 minutes"),
    ],
)
def test_durations_are_said(seconds: float, said: str) -> None:
    assert cards.spoken(seconds) == said


def test_running_time_is_what_was_recorded(tmp_path: Path) -> None:
    write(tmp_path, words="short", solved="x")
    say = cards.time_line
    assert say(tmp_path, "page", "an hour for the exercises") == (
        "5 minutes to read, an hour for the exercises; time to run not measured yet."
    )
    results = tmp_path / "results" / "pages"
    results.mkdir(parents=True)
    (results / "pages.csv").write_text("page,words,execution_s\nother,1,99\npage.html,1,22.5\n")
    assert say(tmp_path, "page", "x").endswith(
        "; about 20 seconds to run on a CPU (not measured on a GPU)."
    )
    (results / "gpu.csv").write_text("page,execution_s\npage,8\n")
    assert say(tmp_path, "page", "x").endswith(
        "; about 20 seconds to run on a CPU, under 10 seconds on a GPU."
    )
    path = tmp_path / "page.md"
    path.write_text(path.read_text().replace("kernelspec", "audience"))
    assert say(tmp_path, "page", "x").endswith("; nothing to run.")


def test_every_chapter_that_runs_was_measured() -> None:
    table = FOLDER / cards.RESULTS[0]
    if not table.is_file():
        pytest.skip("no times are recorded yet (benchmarks/pages.py)")
    for doc in CHAPTERS:
        if "kernelspec" in sources.split(FOLDER / f"{doc}.md")[0]:
            assert cards.recorded_seconds(table, doc) is not None, (
                f"{doc} is not in {cards.RESULTS[0]}"
            )


# Captions ----------------------------------------------------------------------


@pytest.mark.parametrize("doc", DOCS)
def test_captions_say_whether_data_are_simulated_or_real(doc: str) -> None:
    """Drawings say that they show no data; numbers in a Markdown table need a caption."""
    for name, caption in directives(TEXTS[doc], "figure", "glue:figure", "image"):
        assert STATED.search(caption), f"{doc}: the caption of {name} does not say of what data"
    for title, _ in directives(TEXTS[doc], "table", "list-table"):
        assert STATED.search(title), f"{doc}: the caption {title!r} does not say of what data"
    bare = re.sub(
        r"^(`{3,}|:{3,})\{(?:table|list-table)\}.*?^\1",
        "",
        TEXTS[doc],
        flags=re.DOTALL | re.MULTILINE,
    )
    numbers = re.search(r"^\|.*\{glue:text\}.*\|$", bare, re.MULTILINE)
    assert numbers is None, f"{doc}: a table with numbers and without a caption: {numbers[0]}"  # type: ignore[index]


TABLE = '<table border="1" class="dataframe"><thead><tr><th></th><th>{}</th></tr></thead></table>'


def test_tables_of_cells_say_of_what_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAUSALPREF_DATA", raising=False)
    page = tmp_path / "page.md"
    page.write_text("# T\n\n- **Data:** real.\n")
    assert cards.table_data(page, TABLE.format("a")) is None
    page.write_text("# T\n\n- **Data:** simulated throughout.\n")
    assert cards.table_data(page, TABLE.format("a")) == "simulated"
    page.write_text("---\ntable_data: {default: as chosen, z1: 'real, HANNA'}\n---\n# T\n")
    assert cards.table_data(page, TABLE.format("z1")) == "real, HANNA"
    assert cards.table_data(page, TABLE.format("a")) == "simulated"
    monkeypatch.setenv("CAUSALPREF_DATA", "hub")
    assert cards.table_data(page, TABLE.format("a")) == "real"


# Home page ---------------------------------------------------------------------


def test_home_page_leads_three_ways_and_lists_every_chapter() -> None:
    home = TEXTS["index"]
    assert [card for card, _ in directives(home, "grid-item-card")] == ["Read", "Run", "Teach"]
    branch = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["branch"]
    opened = re.search(
        r"research\.google\.com/github/[^/]+/[^/]+/blob/([^/]+)/(book/\w+\.ipynb)", home
    )
    assert opened and opened[1] == branch and (ROOT / opened[2]).is_file()
    assert len(list(directives(home, "glue:figure"))) == 1
    assert "```{chapter-list}" in home
    listed = re.findall(r"\{doc\}`(\w+)`", cards.chapter_list(FOLDER, DOCS))
    assert listed == DOCS[1:]
    for doc in CHAPTERS:
        assert f"{{doc}}`{doc}`: {card(doc)['Question']}" in cards.chapter_list(FOLDER, DOCS)


def test_chapter_list_leaves_out_what_an_edition_lacks() -> None:
    kept = [doc for doc in DOCS if doc != "teaching"]
    assert "teaching" not in cards.chapter_list(FOLDER, kept)
    assert "**Teaching**" not in cards.chapter_list(FOLDER, kept)


def test_nothing_is_a_stub() -> None:
    for doc, text in TEXTS.items():
        found = re.search(
            r"\b(TODO|FIXME|TBD|coming soon|(still being|to be) written|under construction)\b", text
        )
        assert found is None, f"{doc}: {found[0]}"  # type: ignore[index]
