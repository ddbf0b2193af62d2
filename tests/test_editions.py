"""Editions without and with solutions, the zip, the PDF and the slides."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import colab
import editions
import offline
import pdf
import pikepdf
import pytest
import slides
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
EXT = ROOT / "book" / "_ext"

FRONT = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
{more}---

"""

CHAPTER = (
    FRONT.format(more="")
    + '''\
(ch-dogs)=
# Do dogs prefer bones?

:::{admonition} This chapter
:class: chapter-card
- **Question:** what do dogs prefer?
- **Afterwards you can:** say so.
- **Presumes:** a dog.
- **Time:** a minute.
- **Data:** simulated.
:::

## Bones

```{code-cell} ipython3
import altair as alt
from myst_nb import glue

bind = alt.binding_range(min=0, max=4, step=1, name="ρ: ")
dial = alt.param(name="rho", value=1, bind=bind)
bright = alt.condition("datum.x > rho", alt.value(1), alt.value(0.4))
dots = alt.InlineData([{"x": 1, "y": 2}, {"x": 3, "y": 4}])
chart = (alt.Chart(dots, description="Two dots, rising.").mark_point()
         .encode(x="x:Q", y="y:Q", opacity=bright)
         .add_params(dial))
glue("dots", chart, display=False)
```

```{glue:figure} dots
:name: fig-dots

Two simulated dogs, see {prf:ref}`prop-bone`.
```

:::{prf:proposition} Bones
:label: prop-bone
A dog prefers $x^2$ bones.
:::

:::{prf:proof}
Long and obvious.
:::

## Exercises

:::{exercise} By heart
:label: ex-heart
Which does the dog prefer?
:::

::::{solution} ex-heart
:class: dropdown
The bone, because it smells of marrow.
::::

:::{exercise} By code
:label: ex-code
Count the bones.
:::

```{code-cell} ipython3
def bones():
    ...  # your code here


def untouched():
    """Two empty lines stand above."""
```

:::{solution-start} ex-code
:class: dropdown
:::
Count them with the fingers of one paw:

```{code-cell} ipython3
answer_of_the_solution = 6 * 7
print("paws count to", answer_of_the_solution)
```

:::{solution-end}
:::

## Key ideas

- Dogs prefer bones. See {doc}`teaching` and [the rubric](#sec-rubric).
'''
)
TEACHING = (
    FRONT.format(more="audience: teachers\n")
    + """\
(ch-teach)=
# Teaching with dogs

(sec-rubric)=
## The rubric

Ten points for a whole bone.
"""
)
# Links to a page for teachers, and what is left of them without it.
LINKS = {
    "{doc}`teaching`": "Teaching with dogs",
    "{doc}`/teaching`": "Teaching with dogs",
    "{doc}`this page <teaching>`": "this page",
    "[](teaching.md)": "Teaching with dogs",
    "[here](teaching.md)": "here",
    "{ref}`sec-rubric`": "The rubric",
    "{ref}`points <sec-rubric>`": "points",
    "[marks](#sec-rubric)": "marks",
    "[run it](https://colab.research.google.com/x)": "run it",
}
INDEX = """\
# Dogs

::::{grid}
:::{grid-item-card} Teach
:link: teaching
:link-type: doc
Bring a bone.
:::
:::{grid-item-card} Run
:link: https://colab.research.google.com/github/dogs
Run.
:::
::::

Read {doc}`dogs`; the page `teaching` on teaching.

""" + "\n".join(f"- \\[{link}\\]" for link in LINKS)
SECRETS = (
    "smells of marrow",
    "fingers of one paw",
    "answer_of_the_solution",
    "paws count to 42",
    "paws count to",
)
FOR_TEACHERS = ("Ten points for a whole bone",)
TOC = {
    "format": "jb-book",
    "root": "index",
    "parts": [
        {"caption": "Dogs", "numbered": True, "chapters": [{"file": "dogs"}]},
        {"caption": "Teaching", "chapters": [{"file": "teaching"}]},
    ],
}


