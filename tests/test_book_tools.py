"""The book's tools: `causalpref.figures.notebook`, the copies for Colab, the site."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import causalpref_book as extension
import colab
import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from nbclient import NotebookClient

from causalpref.figures import notebook

ROOT = Path(__file__).resolve().parents[1]


FRONT = """\
---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

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

```{glossary}
overlap
  Both arms occur.
```
"""


# causalpref.figures.notebook ---------------------------------------------------------


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is displayed, outside the book, with nothing glued yet."""
    out: list[Any] = []
    monkeypatch.delenv("CAUSALPREF_BOOK", raising=False)
    monkeypatch.setattr(notebook, "_glued", {})
    monkeypatch.setattr("IPython.display.display", lambda obj: out.append(obj))
    return out


def test_say_fills_in_glued_values(shown: list[Any]) -> None:
    notebook.glue("rate", np.float64(0.12345))
    notebook.glue("n", np.int64(12))
    notebook.glue("who", "base")
    notebook.say("Rate [[rate:.2f]] or [[rate:.1%]], n [[n]], [[who]]; $[[ 1 ]] \\frac{a}{b}$")
    assert shown[0].data == "Rate 0.12 or 12.3%, n 12, base; $[[ 1 ]] \\frac{a}{b}$"
    assert type(notebook._glued["rate"]) is float and type(notebook._glued["n"]) is int


def test_say_names_what_is_unknown_and_what_is_known(shown: list[Any]) -> None:
    notebook.glue("rate", 1)
    with pytest.raises(KeyError, match=r"'rat'.*known: rate"):
        notebook.say("[[rat]]")


