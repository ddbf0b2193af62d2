"""Sphinx extension of the book: execution cache, local scripts, citations."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import altair
import vl_convert
from cards import RESULTS, chapter_list, table_data, time_line
from docutils import nodes
from public_names import first_used
from sources import statements
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinxcontrib.bibtex.plugin import register_plugin
from sphinxcontrib.bibtex.style.referencing import BracketStyle
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle

logger = logging.getLogger(__name__)

LIBRARIES = ("altair", "matplotlib", "myst-nb", "numpy", "pandas", "scikit-learn", "scipy", "torch")


class AuthorYearRound(AuthorYearReferenceStyle):
    """Citations by author and year in round brackets."""

    def __init__(self) -> None:
        brackets = ("parenthetical", "textual", "author", "year")
        super().__init__(**{f"bracket_{b}": BracketStyle(left="(", right=")") for b in brackets})


def results_key(book: Path) -> str:
    """Hash what a chapter's outputs depend on besides its own cells.

    That is: sources of the installed ``causalpref``, recorded results in the
    book's folder, versions of libraries, ``CAUSALPREF_DATA``.
    """
    digest = hashlib.sha256(os.environ.get("CAUSALPREF_DATA", "").encode())
    for library in LIBRARIES:
        try:
            version = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            version = "-"
        digest.update(f"\0{library} {version}".encode())
    roots = [(book / "results", "*")]
    spec = importlib.util.find_spec("causalpref")
    if spec is not None and spec.origin is not None:
        roots.append((Path(spec.origin).parent, "*.py"))
    for root, pattern in roots:
        for path in sorted(root.rglob(pattern)):
            if path.is_file():
                digest.update(f"\0{path.relative_to(root).as_posix()}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def prepare(app: Sphinx, config: Config) -> None:
    """Tell kernels that they run for the book; choose the execution cache."""
    os.environ["CAUSALPREF_BOOK"] = "1"
    book = Path(app.srcdir)  # all editions and builders share the cache
    cache = book.parent / "_build" / ".jupyter_cache" / results_key(book)
    config.nb_execution_cache_path = str(cache)


class CardTime(SphinxRole):
    """Role that says how long the page takes; see `cards.time_line`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Write the sentence."""
        book = Path(self.env.srcdir)
        for table in RESULTS:
            self.env.note_dependency(str(book / table))
        return [nodes.Text(time_line(book, self.env.docname, self.text))], []


class FromPages(SphinxDirective):
    """What follows from the sources of all pages, parsed as part of this one.

    ``{chapter-list}``: the parts of the book with the question of every chapter.
    ``{statements}``: a table of all definitions, assumptions and propositions; the domain index
    of sphinx-proof knows neither their titles nor their order. ``{first-used}``: the names of
    the package that this chapter is the first to use.
    """

    def run(self) -> list[nodes.Node]:
        """Write and parse it, again when a page has changed."""
        book, own = Path(self.env.srcdir), self.env.docname
        for page in self.env.found_docs:
            self.env.note_dependency(str(book / f"{page}.md"))
        if self.name == "chapter-list":
            listed = chapter_list(book, self.env.found_docs)
            return self.parse_text_to_nodes(f":::{{container}} chapter-list\n{listed}\n:::")
        if self.name == "statements":
            rows = ["| | says | in |", "|---|---|---|"]
            for page, _, label, title in statements(book):
                rows.append(f"| {{prf:ref}}`{label}` | {title} | {{doc}}`{page}` |")
            return self.parse_text_to_nodes("\n".join(rows))
        links = ", ".join(f"{{py:obj}}`~{name}`" for name in first_used(book).get(own, []))
        text = f"From the package, used here for the first time: {links}." if links else ""
        return self.parse_text_to_nodes(text)


def doi_handle(app: Sphinx, uri: str) -> str | None:
    """Ask the DOI registry whether a work exists: publishers turn robots away."""
    match = re.fullmatch(r"https://doi\.org/(.+)|https://www\.jstor\.org/stable/(\d+)", uri)
    if match is None:
        return None
    return f"https://doi.org/api/handles/{match[1] or f'10.2307/{match[2]}'}"


def caption_tables(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Say under every table that a cell shows whether its data are simulated or real."""
    for node in doctree.findall(nodes.raw):
        text = node.astext()
        match = re.search(r'<table[^>]*class="dataframe[^>]*>', text)
        if match is None or "<caption" in text:
            continue
        page, parent = docname, node.parent  # one page of all chapters keeps their names inside
        while parent is not None:
            page = parent.get("docname", page) if isinstance(parent, nodes.Element) else page
            parent = parent.parent
        data = table_data(Path(app.env.doc2path(page)), text)
        if data is None:
            logger.warning(
                "a table, and nothing says of what data: add table_data to the front matter",
                location=page,
            )
            continue
        caption = f"<caption>Data: {data}.</caption>"
        node.children = [nodes.Text(f"{text[: match.end()]}\n{caption}{text[match.end() :]}")]
        node.rawsource = node.astext()


def add_static(app: Sphinx) -> None:
    """Add MathJax and the Vega bundle to the static files, on no page yet."""
    if app.builder.format != "html":
        return
    folder = Path(app.srcdir).parent / "_build" / ".vega" / vl_convert.__version__
    bundle = folder / "vega.js"
    if not bundle.exists():
        folder.mkdir(parents=True, exist_ok=True)
        script = vl_convert.javascript_bundle(vl_version=altair.VEGALITE_VERSION.rpartition(".")[0])
        bundle.write_text(f"(function () {{\n{script}\n}})();\n", encoding="utf-8")
    app.config.html_static_path += [str(Path(app.srcdir) / "_vendor"), str(folder)]


def choose_scripts(
    app: Sphinx,
    pagename: str,
    templatename: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Load the chart scripts where a chart is; drop those of Thebe."""
    charts = doctree is not None and any(
        "vegaEmbed" in node.astext() for node in doctree.findall(nodes.raw)
    )

    def wanted(script: Any) -> bool:
        name, body = str(script.filename or ""), script.attributes.get("body") or ""
        return "thebe" not in (name + body).lower() and (charts or not name.endswith("charts.js"))

    scripts = context["script_files"]
    scripts[:] = [script for script in scripts if wanted(script)]
    if charts:
        versions = (
            f'window.VEGA_DEBUG = {{vega_version: "{altair.VEGA_VERSION}", '
            f'vegalite_version: "{altair.VEGALITE_VERSION}", '
            f'vegaembed_version: "{altair.VEGAEMBED_VERSION}"}};'
        )
        app.add_js_file(None, body=versions)
        app.add_js_file("vega.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    for extension in ("colab", "editions", "offline", "pdf", "public_names"):
        app.setup_extension(extension)
    register_plugin("sphinxcontrib.bibtex.style.referencing", "author_year_round", AuthorYearRound)
    app.add_role("card-time", CardTime())
    for name in ("chapter-list", "first-used", "statements"):
        app.add_directive(name, FromPages)
    app.connect("linkcheck-process-uri", doi_handle)
    app.connect("doctree-resolved", caption_tables)
    app.connect("config-inited", prepare)
    app.connect("builder-inited", add_static)
    app.connect("html-page-context", choose_scripts, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
