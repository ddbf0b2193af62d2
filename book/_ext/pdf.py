"""The book as one PDF, printed by Chromium from the book on one page.

``python book/_ext/pdf.py PAGE.html FILE.pdf`` prints. It draws all charts,
sets all formulas and unfolds all that is folded. Chromium is looked for under
the names in `BROWSERS`, or is the one that ``CHROMIUM`` names.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pikepdf
from sphinx.application import Sphinx

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A4 less the margins, in CSS pixels: charts are drawn for the column they are printed in.
WIDTH, MARGIN = 680, "15mm"
STYLE = """
@page { size: A4; }
html { font-size: 13px; scroll-padding: 0; }
/* Shadows become images. */
html:not(#_) * { box-shadow: none !important; text-shadow: none !important; }
.bd-header, .bd-header-article, .header-article, .bd-sidebar-primary, .bd-sidebar-secondary,
.bd-footer, .prev-next-footer, .headerlink, .toggle-button, .copybtn, #pst-skip-link,
.vega-embed details, details.hide > summary, #pst-back-to-top { display: none !important; }
.bd-container, .bd-container__inner, .bd-main, .bd-content, .bd-article-container, .bd-article {
  display: block !important; max-width: none !important; width: auto !important;
  margin: 0 !important; padding: 0 !important; overflow: visible !important;
}
.toctree-wrapper > section { break-before: page; }
h1, h2, h3, h4, .admonition-title { break-after: avoid; }
figure, table, .vega-embed, .cell_input, .cell_output, pre, div.math { break-inside: avoid; }
pre { white-space: pre-wrap !important; }
"""
UNFOLD = """() => {
  document.documentElement.dataset.theme = "light";
  document.documentElement.dataset.mode = "light";
  document.querySelectorAll("details:not(.vega-embed details)").forEach((folded) => {
    folded.open = true;
  });
  document.querySelectorAll(".toggle-hidden").forEach((folded) => {
    folded.classList.remove("toggle-hidden");
  });
}"""
DRAWN = """() => {
  const charts = [...document.scripts].filter((script) => script.text.includes("vegaEmbed(")
    && script.previousElementSibling && script.previousElementSibling.id.startsWith("altair"));
  return charts.every((script) => script.previousElementSibling.querySelector("svg.marks, canvas"));
}"""
TYPESET = """async () => {
  if (!document.querySelector(".math")) return true;
  if (!window.MathJax || !MathJax.startup || !MathJax.startup.promise) return false;
  await MathJax.startup.promise;
  return true;
}"""
# Text of the headings: the browser's own bookmarks lose the space where a heading breaks into
# two lines, and say a heading twice that a page break has moved.
HEADINGS = """() => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
  .filter((heading) => heading.checkVisibility())
  .map((heading) => {
    const copy = heading.cloneNode(true);
    copy.querySelectorAll(".headerlink").forEach((link) => link.remove());
    return copy.textContent.replace(/\\s+/g, " ").trim();
  })"""
FOOTER = """<div style="width: 100%; font: 8px sans-serif; color: #555; text-align: center">
<span class="title"></span> &middot; <span class="pageNumber"></span></div>"""


def find_chromium() -> str | None:
    """Path of Chromium, or None; fails if ``CHROMIUM`` names a program that does not exist."""
    named = os.environ.get("CHROMIUM")
    found = next(filter(None, map(shutil.which, [named] if named else BROWSERS)), None)
    if named and found is None:
        raise FileNotFoundError(f"CHROMIUM is {named!r}, which is no program")
    return found


def tidy(file: Path, headings: Sequence[str]) -> None:
    """Name the bookmarks of a PDF after its headings, and pack it to a third of its size.

    Where the headings are more or fewer than the bookmarks, these stay.
    """

    def flat(bookmarks: Iterable[Any]) -> Iterator[Any]:
        for bookmark in bookmarks:
            yield bookmark
            yield from flat(bookmark.children)

    with pikepdf.open(file, allow_overwriting_input=True) as printed:
        with printed.open_outline() as outline:
            bookmarks = list(flat(outline.root))
            if len(bookmarks) == len(headings):
                for bookmark, heading in zip(bookmarks, headings, strict=True):
                    bookmark.title = heading
        printed.save(file, object_stream_mode=pikepdf.ObjectStreamMode.generate)


def print_page(page: Path, file: Path, timeout: float = 300) -> int:
    """Print a page of the site to a PDF with bookmarks; return the number of charts.

    Raises
    ------
    FileNotFoundError
        If there is no page, no Chromium or no playwright.
    RuntimeError
        If the page has an error of its scripts, or asks another host for something.
    """
    if not page.is_file():
        raise FileNotFoundError(f"{page} does not exist: build it first (make pdf does)")
    program = find_chromium()
    if program is None:
        names = ", ".join(BROWSERS)
        raise FileNotFoundError(
            f"no Chromium: none of {names} is on the path; install one or set CHROMIUM"
        )
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise FileNotFoundError('playwright is missing: pip install -e ".[test]"') from None
    wrong: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": 1000}, color_scheme="light")
        tab.set_default_timeout(timeout * 1000)
        tab.route(re.compile("https?:"), lambda r: (wrong.append(r.request.url), r.abort()))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.emulate_media(media="print")
        tab.goto(page.resolve().as_uri())
        tab.add_style_tag(content=STYLE)
        tab.evaluate(UNFOLD)
        tab.wait_for_function(DRAWN)
        tab.wait_for_function(TYPESET)
        tab.wait_for_timeout(1000)
        tab.wait_for_function(DRAWN)
        charts = tab.locator(".vega-embed svg.marks, .vega-embed canvas").count()
        tab.pdf(
            path=file,
            format="A4",
            print_background=True,
            outline=True,
            tagged=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOTER,
            margin=dict.fromkeys(("top", "bottom", "left", "right"), MARGIN),
        )
        headings = tab.evaluate(HEADINGS)
        browser.close()
    tidy(file, headings)
    if wrong:
        raise RuntimeError(f"{page}: " + "; ".join(dict.fromkeys(wrong)))
    return charts


def main(argv: list[str]) -> int:
    """Run the command: print a page."""
    page, file = map(Path, argv)
    try:
        charts = print_page(page, file)
    except (FileNotFoundError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{file}: {charts} charts, {file.stat().st_size / 1e6:.1f} MB")
    return 0


def merge_handlers(app: Sphinx) -> None:
    """Let the book on one page use what draws each node on pages of their own.

    sphinx-exercise registers its nodes for the builder ``singlehtml`` by name.
    Sphinx then looks nowhere else and misses those registered for ``html``.
    """
    handlers = app.registry.translation_handlers
    handlers["singlehtml"] = {**handlers.get("html", {}), **handlers.get("singlehtml", {})}


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    app.connect("builder-inited", merge_handlers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