def test_figure_displays_outside_the_book_and_glues_inside(
    shown: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pd.DataFrame({"a": [1]})
    notebook.figure("t", table)
    assert shown == [table] or shown[0] is table
    glued: list[tuple[str, Any, bool]] = []
    monkeypatch.setenv("CAUSALPREF_BOOK", "1")
    monkeypatch.setattr(
        "myst_nb.glue", lambda name, value, display: glued.append((name, value, display))
    )
    notebook.figure("t", table)
    notebook.glue("x", np.float32(0.5))
    assert len(shown) == 1 and glued[0][1] is table and glued[1] == ("x", 0.5, False)


@pytest.mark.parametrize(
    ("yours", "expected", "right"),
    [
        (1.0, 1.0 + 1e-12, True),
        (1.0, 1.1, False),
        (1e12, 1e12 + 1, True),
        (np.array([1, 2]), [1.0, 2.0], True),
        ([1, 2, 3], [1, 2], False),
        ([1, 2], [2, 1], False),
        (float("nan"), float("nan"), True),
        (float("inf"), 1.0, False),
        ("base", "base", True),
        ("base", "Base", False),
        (["a", "b"], ["a", "b"], True),
        (True, True, True),
        (np.bool_(True), True, True),
        (1, True, False),
        (True, 1, False),
        ("1", 1, False),
        ({"a": 1}, 1, False),
        ([[1], [1, 2]], [1, 2], False),
    ],
)
def test_check_compares(
    yours: Any, expected: Any, right: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert notebook.check("it", yours, expected) is right
    line = capsys.readouterr().out
    assert (
        line.startswith("it: yours ")
        and ", expected " in line
        and line.endswith("✓\n" if right else "✗\n")
    )


@pytest.mark.parametrize("nothing", [None, ...])
def test_check_hides_the_answer_until_one_is_written(
    nothing: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert notebook.check("it", nothing, 42) is False
    assert capsys.readouterr().out == "it: not written yet\n"


# book/_ext/colab.py ----------------------------------------------------------


def make_book(root: Path, page: str) -> Path:
    (root / "book").mkdir()
    shutil.copy(ROOT / "_config.yml", root)
    (root / "book" / "_toc.yml").write_text(
        "format: jb-book\nroot: other\nchapters:\n- file: page\n"
    )
    (root / "book" / "references.bib").write_text(BIB)
    (root / "book" / "other.md").write_text(OTHER)
    (root / "book" / "page.md").write_text(FRONT + "# Title\n\n" + textwrap.dedent(page))
    return root


def convert(root: Path, page: str) -> dict[str, Any]:
    book = colab.Book(make_book(root, page))
    result: dict[str, Any] = json.loads(colab.Page(book, "page").notebook())
    return result


def texts(root: Path, page: str) -> str:
    """All Markdown of the copy after the title and its note."""
    cells = [c for c in convert(root, page)["cells"] if c["cell_type"] == "markdown"]
    text = "\n\n".join("".join(c["source"]) for c in cells)
    head, _, rest = text.partition("your run appear.*")
    assert head.startswith("# Title\n\n*This notebook is generated") and "/page.html)" in head
    return rest.strip()


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (
            "(lab)=\n% gone\n<!-- gone -->\n## Section\n\nSee {ref}`lab`.",
            "## Section\n\nSee Section.",
        ),
        (":::{note}\nA $x\n= 1$.\n:::", "> **Note**\n>\n> A $x = 1$."),
        (
            "```{admonition} My *title*\n:class: chapter-card\n- a\n- b\n```",
            "> **My *title***\n>\n> - a\n> - b",
        ),
        (
            "::::{tip}\nOut\n:::{warning}\nIn\n:::\n::::",
            "> **Tip**\n>\n> Out\n>\n> > **Warning**\n> >\n> > In",
        ),
        (
            ":::{prf:definition} Overlap\n:label: d\nText.\n:::\n\n{prf:ref}`d`",
            "**Definition 1 (Overlap).** Text.\n\nDefinition 1",
        ),
        (":::{prf:theorem}\n$$\na\n$$\n:::", "**Theorem 1.**\n\n$$\na\n$$"),
        ("```{prf:proof}\nClear.\n```", "**Proof.** Clear. ∎"),
        ("```{prf:proof}\n$$\na\n$$\n```", "**Proof.**\n\n$$\na\n$$\n\n∎"),
        (
            "```{math}\n:label: e\na = b\n```\n\n$$\nc\n$$ (f)\n\n{eq}`e` and {eq}`f`",
            "$$\na = b \\tag{1}\n$$\n\n$$\nc \\tag{2}\n$$\n\n(1) and (2)",
        ),
        (
            "$$\na &= b \\\\\nc &= d\n$$",
            "$$\n\\begin{split}\na &= b \\\\\nc &= d\n\\end{split}\n$$",
        ),
        (
            "{doc}`other` {ref}`sec-there`",
            "[The *other* page](B/other.html) [There](B/other.html#sec-there)",
        ),
        ("{eq}`eq-there`", "[Equation in “The *other* page”](B/other.html#equation-eq-there)"),
        ("{term}`overlap`", "[overlap](B/other.html#term-overlap)"),
        (
            "[x](other.md#sec-there) [y](http://a.b/c)",
            "[x](B/other.html#sec-there) [y](http://a.b/c)",
        ),
        (
            "```{figure} img/a.png\n:alt: An A\n:name: fig\nAll of {numref}`fig`\n```",
            "![An A](B/_images/a.png)\n\n*Figure 1.* All of Figure 1",
        ),
        ("![An A](img/a.png)", "![An A](B/_images/a.png)"),
        (
            "```{glue:figure} g\n:name: fg\nCaption\n```\n\n{numref}`fg`",
            "*Figure 1.* Caption\n\nFigure 1",
        ),
        ("```{bibliography}\n```\n\n```{tableofcontents}\n```\n\nEnd", "End"),
        (
            "::::{grid} 2\n:::{grid-item-card} Card\n:link: other\n:link-type: doc\nBody\n:::\n"
            ":::{grid-item}\n```{button-ref} sec-there\nGo\n```\n:::\n::::",
            "- **[Card](B/other.html)**: Body\n\n- [Go](B/other.html#sec-there)",
        ),
        ("Odd[^1].\n\n[^1]: Note.", "Odd<sup>1</sup>.\n\n<sup>1</sup> Note."),
        ("Term\n: its meaning", "- **Term**: its meaning"),
        ("1. a\n\n   ```{tip}\n   b\n   ```\n2. c", "1. a\n\n   > **Tip**\n   >\n   > b\n2. c"),
        ("`{eq}` and ``{ref}`x` ``, $\\{x\\}`$", "`{eq}` and ``{ref}`x` ``, $\\{x\\}`$"),
        ("```python\n# {note}\n{eq}`x`\n```", "```python\n# {note}\n{eq}`x`\n```"),
        ("{py:class}`~a.b.C`", "`C`"),
    ],
)
def test_rules(tmp_path: Path, page: str, expected: str) -> None:
    base = yaml.safe_load((ROOT / "_config.yml").read_text())["html"]["baseurl"]
    assert texts(tmp_path, page).replace(base, "B/") == expected


def test_citations(tmp_path: Path) -> None:
    text = texts(tmp_path, "{cite:p}`one,two`, {cite:t}`three`, {cite:p}`{see}two{p. 3}`")
    body, _, references = text.partition("## References\n\n")
    assert (
        body.strip()
        == "(van der Berg, 2001; Ab and Cd, 2002), Ef et al. (2003), (see Ab and Cd, 2002, p. 3)"
    )
    assert len(references.split("\n")) == 3 and "Second" in references


EXERCISES = """\
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

```{exercise}
:label: ex-b
More.
```
"""


def test_solutions_move_to_the_end(tmp_path: Path) -> None:
    sources = ["".join(c["source"]) for c in convert(tmp_path, EXERCISES)["cells"]]
    assert sources[0].endswith("**Exercise 1 (Odds).** Do it.")
    assert sources[1:] == [
        "answer = ...",
        "**Exercise 2.** More.",
        "## Solutions",
        "**Solution 1.**\n\nAs in Exercise 1.",
        "answer = 1",
        "**Solution 2.**\n\nTold.",
    ]


def test_only_text_with_numbers_becomes_code(tmp_path: Path) -> None:
    page = (
        'Before.\n\nRate {glue:text}`rate:.1%` and {eq}`e`, $[[a]] \\ne \\frac{1}{2}$, """ \\\n\n'
        "After.\n\n$$\nx\n$$ (e)\n"
    )
    cells = convert(tmp_path, page)["cells"]
    assert [c["cell_type"] for c in cells] == ["markdown", "code", "markdown"]
    source = "".join(cells[1]["source"])
    assert source.startswith(
        "# @title Text with numbers from the run\nfrom causalpref.figures.notebook import say\n"
    )
    assert cells[1]["metadata"] == {"cellView": "form"}
    said: list[str] = []
    exec(source.replace("from causalpref.figures.notebook import say", ""), {"say": said.append})
    assert said[0].strip() == 'Rate [[rate:.1%]] and (1), $[ [a]] \\ne \\frac{1}{2}$, """ \\'


def test_any_text_survives_the_literal() -> None:
    for text in ('a """ b', "a ''' \"\"\" \\n", 'ends "', "ends \\", "\\alpha"):
        said: list[str] = []
        exec(
            colab.say_source(text).replace("from causalpref.figures.notebook import say", ""),
            {"say": said.append},
        )
        assert said[0].strip() == text


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("x\n\n```{nonsense} a\n```", "book/page.md:12: unknown directive 'nonsense'"),
        (":::{note}\nx\ny {odd}`z`\n:::", "book/page.md:12: unknown role 'odd'"),
        ("{ref}`nowhere`", "book/page.md:10: unknown label 'nowhere'"),
        ("{cite}`nobody`", "book/page.md:10: unknown citation 'nobody'"),
        ("$$\na", "book/page.md:10: '$$' is never closed"),
    ],
)
def test_errors_name_file_and_line(
    tmp_path: Path, page: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert colab.main([], root=make_book(tmp_path, page)) == 1
    assert capsys.readouterr().err.strip() == message
    assert not (tmp_path / "book" / "page.ipynb").exists()


def test_cells_metadata_and_ids(tmp_path: Path) -> None:
    page = "```{code-cell} ipython3\n:tags: [hide-input]\nx = 1\n```\n\n" * 2
    root = make_book(tmp_path, page)
    path = root / "book" / "page.md"
    path.write_text(path.read_text().replace("---\n\n#", "colab_gpu: true\n---\n\n#"))
    text = colab.Page(colab.Book(root), "page").notebook()
    made = nbformat.reads(text, as_version=4)
    nbformat.validate(made)
    assert made.metadata.accelerator == "GPU"
    assert made.metadata.colab == {"provenance": [], "toc_visible": True}
    assert made.cells[1].metadata == {"cellView": "form", "tags": ["hide-input"]}
    assert made.cells[1].source == "# @title Code\nx = 1"
    assert len({c.id for c in made.cells}) == len(made.cells)
    assert text == colab.Page(colab.Book(root), "page").notebook()


def test_check_sees_stale_missing_and_left_over_copies(tmp_path: Path) -> None:
    root = make_book(tmp_path, EXERCISES)
    copy, page = root / "book" / "page.ipynb", root / "book" / "page.md"
    assert colab.main(["--check"], root=root) == 1 and not copy.exists()
    assert colab.main([], root=root) == 0
    assert colab.main(["--check"], root=root) == 0
    page.write_text(page.read_text().replace("Do it", "Do that"))
    assert colab.main(["--check"], root=root) == 1
    assert colab.main([str(page)], root=root) == 0 and colab.main(["--check"], root=root) == 0
    shutil.copy(copy, copy.with_name("old.ipynb"))
    assert colab.main(["--check"], root=root) == 1


def test_copy_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("CAUSALPREF_BOOK", raising=False)
    page = """\
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
    made = nbformat.reads(json.dumps(convert(tmp_path, page)), as_version=4)
    done = NotebookClient(made, timeout=60, kernel_name="python3").execute()
    assert done.cells[1].outputs[0].text == "rate: yours 0.5, expected 0.5  ✓\n"
    said = done.cells[2].outputs[0].data["text/markdown"]
    assert said == "The rate is 50.0%, $\\frac{1}{2}$:\n!ls is no command, and neither is\n100%?"


HAS_PAGES = (ROOT / "book" / "_toc.yml").is_file()


@pytest.mark.skipif(not HAS_PAGES, reason="no chapters yet")
def test_copies_of_the_chapters_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    status = colab.main(["--check"])
    assert status == 0, capsys.readouterr().err


@pytest.mark.skipif(not HAS_PAGES, reason="no chapters yet")
def test_copies_of_the_chapters_are_plain() -> None:
    book = colab.Book(ROOT)
    for doc in book.notebooks:
        made = json.loads(book.path(doc).with_suffix(".ipynb").read_text(encoding="utf-8"))
        for cell in made["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and not source.startswith(colab.SAY_TITLE):
                continue
            text = re.sub(r"```.*?```|``.+?``|(?<!\})`[^`]*`", "", source, flags=re.DOTALL)
            raw = re.search(
                r"\{[a-z:-]+\}`|^\s*(:{3,}|`{3,}\{)|^\([^()\s]+\)=$|^%", text, re.MULTILINE
            )
            assert raw is None, f"{doc}: {raw[0]!r} in {source!r}"


# The site ---------------------------------------------------------------------


def test_key_of_the_cache_follows_package_results_and_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAUSALPREF_DATA", raising=False)
    (tmp_path / "results" / "pages").mkdir(parents=True)
    keys = [extension.results_key(tmp_path)]
    (tmp_path / "results" / "pages" / "pages.csv").write_text("1")
    keys.append(extension.results_key(tmp_path))
    (tmp_path / "results" / "a.csv").write_text("1")
    keys.append(extension.results_key(tmp_path))
    monkeypatch.setenv("CAUSALPREF_DATA", "hub")
    keys.append(extension.results_key(tmp_path))
    monkeypatch.setattr(extension, "LIBRARIES", ("altair",))
    keys.append(extension.results_key(tmp_path))
    package = tmp_path / "package"
    shutil.copytree(ROOT / "causalpref", package, ignore=shutil.ignore_patterns("__pycache__"))
    spec = importlib.util.spec_from_file_location("causalpref", package / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert extension.results_key(tmp_path) == keys[-1]
    (package / "rewards" / "__init__.py").write_text("# edited\n")
    keys.append(extension.results_key(tmp_path))
    assert len(set(keys)) == 6 and keys[-1] == extension.results_key(tmp_path)


def test_site_asks_no_other_host(tmp_path: Path) -> None:
    root = make_book(
        tmp_path, "$x^2$, {cite:p}`one`\n\n```{raw} html\n<script>/* vegaEmbed */</script>\n```\n"
    )
    book = root / "book"
    (book / "page.md").write_text(
        (book / "page.md").read_text().removeprefix(FRONT) + "\n```{bibliography}\n```\n"
    )
    for name in ("_ext", "_static", "_vendor"):
        shutil.copytree(ROOT / "book" / name, book / name)
    code = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", code, "build", str(book), "-W", "--keep-going", "--all"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    html = root / "_build" / "html"
    for name in ("page", "other"):
        page = (html / f"{name}.html").read_text(encoding="utf-8")
        links = r'<link[^>]*rel="(?:stylesheet|preload|icon|shortcut icon)"[^>]*href="([^"]+)"'
        loaded = re.findall(r'<(?:script|img)[^>]*\ssrc="([^"]+)"|' + links, page)
        files = [(a or b).partition("?")[0] for a, b in loaded]
        assert {"_static/book.css", "_static/favicon.svg"} <= set(files)
        for file in files:
            assert not re.match(r"(https?:)?//", file), file
            assert (html / file).is_file(), file
        assert "_static/mathjax/tex-mml-chtml.js" in files
        assert ("_static/vega.js" in files) == ("_static/charts.js" in files) == (name == "page")
        assert (
            not any("thebe" in file for file in files if file.endswith(".js"))
            and "THEBE_JS_URL" not in page
        )
    assert "(van der Berg" in re.sub(
        r"<[^>]+>", "", (html / "page.html").read_text(encoding="utf-8")
    )


def contrast(a: str, b: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("theme", "page"), [("light", "#ffffff"), ("dark", "#121212")])
def test_charts_are_legible(theme: str, page: str) -> None:
    script = (ROOT / "book" / "_static" / "charts.js").read_text(encoding="utf-8")
    match = re.search(theme + r": \{(.*?)\n    \}", script, re.DOTALL)
    assert match is not None
    named = dict(re.findall(r'(\w+): "(#\w{6})"', match[1]))
    assert min(contrast(named[key], page) for key in ("text", "muted")) >= 4.5
    categories = re.findall(r"#\w{6}", match[1].partition("category")[2])
    assert len(categories) >= 5 and min(contrast(colour, page) for colour in categories) >= 3


def test_say_cells_can_be_read_before_they_are_run(tmp_path: Path) -> None:
    cells = [
        colab.Cell("markdown", f"It wins {colab.START}rate:.2f{colab.STOP} times.", {"say": True})
    ]
    (cell,) = json.loads(colab._dump(cells, {}))["cells"]
    assert cell["outputs"][0]["data"]["text/markdown"] == "It wins … times."
    assert "[[rate:.2f]]" in "".join(cell["source"])


@pytest.mark.parametrize("copy", sorted((ROOT / "book").glob("*.ipynb")), ids=lambda p: p.stem)
def test_first_code_cell_installs_the_package(copy):
    """On Colab nothing can be imported before."""
    cells = json.loads(copy.read_text(encoding="utf-8"))["cells"]
    code = next("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    before, install, _ = code.partition("%pip install --quiet")
    assert install and "import causalpref" not in before and "from causalpref" not in before