def make_book(root: Path) -> Path:
    """A book of one chapter with the tools of the real one."""
    book = root / "book"
    book.mkdir()
    shutil.copy(ROOT / "_config.yml", root)
    for name in ("_ext", "_static", "_vendor"):
        shutil.copytree(
            ROOT / "book" / name, book / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    pages = {"index.md": INDEX, "dogs.md": CHAPTER, "teaching.md": TEACHING, "references.bib": ""}
    for name, text in pages.items():
        (book / name).write_text(text, encoding="utf-8")
    (book / "_toc.yml").write_text(yaml.safe_dump(TOC, sort_keys=False))
    assert colab.main([], root=root) == 0
    return root


def build(root: Path, edition: str = "", builder: str = "html", strict: bool = True) -> Path:
    """Build the book and return the folder of the pages."""
    out = root / "_build" / edition if edition else root
    code = "from jupyter_book.cli.main import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "build",
        str(root / "book"),
        "-W",
        "--keep-going",
        "--all",
        "--builder",
        builder,
        "--path-output",
        str(out),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"CAUSALPREF_EDITION": edition}
    )
    assert done.returncode == 0 or not strict, done.stdout + done.stderr
    return out / "_build" / builder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_book(tmp_path_factory.mktemp("dogs"))


@pytest.fixture(scope="module")
def public(root: Path) -> Path:
    return build(root)


@pytest.fixture(scope="module")
def student(root: Path) -> Path:
    return build(root, "student")


def texts(folder: Path) -> dict[str, str]:
    """All files of a folder as text without tags."""
    out = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            text = path.read_bytes().decode("utf-8", "ignore")
            out[path.relative_to(folder).as_posix()] = re.sub(r"<[^<>]*>", "", text)
    return out


def found(folder: Path, words: tuple[str, ...]) -> set[tuple[str, str]]:
    """Words found, with the file."""
    return {(word, name) for name, text in texts(folder).items() for word in words if word in text}


# Solutions cut out of notebooks -----------------------------------------------


def sentences(page: Path) -> list[str]:
    """Pieces of prose and lines of code that stand in a page's solutions alone."""
    text = page.read_text(encoding="utf-8")
    gated = re.findall(r"(?s)\{solution-start\}[^\n]*\n(.*?)\{solution-end\}", text)
    whole = re.findall(r"(?ms)^(:{3,}|`{3,})\{solution\}[^\n]*\n(.*?)^\1$", text)
    pieces = (
        piece.strip(" .:;,")
        for part in [*gated, *(inside for _, inside in whole)]
        for piece in re.split(r"\n|(?<=[.:;?])\s|[$`*{}]", part)
    )
    return [piece for piece in dict.fromkeys(pieces) if len(piece) >= 30 and text.count(piece) == 1]


def source(copy: Path) -> str:
    cells = json.loads(copy.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells)


def test_student_notebooks_hold_no_solution_and_the_full_ones_all(tmp_path: Path) -> None:
    """Sentences of the solutions are looked for in both, so the search can fail.

    The whole book is read for it, so it waits until there is a site, as the browser tests do.
    """
    if not (ROOT / "_build" / "html" / "index.html").is_file():
        pytest.skip("there is no built site in _build/html: make book")
    chapters, looked_for = 0, 0
    for copy in colab.write_copies(ROOT, tmp_path, edition="student"):
        told, left = sentences(ROOT / "book" / f"{copy.stem}.md"), source(copy)
        full = source(ROOT / "book" / copy.name)
        chapters += bool(told)
        looked_for += len(told)
        assert sum(piece in full for piece in told) >= 0.9 * len(told), copy.name
        assert [piece for piece in told if piece in left] == [], copy.name
        assert "## Solutions" not in left and ("xercise" in left or not told)
    assert chapters >= 9 and looked_for > 200 and not (tmp_path / "teaching.ipynb").exists()


# The editions, built ----------------------------------------------------------


def test_public_edition_folds_solutions(public: Path) -> None:
    page = (public / "dogs.html").read_text(encoding="utf-8")
    assert len(re.findall(r'class="solution dropdown admonition"', page)) == 2
    assert {word for word, _ in found(public, SECRETS)} == set(SECRETS)
    assert {name for _, name in found(public, FOR_TEACHERS)} >= {"teaching.html"}
    assert "colab.research.google.com" in page


