"""Write beside each chapter the notebook that Colab opens.

Colab shows MyST directives and roles as raw text. The builder ``colab`` therefore walks
the document tree that Sphinx has resolved and writes plain Markdown, so numbers,
references, citations and proofs in a copy are those of the book. No cell is run: a glued
value stays a placeholder, and the text around it becomes a cell that fills it in.

``python book/_ext/colab.py`` writes all copies; ``--check`` writes nothing and fails if one
is stale, missing or left over. From Python, call `write_copies(root, out, edition=...)`;
the student edition's tree holds no solutions, so its copies hold none.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import nbformat
from docutils import nodes
from docutils.nodes import Element, Node
from docutils.parsers.rst import directives
from nbformat import v4
from sphinx.application import Sphinx
from sphinx.builders import Builder
from sphinx.errors import ExtensionError
from sphinx.util.console import nocolor
from sphinx.util.docutils import SphinxDirective, SphinxRole

HIDDEN_TAGS = frozenset(["hide-cell", "hide-input", "remove-cell", "remove-input"])
SAY_TITLE = "# @title Text with numbers from the run"
# Docstrings are not in the copies: the build of the book answers for them.
WARNING = re.compile(r"(?m)^(?!.*:docstring of ).*\b(?:WARNING|ERROR|CRITICAL): ")
FORMS = {
    "strong": "**{}**",
    "emphasis": "*{}*",
    "title_reference": "*{}*",
    "subscript": "<sub>{}</sub>",
    "superscript": "<sup>{}</sup>",
    "footnote_reference": "<sup>{}</sup>",
}
# What a line begins with that stands apart from the words before and after it.
APART = re.compile(r"\$\$|```|[>|#]|\s*(?:[-*+]|\d+[.)])\s|$")
# A glued value on its way to a cell that says it.
START, STOP = "\ue000", "\ue001"


# Reading: what is done differently from the site --------------------------------


class GlueText(SphinxRole):
    """``{glue:text}``: the name of the value and its format, for the run to fill in."""

    def run(self) -> tuple[list[Node], list[nodes.system_message]]:
        """Return the placeholder."""
        return [nodes.inline("", START + self.text + STOP, classes=["glued"])], []


class GlueFigure(SphinxDirective):
    """``{glue:figure}``: the caption. The cell before it shows the figure."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"name": directives.unchanged}

    def run(self) -> list[Node]:
        """Return a figure that has its number and caption and no picture."""
        figure = nodes.figure()
        self.set_source_info(figure)
        self.add_name(figure)
        body = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, body)
        for k, child in enumerate(body.children):
            figure += nodes.caption("", "", *child.children) if k == 0 else child
        return [figure]


def keep_cells(app: Sphinx, docname: str, source: list[str]) -> None:
    """Rename the tags by which cells would be hidden or removed from the tree."""
    tags = r"(?m)^(:?tags:.*)$"
    source[0] = re.sub(tags, lambda m: re.sub(r"\b(hide|remove)-", r"kept-\1-", m[1]), source[0])


def prepare(app: Sphinx) -> None:
    """Read pages for copies, if that is what is being built."""
    if app.builder.name == "colab":
        glue = app.env.get_domain("glue")
        glue.roles["text"], glue.directives["figure"] = GlueText(), GlueFigure
        app.connect("source-read", keep_cells)


# Writing -------------------------------------------------------------------------


@dataclass
class Cell:
    """A cell of the copy."""

    kind: str  # "markdown" or "code"
    source: str
    metadata: dict[str, Any] = field(default_factory=dict)


