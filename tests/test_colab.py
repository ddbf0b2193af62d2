"""The copies for Colab: plain Markdown with the numbers, links and citations of the book."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from pathlib import Path
from typing import Any

import colab
import jupytext
import nbformat
import pytest
import yaml
from conftest import ROOT
from nbclient import NotebookClient

BOOK = ROOT / "book"
BASE = yaml.safe_load((ROOT / "_config.yml").read_text())["html"]["baseurl"]
COPIES = sorted(BOOK.glob("*.ipynb"))

FRONT = """\
---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# Title

"""
BIB = """\
@article{one, author={{van der Berg}, Ada}, title={First}, journal={J}, year={2001}}
@article{two, author={Ab, A. and Cd, C.}, title={Second}, journal={J}, year={2002}}
@article{three, author={Ef, E. and Gh, G. and Ij, I.}, title={Third}, journal={J}, year={2003}}
"""
OTHER = """\
# The *other* page

(sec-there)=
## There

$$
z = 1
$$ (eq-there)

```{figure} a.png
:name: fig-there
There.
```

```{glossary}
overlap
  Both arms occur.

Borda count
  Points for places.
```

```{bibliography}
```
"""


def make_book(root: Path, pages: dict[str, str]) -> Path:
    """A book of numbered pages and of one that they refer to."""
    book = root / "book"
    book.mkdir()
    shutil.copy(ROOT / "_config.yml", root)
    part = {"caption": "Pages", "numbered": True, "chapters": [{"file": name} for name in pages]}
    toc = {"format": "jb-book", "root": "other", "parts": [part]}
    (book / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False))
    (book / "references.bib").write_text(BIB)
    (book / "other.md").write_text(OTHER)
    (book / "a.png").write_bytes(b"\x89PNG")
    for name, text in pages.items():
        (book / f"{name}.md").write_text(FRONT + text)
    return root


# Page to its copy's text, after the title; N is the number of the page.
RULES = {
    "comments": (
        "% gone\n<!-- gone -->\n\n(lab)=\n## Section\n\nSee {ref}`lab`.",
        "## Section\n\nSee Section.",
    ),
    "note": (":::{note}\nA $x\n= 1$.\n:::", "> **Note**\n>\n> A $x = 1$."),
    "card": (
        "```{admonition} My *title*\n:class: chapter-card\n- a\n- b\n```",
        "> **My *title***\n>\n> - a\n> - b",
    ),
    "nested": (
        "::::{tip}\nOut\n:::{warning}\nIn\n:::\n::::",
        "> **Tip**\n>\n> Out\n>\n> > **Warning**\n> >\n> > In",
    ),
    "definition": (
        ":::{prf:definition} Overlap\n:label: d\nText.\n:::\n\n{prf:ref}`d`",
        "**Definition N.1 (Overlap).** Text.\n\nDefinition N.1",
    ),
    "theorem": (
        ":::{prf:theorem} $x^2$\n:label: t\n$$\na\n$$\n:::",
        "**Theorem N.1 ($x^2$).**\n\n$$\na\n$$",
    ),
    "proof": ("```{prf:proof}\nClear.\n\nYes.\n```", "**Proof.** Clear.\n\nYes. ∎"),
    "formula_proof": ("```{prf:proof}\nFor\n\n$$\na\n$$\n```", "**Proof.** For\n\n$$\na\n$$\n\n∎"),
    "equations": (
        "```{math}\n:label: e\na = b\n```\n\n$$\nc\n$$ (f)\n\n{eq}`e` and {eq}`f`",
        "$$\na = b \\tag{N.1}\n$$\n\n$$\nc \\tag{N.2}\n$$\n\n(N.1) and (N.2)",
    ),
    "lines": (
        "$$\na &= b \\\\\nc &= d\n$$",
        "$$\n\\begin{split}\na &= b \\\\\nc &= d\n\\end{split}\n$$",
    ),
    "pages": (
        "{doc}`other` {ref}`sec-there`",
        "[The other page](B/other.html) [There](B/other.html#sec-there)",
    ),
    "numbers_there": (
        "{eq}`eq-there` {numref}`fig-there`",
        "[(1)](B/other.html#equation-eq-there) [Fig. 1](B/other.html#fig-there)",
    ),
    "term": (
        "{term}`overlap`, {term}`the other <Borda count>`",
        "[overlap](B/other.html#term-overlap), [the other](B/other.html#term-Borda-count)",
    ),
    "links": (
        "[x](other.md) [z](#sec-there) [y](http://a.b/c) <http://a.b/d>",
        "[x](B/other.html) [z](B/other.html#sec-there) [y](http://a.b/c) <http://a.b/d>",
    ),
    "picture": (
        "```{figure} a.png\n:alt: An A\n:name: fig\nAll of {numref}`fig`\n```",
        "![An A](B/_images/a.png)\n\n*Fig. N.1.* All of Fig. N.1",
    ),
    "image": ("![An A](a.png)", "![An A](B/_images/a.png)"),
    "figure": (
        "```{glue:figure} g\n:name: fg\nCaption\n\nLegend\n```\n\n{numref}`fg`",
        "*Fig. N.1.* Caption\n\nLegend\n\nFig. N.1",
    ),
    "cards": (
        "::::{grid} 2\n:::{grid-item-card} Card\n:link: other\n:link-type: doc\nBody\n:::\n::::",
        "- **[Card](B/other.html)**: Body",
    ),
    "footnote": ("Odd[^1].\n\n[^1]: Note.", "Odd<sup>1</sup>.\n\n---\n\n<sup>1</sup> Note."),
    "meaning": ("Term\n: its meaning", "- **Term**: its meaning"),
    "list": (
        "1. a\n\n   ```{tip}\n   b\n   ```\n2. c\n   - d",
        "1. a\n\n   > **Tip**\n   >\n   > b\n\n2. c\n\n   - d",
    ),
    "signs": (
        r"`{eq}` and ``{ref}`x` ``, $\{x\}$, 2\*3\*4, a_b, \_c\_, \$5, \[x\](y), \\n, <b, \<b>",
        r"`{eq}` and ``{ref}`x` ``, $\{x\}$, 2\*3\*4, a_b, \_c\_, \$5, [x\](y), \\n, \<b, \<b>",
    ),
    "line_starts": ("a\n\\# b\n\\- c\n1\\. d\n\\+e", "a\n\\# b\n\\- c\n1\\. d\n+e"),
    "code": ("```python\n# {note}\n{eq}`x`\n```", "```python\n# {note}\n{eq}`x`\n```"),
    "emphasis": ("**b *c* d** *e*", "**b *c* d** *e*"),
}
PAGES = {name: page for name, (page, _) in RULES.items()}
PAGES["tables"] = """\
```{table} A $x$
:name: tab
| a | b |
|---|---:|
| p\\|q | *z* |
```