def test_student_edition_holds_no_solution_anywhere(student: Path) -> None:
    # Not in pages, search, sources, notebooks, nor in what a build leaves beside them.
    assert found(student.parent, SECRETS + FOR_TEACHERS) == set()
    page = (student / "dogs.html").read_text(encoding="utf-8")
    assert page.count('class="exercise admonition"') == 2 and "Exercise 1.2" in page
    assert "vegaEmbed" in page and "(student edition)" in page
    assert (
        "colab.research.google.com" not in page
        and "github.com/causalpref" not in page.partition("<article")[0]
    )
    index = (student / "index.html").read_text(encoding="utf-8")
    assert not (student / "teaching.html").exists() and "teaching.html" not in index + page
    text = " ".join(re.sub(r"<[^>]*>", " ", index).split())
    for written, shown in LINKS.items():
        assert f"[{shown}]" in text, written
    assert "Bring a bone" in text and "colab.research" not in index
    search = (student / "searchindex.js").read_text(encoding="utf-8")
    assert '"bone"' in search or "bone:" in search
    assert "marrow" not in search and "paw" not in search


def test_student_edition_offers_its_own_notebook(student: Path) -> None:
    page = (student / "dogs.html").read_text(encoding="utf-8")
    assert 'href="_sources/dogs.ipynb"' in page and "dogs.md" not in page
    assert "_sources/" not in (student / "index.html").read_text(encoding="utf-8")
    assert [path.name for path in (student / "_sources").iterdir()] == ["dogs.ipynb"]
    notebook = json.loads((student / "_sources" / "dogs.ipynb").read_text(encoding="utf-8"))
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"])
    assert "**Exercise 1.2 (By code).** Count the bones." in text and "your code here" in text
    assert not any(cell.get("outputs") for cell in notebook["cells"])


def test_editions_share_the_cache_of_executions(root: Path, public: Path, student: Path) -> None:
    (cache,) = (root / "_build" / ".jupyter_cache").iterdir()
    ran = [
        path
        for path in cache.rglob("*.ipynb")
        if "answer_of_the_solution" in path.read_text(encoding="utf-8")
    ]
    assert len(ran) == 1
    assert not list(student.parent.rglob(".jupyter_cache"))


def test_instructor_edition_and_pdf_open_solutions(root: Path, public: Path) -> None:
    site = build(root, "instructor")
    page = (site / "dogs.html").read_text(encoding="utf-8")
    assert page.count('class="solution admonition"') == 2 and "solution dropdown" not in page
    assert {word for word, _ in found(site, SECRETS)} == set(SECRETS)
    assert (
        "Ten points" in (site / "teaching.html").read_text(encoding="utf-8")
        and "(instructor edition)" in page
    )


def test_unknown_edition_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Config:
        pass

    monkeypatch.setenv("CAUSALPREF_EDITION", "pupil")
    with pytest.raises(Exception, match="'pupil'.*'student', 'instructor'"):
        editions.choose(None, Config())  # type: ignore[arg-type]


# The zip ----------------------------------------------------------------------