class Copy:
    """The cells of one page, from its resolved tree."""

    def __init__(self, builder: ColabBuilder, doc: str) -> None:
        self.builder, self.doc = builder, doc
        self.cells: list[Cell] = []
        self.solutions: list[Cell] = []
        self.cited: set[str] = set()
        self.level = 0  # of the heading that comes next

    def notebook(self, tree: nodes.document) -> str:
        """Return the copy as the text of an ``.ipynb`` file."""
        self.add(self.blocks(tree), self.cells)
        if self.solutions:
            self.cells += [Cell("markdown", "## Solutions"), *self.solutions]
        works = [f"- {work}" for uri, work in self.builder.works.items() if uri in self.cited]
        if works:
            self.cells.append(Cell("markdown", "\n".join(["## References", "", *works])))
        metadata: dict[str, Any] = {
            "colab": {"provenance": [], "toc_visible": True},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        if "colab_gpu" in self.builder.env.metadata[self.doc]:
            metadata["accelerator"] = "GPU"
        return dump(self.cells, metadata)

    def add(self, pieces: Iterable[str | Cell], cells: list[Cell]) -> None:
        """Append pieces to cells; text joins the cell before if that is of the same sort."""
        for piece in pieces:
            if isinstance(piece, Cell):
                cells.append(piece)
                continue
            metadata = {"say": True} if START in piece else {}
            last = cells[-1] if cells else Cell("code", "")
            if (last.kind, last.metadata) == ("markdown", metadata) and not piece.startswith("#"):
                last.source += "\n\n" + piece
            else:
                cells.append(Cell("markdown", piece, metadata))

    # Blocks ----------------------------------------------------------------

    def blocks(self, *parents: Element) -> Iterator[str | Cell]:
        """Their children as plain Markdown and code cells."""
        for parent in parents:
            for child in parent.children:
                yield from self.block(child)

    def text(self, *parents: Element, sep: str = "\n\n") -> str:
        """Their children as one piece of Markdown."""
        return sep.join(piece for piece in self.blocks(*parents) if isinstance(piece, str))

    def block(self, node: Node) -> Iterator[str | Cell]:
        """Convert one node of a page's body."""
        assert isinstance(node, Element)
        convert = getattr(self, f"_{node.tagname}", None)
        if "countertype" in node or node.tagname.startswith("exercise"):
            convert = self._statement
        elif isinstance(node, (nodes.Inline, nodes.Invisible)):
            convert = self._alone
        elif convert is None and isinstance(node, nodes.Admonition):
            convert = self._admonition
        if convert is None:
            while node.parent is not None and not node.line:
                node = node.parent
            at = f"book/{self.doc}.md:{node.line or 0}"
            raise ExtensionError(f"{at}: {node.tagname} has no plain form")
        yield from (piece for piece in convert(node) if isinstance(piece, Cell) or piece.strip())

    _document = _compound = _Element = _legend = _glossary = blocks

    def _alone(self, node: Element) -> Iterator[str]:
        yield self.span(node)

    _toctree = _field_list = _alone

    def _section(self, node: Element) -> Iterator[str | Cell]:
        titled = node.first_child_matching_class(nodes.title) is not None
        self.level += titled
        yield from self.blocks(node)
        self.level -= titled

    def _title(self, node: Element) -> Iterator[str]:
        first = not self.cells
        yield "#" * self.level + " " + self.inline(node)
        if first:
            link = f"[{self.inline(node)}]({self.builder.get_target_uri(self.doc)})"
            yield (
                f"*This notebook is generated from the chapter {link} of the book "
                f"{self.builder.title}. Run it all (Runtime, Run all): where the text shows … "
                f"the numbers of your run appear.*"
            )

    def _paragraph(self, node: Element) -> Iterator[str]:
        # A line must not begin like a list, a heading or a quotation.
        signs = r"(?m)^(\d*)(>|[#+.)-](?=#*(?: |$)))"
        text = re.sub(signs, r"\1\\\2", self.inline(node))
        yield from (part.strip() for part in text.split("\n\n"))  # around a displayed formula

    _caption = _paragraph

    def _transition(self, node: Element) -> Iterator[str]:
        yield "---"

    def _literal_block(self, node: Element) -> Iterator[str]:
        language = re.sub("default|none", "", node.get("language", ""))
        yield f"```{language}\n{node.astext().rstrip()}\n```"

    def _math_block(self, node: Element) -> Iterator[str]:
        text = "\n".join(line for line in node.astext().split("\n") if line.strip())
        if "\\\\" in text and not text.startswith("\\begin{"):
            text = f"\\begin{{split}}\n{text}\n\\end{{split}}"
        number = self.number(node, "displaymath", " \\tag{%s}")
        yield f"$$\n{text}{number}\n$$"

    def number(self, node: Element, kind: str, form: str = "%s") -> str:
        """The book's number of a node in a form, or nothing."""
        known = self.builder.env.toc_fignumbers.get(self.doc, {}).get(kind, {})
        numbers = (".".join(map(str, known[name])) for name in node["ids"] if name in known)
        return next((form % number for number in numbers), "")

    def _figure(self, node: Element) -> Iterator[str | Cell]:
        for child in node.children:
            named = isinstance(child, nodes.caption)
            for piece in self.block(child):
                yield self._name(node) + str(piece) if named else piece

    def _name(self, node: Element) -> str:
        kind = node.tagname
        return self.number(node, kind, f"*{self.builder.config.numfig_format[kind]}.* ")

    def _table(self, node: Element) -> Iterator[str]:
        if isinstance(node[0], nodes.title):
            yield self._name(node) + self.inline(node[0])
        rows: list[str] = []
        for row in node.findall(nodes.row):
            entries = (self.text(entry, sep="<br>").replace("\n", " ") for entry in row.children)
            rows.append("| " + " | ".join(entry.replace("|", "\\|") for entry in entries) + " |")
            if len(rows) == 1:
                sides = ("---:" if "text-right" in entry["classes"] else "---" for entry in row)
                rows.append("|" + "|".join(sides) + "|")
        yield "\n".join(rows)

    def _bullet_list(self, node: Element) -> Iterator[str]:
        ordered = isinstance(node, nodes.enumerated_list)
        # Items of one paragraph, with lists below it perhaps, stand close together.
        tight = all(isinstance(part, nodes.Sequential) for item in node for part in item[1:])
        sep = "\n" if tight else "\n\n"
        items = []
        for k, item in enumerate(node.children, start=node.get("start", 1)):
            mark = f"{k}. " if ordered else "- "
            items.append(mark + _indent(self.text(item, sep=sep), " " * len(mark)).lstrip(" "))
        yield sep.join(items)

    _enumerated_list = _bullet_list

    def _definition_list(self, node: Element) -> Iterator[str]:
        items = []
        for item in node.children:
            terms = " / ".join(self.inline(term) for term in item.findall(nodes.term))
            text = self.text(*item.findall(nodes.definition))
            items.append(f"- **{terms}**: {' '.join(text.split())}")
        yield "\n".join(items)

    def _block_quote(self, node: Element) -> Iterator[str]:
        yield _quote(self.text(node))

    def _footnote(self, node: Element) -> Iterator[str]:
        label = node.pop(0)
        yield f"<sup>{label.astext()}</sup> {self.text(node)}"

    # Boxes and cells ---------------------------------------------------------

    def _admonition(self, node: Element) -> Iterator[str]:
        titled = isinstance(node[0], nodes.title)
        title = self.inline(node.pop(0)) if titled else node.tagname.title()
        yield _quote(f"**{title}**\n\n{self.text(node)}")

    def _proof_node(self, node: Element) -> Iterator[str]:
        text = self.text(node[0]).removeprefix("Proof.").strip()
        last = text.rpartition("\n")[2]
        yield _headed("Proof", text + ("\n\n∎" if APART.match(last) else " ∎"))

    def _statement(self, node: Element) -> Iterator[str | Cell]:
        """A proposition, a definition, an exercise: its kind, number and title."""
        number = self.number(node, node.get("countertype", "exercise"))
        title = self.inline(node.pop(0)).removeprefix("Exercise").strip()
        kind = node.get("realtype", "exercise").title()
        pieces = list(self.blocks(node))
        text = "\n\n".join(piece for piece in pieces if isinstance(piece, str))
        yield _headed(" ".join(filter(None, [kind, number, title])), text)
        # From exercise-start to exercise-end stand cells too.
        yield from (piece for piece in pieces if isinstance(piece, Cell))

    def _solution_node(self, node: Element) -> Iterator[str]:
        """Nothing here: solutions stand together at the end of the notebook."""
        self.add([f"**{self.inline(node.pop(0))}.**"], self.solutions)
        self.add(self.blocks(node), self.solutions)
        yield ""

    def _container(self, node: Element) -> Iterator[str | Cell]:
        if node.get("nb_element") == "cell_code":
            yield _code(node[0].astext(), dict(node["cell_metadata"]))
        elif node.get("design_component") == "card":
            link = next((ref["refuri"] for ref in node.findall(nodes.reference)), "")
            (body,) = (part for part in node if part.get("design_component") == "card-body")
            title = self.inline(body.pop(0)[0])
            shown = f"[{title}]({link})" if link else title
            yield f"- **{shown}**: {' '.join(self.text(body).split())}"
        else:
            yield from self.blocks(node)

    # Text within a line ----------------------------------------------------

    def inline(self, node: Element) -> str:
        """The text of a node with its links, formulas and emphasis."""
        return "".join(self.span(child) for child in node.children)

    def span(self, node: Node) -> str:
        """Convert one node of a line."""
        if isinstance(node, nodes.Text):
            return _escape(node.astext())
        assert isinstance(node, Element)
        text, kind = node.astext(), node.tagname
        if kind == "math":
            return f"${' '.join(text.split())}$"
        if kind == "math_block":
            return "\n\n" + "".join(self._math_block(node)) + "\n\n"
        if kind == "literal":
            return _literal(text)
        if isinstance(node, nodes.reference):
            return self._reference(node)
        if kind == "image":
            return f"![{node.get('alt', '')}]({self.builder.image_uri(node['uri'])})"
        if kind == "raw":  # a line break, say
            wanted = "html" in node["format"] and not re.search("<script|<!--", text)
            return text.strip() if wanted else ""
        if isinstance(node, nodes.Invisible):
            return ""
        if "glued" in node["classes"]:
            return text
        return FORMS.get(kind, "{}").format(self.inline(node))

    def _reference(self, node: Element) -> str:
        text, uri = self.inline(node), node.get("refuri", "")
        if uri in self.builder.works:
            self.cited.add(uri)  # it stands under the heading "References"
        elif uri and uri == node.astext():
            return f"<{uri}>"
        elif uri and uri.partition("#")[0] not in ("", self.builder.get_target_uri(self.doc)):
            return f"[{text}](<{uri}>)" if re.search(r"[()\s]", uri) else f"[{text}]({uri})"
        return text


def _escape(text: str) -> str:
    """Put a backslash before what Markdown would read as a sign."""
    text = re.sub(r"[\\`*$]|(?<![^\W_])_|_(?![^\W_])|<(?=[A-Za-z/!?])", r"\\\g<0>", text)
    text = text.replace("\u00a0", " ")
    return re.sub(r"\](?=[(\[])", r"\\]", text)


def _literal(text: str) -> str:
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{space}{text}{space}{ticks}"


def _headed(head: str, text: str) -> str:
    sep = "\n\n" if APART.match(text) else " "
    return f"**{head}.**{sep}{text}".rstrip()


def _indent(text: str, prefix: str) -> str:
    return "\n".join((prefix + line).rstrip() for line in text.split("\n"))


def _quote(text: str) -> str:
    """Blockquote in which no formula spans lines, where ``>`` would enter it."""
    formulas = r"(```.*?```|`[^`\n]*`)|(?<!\\)\$\$.+?\$\$"
    text = re.sub(formulas, lambda m: m[1] or m[0].replace("\n", " "), text, flags=re.DOTALL)
    return _indent(text, "> ")


def _code(source: str, metadata: dict[str, Any]) -> Cell:
    tags = [tag.removeprefix("kept-") for tag in metadata.get("tags", [])]
    if tags:
        metadata["tags"] = tags
    if HIDDEN_TAGS & set(tags):
        metadata["cellView"] = "form"
        if not source.lstrip().startswith(("# @title", "#@title", "%%")):
            source = f"# @title Code\n{source}"
    return Cell("code", source, metadata)


def say_source(text: str) -> str:
    """Source of the code cell that says a text with glued values.

    Parameters
    ----------
    text : str
        Markdown; values stand between `START` and `STOP`.
    """
    # "[[x]]" that the author wrote must not look like a value.
    text = re.sub(r"\[(?=\[[A-Za-z_][\w.-]*(?::[^\[\]]*)?\]\])", "[ ", text)
    text = text.replace(START, "[[").replace(STOP, "]]")
    literal = repr(text) if '"""' in text else f'r"""\n{text}\n"""'
    return f"{SAY_TITLE}\nfrom causalpref.figures.notebook import say\n\nsay({literal})"


def dump(cells: Sequence[Cell], metadata: dict[str, Any]) -> str:
    """Write a notebook whose cell ids follow from the content."""
    seen: Counter[str] = Counter()
    made = []
    for cell in cells:
        kind, source, extra = cell.kind, cell.source, dict(cell.metadata)
        outputs = []
        if extra.pop("say", False):
            # Until it is run the cell shows its text with dots for the numbers.
            dots = re.sub(f"{START}.*?{STOP}", "…", source)
            data = {"text/markdown": dots, "text/plain": dots}
            outputs.append(v4.new_output("display_data", data))
            kind, source, extra = "code", say_source(source), {"cellView": "form"}
        seen[kind + source] += 1
        key = f"{kind}\0{source}\0{seen[kind + source]}"
        known = {"metadata": extra, "id": hashlib.sha256(key.encode()).hexdigest()[:12]}
        if kind == "code":
            made.append(v4.new_code_cell(source, outputs=outputs, **known))
        else:
            made.append(v4.new_markdown_cell(source, **known))
    return nbformat.writes(v4.new_notebook(cells=made, metadata=metadata)) + "\n"


class ColabBuilder(Builder):
    """Builds a notebook of each page that has cells."""

    name = "colab"
    format = "colab"
    epilog = "The copies for Colab are in %(outdir)s."
    supported_image_types: ClassVar = ["image/svg+xml", "image/png", "image/jpeg", "image/gif"]

    def init(self) -> None:
        """Read what all pages need."""
        self.title = str(self.config.html_title).partition(":")[0]
        self.base = self.config.html_baseurl.rstrip("/") + "/"
        self.works: dict[str, str] = {}

    def get_outdated_docs(self) -> set[str]:
        """All pages."""
        return self.env.found_docs

    def get_target_uri(self, docname: str, typ: str | None = None) -> str:
        """Address of the page in the book."""
        return f"{self.base}{docname}.html"

    def get_relative_uri(self, from_: str, to: str, typ: str | None = None) -> str:
        """Address of a page from another: copies lie elsewhere than the book."""
        return self.get_target_uri(to, typ)

    def image_uri(self, uri: str) -> str:
        """Address of a picture in the book."""
        if re.match(r"https?:", uri):
            return uri
        return f"{self.base}_images/{self.env.images[uri][1] if uri in self.env.images else uri}"

    def prepare_writing(self, docnames: set[str]) -> None:
        """Read the bibliography: the address of each work to its text, in the book's order."""
        cited = self.env.get_domain("cite").citations
        for doc in sorted({citation.bibliography_key.docname for citation in cited}):
            for entry in self.env.get_and_resolve_doctree(doc, self).findall(nodes.citation):
                entry.pop(0)  # the label
                text = " ".join(Copy(self, doc).text(entry).split())
                self.works |= {f"{self.get_target_uri(doc)}#{name}": text for name in entry["ids"]}

    def write_doc(self, docname: str, doctree: nodes.document) -> None:
        """Write the copy of a page."""
        if "kernelspec" not in self.env.metadata[docname]:
            return
        path = Path(self.outdir, f"{docname}.ipynb")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Copy(self, docname).notebook(doctree), encoding="utf-8", newline="\n")

    def finish(self) -> None:
        """Nothing is left to write."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the builder."""
    app.add_builder(ColabBuilder)
    app.connect("builder-inited", prepare)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


