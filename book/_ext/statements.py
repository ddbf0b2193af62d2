"""Sphinx extension of the book: a table of all definitions, assumptions and propositions.

``{statements}`` lists them in the order of the book, each with a link, so that the
table cannot fall behind the chapters.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

STATEMENT = re.compile(
    r"^:::+\{prf:(?P<kind>assumption|corollary|definition|lemma|proposition|theorem)\} *(?P<title>.*?)\s*\n"
    r":label: (?P<label>\S+)\s*$",
    re.MULTILINE,
)


def pages(book: Path) -> list[str]:
    """Pages in the order of the table of contents, without extensions."""

    def files(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [str(node[key]) for key in ("root", "file") if key in node]
            return own + [file for value in node.values() for file in files(value)]
        return [file for entry in node for file in files(entry)] if isinstance(node, list) else []

    return files(yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8")))


def statements(book: Path) -> list[tuple[str, str, str, str]]:
    """Page, kind, label and title of each labelled statement, in the order of the book."""
    return [
        (page, match["kind"], match["label"], match["title"])
        for page in pages(book)
        if (book / f"{page}.md").is_file()
        for match in STATEMENT.finditer((book / f"{page}.md").read_text(encoding="utf-8"))
    ]


class Statements(SphinxDirective):
    """``{statements}``."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        book = Path(self.env.srcdir)
        rows = ["| | says | in |", "|---|---|---|"]
        for page, _, label, title in statements(book):
            self.env.note_dependency(str(book / f"{page}.md"))
            rows.append(f"| {{prf:ref}}`{label}` | {title} | {{doc}}`{page}` |")
        source, line = self.get_source_info()
        node = nodes.Element()
        self.state.nested_parse(StringList(rows, source=source), line, node)
        return node.children


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    app.add_directive("statements", Statements)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
