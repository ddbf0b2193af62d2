"""The book's tools: `causalpref.figures.notebook` and the site."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import causalpref_book as extension
import numpy as np
import pandas as pd
import pytest

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


# The site ---------------------------------------------------------------------


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