{numref}`tab`
"""
PAGES["citations"] = "{cite:p}`one,two`, {cite:t}`three`, {cite:p}`{see}two{p. 3}`"
PAGES["solutions"] = """\
:::{exercise} Odds
:label: ex-a
Do it.
:::

```{code-cell} ipython3
answer = ...
```

::::{solution-start} ex-a
:class: dropdown
::::
As in {ref}`ex-a`.

```{code-cell} ipython3
answer = 1
```
::::{solution-end}
::::

```{solution} ex-b
Told.
```

```{exercise-start}
:label: ex-b
```
More.

```{code-cell} ipython3
more = ...
```
```{exercise-end}
```
"""
PAGES["numbers"] = (
    "Before.\n\nRate {glue:text}`the_rate:.1%` and {eq}`en`, "
    '$[[a]] \\ne \\frac{1}{2}$, """ \\\\\n\nAfter.\n\n$$\nx\n$$ (en)\n'
)
PAGES["cells"] = (
    "```{code-cell} ipython3\n:tags: [hide-input]\nx = 1\n```\n\n" * 2
    + "```{code-cell} ipython3\n:tags: [remove-cell]\n%matplotlib inline\ny = 1\n```\n"
)
PAGES["runs"] = """\
```{code-cell} ipython3
from causalpref.figures.notebook import check, glue
glue("rate", 0.5)
check("rate", 0.5, 0.5);
```

% a line of the text starts like a magic, another ends like a request for help
The rate is {glue:text}`rate:.1%`, $\\frac{1}{2}$:
!ls is no command, and neither is
100%?
"""


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The copies of all pages above, by the name of the page."""
    root = make_book(tmp_path_factory.mktemp("rules"), PAGES)
    path = root / "book" / "cells.md"
    path.write_text(path.read_text().replace("---\n\n#", "colab_gpu: true\n---\n\n#"))
    written = colab.write_copies(root)
    assert [path.parent for path in written] == [root / "book"] * len(PAGES)
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in written}


def sources(copy: dict[str, Any]) -> list[str]:
    """The cells after the title and its note."""
    first, *others = ("".join(cell["source"]) for cell in copy["cells"])
    head, _, rest = first.partition("your run appear.*")
    assert head.startswith("# Title\n\n*This notebook is generated from the chapter [Title](")
    assert " of the book causalpref. " in head
    return [rest.strip(), *others] if rest.strip() else others


@pytest.mark.parametrize("name", RULES)
def test_rules(name: str, copies: dict[str, Any]) -> None:
    page = str(1 + list(PAGES).index(name))
    text = "\n\n".join(sources(copies[name])).replace(BASE, "B/")
    assert text == re.sub(r"\bN\b", page, RULES[name][1])


def test_tables_keep_number_caption_and_alignment(copies: dict[str, Any]) -> None:
    n = 1 + list(PAGES).index("tables")
    table = "| a | b |\n|---|---:|\n| p\\|q | *z* |"
    assert sources(copies["tables"]) == [f"*Table {n}.1.* A $x$\n\n{table}\n\nTable {n}.1"]


def test_citations_are_the_books_and_the_works_stand_at_the_end(copies: dict[str, Any]) -> None:
    text, references = sources(copies["citations"])
    assert text == (
        "(Ab and Cd, 2002, van der Berg, 2001), Ef *et al.* (2003), (see Ab and Cd, 2002, p. 3)"
    )
    lines = references.split("\n")
    assert lines[:2] == ["## References", ""] and len(lines) == 5
    assert "- A. Ab and C. Cd. Second. *J*, 2002." in lines


def test_solutions_move_to_the_end(copies: dict[str, Any]) -> None:
    n = 1 + list(PAGES).index("solutions")
    assert sources(copies["solutions"]) == [
        f"**Exercise {n}.1 (Odds).** Do it.",
        "answer = ...",
        f"**Exercise {n}.2.** More.",
        "more = ...",
        "## Solutions",
        f"**Solution to Exercise {n}.1 (Odds).**\n\nAs in Exercise {n}.1.",
        "answer = 1",
        f"**Solution to Exercise {n}.2.**\n\nTold.",
    ]


def test_student_copies_hold_no_solutions(tmp_path: Path) -> None:
    root = make_book(tmp_path, {"solutions": PAGES["solutions"]})
    (path,) = colab.write_copies(root, tmp_path / "out", edition="student")
    assert path == tmp_path / "out" / "solutions.ipynb"
    cells = sources(json.loads(path.read_text(encoding="utf-8")))
    exercises = ["**Exercise 1.1 (Odds).** Do it.", "**Exercise 1.2.** More."]
    assert cells == [exercises[0], "answer = ...", exercises[1], "more = ..."]
    assert not list((root / "book").glob("*.ipynb")) and not (root / "_build").exists()


def test_only_text_with_numbers_becomes_code(copies: dict[str, Any]) -> None:
    cells = copies["numbers"]["cells"]
    n = 1 + list(PAGES).index("numbers")
    assert [c["cell_type"] for c in cells] == ["markdown", "code", "markdown"]
    source = "".join(cells[1]["source"])
    assert source.startswith(
        "# @title Text with numbers from the run\nfrom causalpref.figures.notebook import say\n"
    )
    assert cells[1]["metadata"] == {"cellView": "form"}
    said: list[str] = []
    exec(source.replace("from causalpref.figures.notebook import say", ""), {"say": said.append})
    assert said[0].strip() == (
        f'Rate [[the_rate:.1%]] and ({n}.1), $[ [a]] \\ne \\frac{{1}}{{2}}$, """ \\\\'
    )
    # Before it is run the cell shows the text with dots for the numbers.
    shown = "".join(cells[1]["outputs"][0]["data"]["text/markdown"])
    assert shown.startswith(f"Rate … and ({n}.1), ")