# The command -----------------------------------------------------------------------


def write_copies(root: Path, out: Path | None = None, *, edition: str = "") -> list[Path]:
    """Write the copies of a book's chapters.

    Parameters
    ----------
    root : Path
        Folder that holds ``_config.yml`` and ``book/``.
    out : Path, optional
        Folder of the copies; by default they lie beside the chapters.
    edition : str, optional
        "student" leaves out solutions and the teachers' pages, see `editions`.

    Returns
    -------
    list of Path
        All copies, written only where they have changed.

    Raises
    ------
    RuntimeError
        If Sphinx warns of anything in a page; the message is what it says.
    """
    out = out or root / "book"
    written = []
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: a build may ask for copies, and Sphinx has global state.
        done = subprocess.run(
            [sys.executable, __file__, "--build", str(root), folder],
            capture_output=True,
            text=True,
            env=os.environ | {"CAUSALPREF_EDITION": edition},
        )
        if done.returncode or WARNING.search(done.stderr):
            raise RuntimeError(done.stderr.strip())
        made = Path(folder, "colab")
        for copy in sorted(made.rglob("*.ipynb")):
            path = out / copy.relative_to(made)
            if not path.is_file() or path.read_bytes() != copy.read_bytes():
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(copy, path)
            written.append(path)
    return written