def test_zip_holds_the_site_and_is_the_same_each_time(public: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "dogs.zip", tmp_path / "again" / "dogs.zip"
    second.parent.mkdir()
    assert offline.main([str(public), str(first)]) == 0
    offline.pack(public, second)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as file:
        names = set(file.namelist())
        assert file.testzip() is None
        assert file.read("dogs/dogs.html") == (public / "dogs.html").read_bytes()
    files = {f"dogs/{p.relative_to(public).as_posix()}" for p in public.rglob("*") if p.is_file()}
    assert names == files - {"dogs/.buildinfo"}


def test_zip_needs_a_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert offline.main([str(tmp_path), str(tmp_path / "x.zip")]) == 1
    assert "build the book first (make book)" in capsys.readouterr().err


def test_search_text_keeps_sections_and_drops_what_is_not_read() -> None:
    page = (
        '<nav>no</nav><article class="bd-article"><section id="a">'
        '<h1>A &lt; B<a class="headerlink">#</a></h1><p>x <b>y</b></p>'
        '<script>no()</script><section id="b">z</section><!-- no --></section></article>'
    )
    assert offline.search_text(page) == (
        '<div role="main"><section id="a">A &lt; Bx y<section id="b">z</section></section></div>'
    )
    assert offline.search_text("<p>no article</p>") == ""


def test_search_page_loads_the_texts_from_files_only(public: Path) -> None:
    assert 'location.protocol === "file:"' in (public / "search.html").read_text(encoding="utf-8")
    assert "search_text.js" not in (public / "dogs.html").read_text(encoding="utf-8")
    script = (public / "_static" / "search_text.js").read_text(encoding="utf-8")
    texts = json.loads(re.search(r"texts = (\{.*?\n\});", script, re.DOTALL)[1])
    assert set(texts) == {"index.html", "dogs.html", "teaching.html"}
    assert '<section id="bones">' in texts["dogs.html"] and "vegaEmbed" not in texts["dogs.html"]


# Slides -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def deck(public: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("slides")
    assert slides.main([str(public), str(out)]) == 0
    return out / "dogs.html"


def test_deck_has_title_figures_statements_exercise_and_ideas(deck: Path) -> None:
    assert sorted(path.name for path in deck.parent.iterdir()) == ["dogs.html", "index.html"]
    assert 'href="dogs.html">Do dogs prefer bones?<' in re.sub(
        r"\d\. ", "", (deck.parent / "index.html").read_text("utf-8")
    )
    soup = BeautifulSoup(deck.read_text(encoding="utf-8"), "html.parser")
    kinds = [slide["class"][1] for slide in soup.select("section.slide")]
    assert kinds == ["title", "figure", "statement", "exercise", "ideas"]
    title, figure, statement, exercise, ideas = soup.select("section.slide")
    assert "what do dogs prefer?" in title.get_text() and "Presumes" not in title.get_text()
    assert (
        "Two simulated dogs, see Proposition 1.1" in figure.get_text()
        and "Two dots, rising." in str(figure)
    )
    assert figure.h2.get_text(strip=True).endswith("Bones")
    assert "A dog prefers" in statement.get_text() and "obvious" not in soup.main.get_text()
    assert (
        "Which does the dog prefer?" in exercise.get_text()
        and "Dogs prefer bones." in ideas.get_text()
    )
    assert not any(word in deck.read_text(encoding="utf-8") for word in SECRETS)


def test_deck_refers_to_no_other_file(deck: Path) -> None:
    soup = BeautifulSoup(deck.read_text(encoding="utf-8"), "html.parser")
    assert soup.select("script[src], link[href]:not([href^='data:']), iframe, object") == []
    assert all(str(image["src"]).startswith("data:") for image in soup.select("img"))
    assert all(str(link["href"]).startswith("https://") for link in soup.select("main a[href]"))
    text = deck.read_text(encoding="utf-8")
    assert "%%URL%%/MathJax" not in text and text.count("data:font/woff;base64,") >= 10
    assert len(text) < 4e6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id="key-ideas"', 'id="ideas"', "dogs.html: no list under a heading 'Key ideas'"),
        ("x^2", r"\boldsymbol{x}", r"dogs.html: a slide's formula uses \\boldsymbol"),
        ("chapter-card", "card", "dogs.html: no chapter card"),
    ],
)
def test_pages_that_make_no_slides_are_named(
    public: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "_static").symlink_to(public / "_static")
    page = site / "dogs.html"
    text = (public / "dogs.html").read_text(encoding="utf-8")
    page.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        slides.deck(site, page)


# In a browser -----------------------------------------------------------------


def test_chromium_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pdf.find_chromium() is None
    program = tmp_path / "google-chrome"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert pdf.find_chromium() == str(program)
    monkeypatch.setenv("CHROMIUM", "nowhere")
    with pytest.raises(FileNotFoundError, match="CHROMIUM is 'nowhere'"):
        pdf.find_chromium()


def test_pdf_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "index.html"
    assert pdf.main([str(page), str(tmp_path / "x.pdf")]) == 1
    assert "index.html does not exist" in capsys.readouterr().err
    page.write_text("<p>x</p>")
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pdf.main([str(page), str(tmp_path / "x.pdf")]) == 1
    assert "no Chromium" in capsys.readouterr().err


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; without one the tests are skipped, or fail if it is required."""
    missing = "" if pdf.find_chromium() else "no Chromium on this machine"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing = "playwright is not installed"
    if missing and os.environ.get("CAUSALPREF_BROWSER") == "require":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=pdf.find_chromium(), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A page that must ask nobody and raise no error."""
    tab = browser.new_page(viewport={"width": 1280, "height": 720}, color_scheme="dark")
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on(
        "console", lambda message: wrong.append(message.text) if message.type == "error" else None
    )
    tab.on("requestfailed", lambda request: wrong.append(request.url))
    tab.on(
        "request",
        lambda request: wrong.append(request.url) if request.url.startswith("http") else None,
    )
    yield tab
    tab.close()
    assert wrong == []