def test_any_text_survives_the_literal() -> None:
    for text in ('a """ b', "a ''' \"\"\" \\n", 'ends "', "ends \\", "\\alpha"):
        said: list[str] = []
        exec(
            colab.say_source(text).replace("from causalpref.figures.notebook import say", ""),
            {"say": said.append},
        )
        assert said[0].strip() == text


def test_cells_metadata_and_ids(copies: dict[str, Any]) -> None:
    made = nbformat.reads(json.dumps(copies["cells"]), as_version=4)
    nbformat.validate(made)
    assert made.metadata.accelerator == "GPU" and "accelerator" not in copies["runs"]["metadata"]
    assert made.metadata.colab == {"provenance": [], "toc_visible": True}
    assert made.cells[1].metadata == {"cellView": "form", "tags": ["hide-input"]}
    assert made.cells[1].source == "# @title Code\nx = 1"
    assert made.cells[3].metadata == {"cellView": "form", "tags": ["remove-cell"]}
    assert made.cells[3].source == "# @title Code\n%matplotlib inline\ny = 1"
    assert len({c.id for c in made.cells}) == len(made.cells)


def test_copy_runs(copies: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("CAUSALPREF_BOOK", raising=False)
    made = nbformat.reads(json.dumps(copies["runs"]), as_version=4)
    done = NotebookClient(made, timeout=60, kernel_name="python3").execute()
    assert done.cells[1].outputs[0].text == "rate: yours 0.5, expected 0.5  ✓\n"
    said = done.cells[2].outputs[0].data["text/markdown"]
    assert said == "The rate is 50.0%, $\\frac{1}{2}$:\n!ls is no command, and neither is\n100%?"


def test_faults_name_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = {
        "directive": ("x\n\n```{nonsense} a\n```", 10, "Unknown directive type: 'nonsense'"),
        "role": (":::{note}\nx\ny {odd}`z`\n:::", 9, 'Unknown interpreted text role "odd"'),
        "label": ("x\n\n{ref}`nowhere`", 10, "undefined label: 'nowhere'"),
        "work": ("{cite}`nobody`", 8, 'could not find bibtex key "nobody"'),
    }
    root = make_book(tmp_path, {name: page for name, (page, *_) in faults.items()})
    assert colab.main([], root=root) == 1
    said = capsys.readouterr().err
    for name, (_, line, message) in faults.items():
        (found,) = re.findall(rf"{name}\.md:(\d+): WARNING: {re.escape(message)}", said)
        assert int(found) == line, name
    assert not list((root / "book").glob("*.ipynb"))


def test_what_has_no_plain_form_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = "x\n\n```{py:function} f()\n```\n"
    assert colab.main([], root=make_book(tmp_path, {"page": page})) == 1
    assert "book/page.md:10: desc_content has no plain form" in capsys.readouterr().err


def test_check_sees_stale_missing_and_left_over_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without Sphinx: what counts is what is done with the copies that it makes."""

    def write_copies(root: Path, out: Path | None = None, *, edition: str = "") -> list[Path]:
        path = (out or root / "book") / "page.ipynb"
        path.write_text((root / "book" / "page.md").read_text())
        return [path]

    monkeypatch.setattr(colab, "write_copies", write_copies)
    (tmp_path / "book").mkdir()
    copy, page = tmp_path / "book" / "page.ipynb", tmp_path / "book" / "page.md"
    page.write_text("one")
    assert colab.main(["--check"], root=tmp_path) == 1 and not copy.exists()
    assert capsys.readouterr().err == "book/page.ipynb: missing\n"
    assert colab.main([], root=tmp_path) == 0
    assert colab.main(["--check"], root=tmp_path) == 0
    page.write_text("two")
    assert colab.main(["--check"], root=tmp_path) == 1 and copy.read_text() == "one"
    assert capsys.readouterr().err == "book/page.ipynb: stale\n"
    assert colab.main([], root=tmp_path) == 0
    shutil.copy(copy, copy.with_name("old.ipynb"))
    assert colab.main(["--check"], root=tmp_path) == 1
    assert capsys.readouterr().err == "book/old.ipynb: no chapter of that name\n"


# The chapters -------------------------------------------------------------------


def test_copies_of_the_chapters_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert colab.main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("path", COPIES, ids=lambda path: path.stem)
def test_copies_of_the_chapters_are_plain_and_whole(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and not source.startswith(colab.SAY_TITLE):
            continue
        text = re.sub(r"```.*?```|``.+?``|(?<!\})`[^`]*`", "", source, flags=re.DOTALL)
        raw = re.search(r"\{[a-z:-]+\}`|^\s*(:{3,}|`{3,}\{)|^\([^()\s]+\)=$|^%", text, re.MULTILINE)
        assert raw is None, f"{raw[0]!r} in {source!r}"
    written = jupytext.read(path.with_suffix(".md"), fmt="md:myst").cells
    wanted = [textwrap.dedent(c.source).strip() for c in written if c.cell_type == "code"]
    given = [
        source.removeprefix("# @title Code\n").strip()
        for source in code
        if not source.startswith(colab.SAY_TITLE)
    ]
    assert sorted(given) == sorted(wanted)


@pytest.mark.parametrize("path", COPIES, ids=lambda path: path.stem)
def test_first_code_cell_installs_the_package(path: Path) -> None:
    """On Colab nothing can be imported before."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = next("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    before, install, _ = code.partition("%pip install --quiet")
    assert install and "import causalpref" not in before and "from causalpref" not in before