def _build(root: Path, folder: Path) -> int:
    """Run Sphinx without running cells; everything that it writes goes to one folder."""
    from jupyter_book.sphinx import build_sphinx

    nocolor()
    unused = {"html_logo": "", "html_favicon": "", "latex_individualpages": False}
    done = build_sphinx(
        str(root / "book"),
        str(folder / "colab"),
        path_config=str(root / "_config.yml"),
        confoverrides={"nb_execution_mode": "off", "smartquotes": False, **unused},
        doctreedir=str(folder / "doctrees"),
        noconfig=True,
        builder="colab",
        quiet=True,
    )
    return done if isinstance(done, int) else 1


def main(argv: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments of the command line.
    root : Path, optional
        Folder of ``_config.yml``; by default that of this file's checkout.

    Returns
    -------
    int
        0 if all went well, 1 if a page has an error or a copy is stale.
    """
    parser = argparse.ArgumentParser(description="Write the notebooks that Colab opens.")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; fail if a copy is stale, missing or left over",
    )
    parser.add_argument("--build", nargs=2, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.build:
        return _build(*args.build)
    root = root or Path(__file__).resolve().parents[2]
    book = root / "book"
    with tempfile.TemporaryDirectory() as folder:
        try:
            copies = write_copies(root, Path(folder) if args.check else book)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
        wrong = {}
        for copy in copies if args.check else ():
            old = book / copy.relative_to(folder)
            if not old.is_file():
                wrong[old] = "missing"
            elif old.read_bytes() != copy.read_bytes():
                wrong[old] = "stale"
        names = {copy.relative_to(folder if args.check else book) for copy in copies}
    for copy in book.rglob("*.ipynb"):
        if copy.relative_to(book) not in names and "_build" not in copy.parts:
            wrong[copy] = "no chapter of that name"
    for copy, what in sorted(wrong.items()):
        print(f"{copy.relative_to(root)}: {what}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