def test_deck_in_a_browser(deck: Path, tab: Any) -> None:
    tab.goto(deck.as_uri())
    tab.wait_for_function("document.documentElement.dataset.ready === 'yes'")
    assert (
        tab.locator("#count").inner_text() == "1 / 5"
        and tab.evaluate("document.documentElement.dataset.theme") == "dark"
    )
    assert tab.locator("mjx-container").count() == 1 and tab.locator("mjx-merror").count() == 0
    tab.keyboard.press("ArrowRight")
    assert tab.locator(".shown h2").inner_text().endswith("Bones")
    chart = tab.locator(".shown svg.marks")
    assert chart.get_attribute("aria-label") or chart.locator("[aria-label]").count()
    assert "Two dots, rising." in tab.locator(".shown figure").evaluate(
        "figure => figure.outerHTML"
    )
    slider = tab.locator(".shown input[type=range]")
    slider.focus()
    tab.keyboard.press("ArrowRight")  # moves the slider, not the slide
    assert slider.input_value() == "2" and tab.locator("#count").inner_text() == "2 / 5"
    slider.blur()
    for key, at in {
        "ArrowLeft": 1,
        "End": 5,
        "ArrowRight": 5,
        "PageUp": 4,
        "Home": 1,
        " ": 2,
    }.items():
        tab.keyboard.press(key)
        assert tab.locator("#count").inner_text() == f"{at} / 5"
    tab.keyboard.press("d")
    assert tab.evaluate("document.documentElement.dataset.theme") == "light"
    sheets = re.findall(rb"/Type\s*/Page\b", tab.pdf(prefer_css_page_size=True))
    assert len(sheets) == 5


def test_search_works_from_the_zip(public: Path, tmp_path: Path, tab: Any) -> None:
    offline.pack(public, tmp_path / "dogs.zip")
    with zipfile.ZipFile(tmp_path / "dogs.zip") as file:
        file.extractall(tmp_path)
    tab.goto((tmp_path / "dogs" / "search.html").as_uri() + "?q=obvious")
    tab.wait_for_selector("#search-results p.context")
    assert "Long and obvious." in tab.locator("#search-results p.context").inner_text()
    tab.goto((tmp_path / "dogs" / "dogs.html").as_uri())
    tab.wait_for_selector(".vega-embed svg.marks")
    tab.wait_for_selector("mjx-container")


def test_pdf_of_the_book(root: Path, public: Path, browser: Any, tmp_path: Path) -> None:
    page = build(root, builder="singlehtml") / "index.html"
    text = page.read_text(encoding="utf-8")
    assert (
        text.count('class="solution admonition"') == 2
        and text.count('class="exercise admonition"') == 2
    )
    file = tmp_path / "dogs.pdf"
    command = [
        sys.executable,
        str(EXT / "pdf.py"),
        str(page),
        str(file),
    ]  # playwright runs once a process
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "1 charts" in done.stdout, done.stderr
    headings = re.findall(r"<h[1-6]>(.*?)<a", text)
    with pikepdf.open(file) as made, made.open_outline() as outline:
        assert len(made.pages) >= 3
        assert outline.root[0].title == re.sub("<.*?>", "", headings[0])


@pytest.mark.parametrize(
    "headings, titles",
    [
        (["On dogs and cats", "Why?"], ["On dogs and cats", "Why?"]),
        (["On dogs and cats"], ["On dogs andcats", "Why?Why?"]),
    ],
)
def test_bookmarks_are_the_headings(headings: list[str], titles: list[str], tmp_path: Path) -> None:
    file = tmp_path / "x.pdf"
    with pikepdf.new() as printed:
        printed.add_blank_page()
        with printed.open_outline() as outline:
            top = pikepdf.OutlineItem("On dogs andcats", 0)
            top.children.append(pikepdf.OutlineItem("Why?Why?", 0))
            outline.root.append(top)
        printed.save(file)
    pdf.tidy(file, headings)
    with pikepdf.open(file) as tidied, tidied.open_outline() as outline:
        (top,) = outline.root
        assert [top.title, top.children[0].title] == titles


def test_pdf_of_a_page_that_asks_the_network_fails(browser: Any, tmp_path: Path) -> None:
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/x.js"
    page = tmp_path / "index.html"
    page.write_text(f'<p>x</p><script src="{url}"></script>')
    done = subprocess.run(
        [sys.executable, str(EXT / "pdf.py"), str(page), str(tmp_path / "x.pdf")],
        capture_output=True,
        text=True,
    )
    server.shutdown()
    assert done.returncode == 1 and url in done.stderr and asked == []
