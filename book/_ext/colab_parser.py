"""Write beside each chapter the notebook that Colab opens.

``python book/_ext/colab.py`` converts every MyST notebook of the table of
contents; ``--check`` writes nothing and fails if a copy is stale or missing.
Colab knows nothing of MyST, so directives, roles and targets become plain
Markdown and mathematics here. The output depends on the sources alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import posixpath
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jupytext
import yaml
from pybtex.database import BibliographyData, Entry, parse_file
from pybtex.plugin import find_plugin

PROOFS = frozenset(
    [
        "algorithm",
        "assumption",
        "axiom",
        "conjecture",
        "corollary",
        "criterion",
        "definition",
        "example",
        "lemma",
        "notation",
        "observation",
        "proof",
        "property",
        "proposition",
        "remark",
        "theorem",
    ]
)
ADMONITIONS = frozenset(
    [
        "admonition",
        "attention",
        "caution",
        "danger",
        "dropdown",
        "error",
        "hint",
        "important",
        "margin",
        "note",
        "seealso",
        "sidebar",
        "tip",
        "topic",
        "warning",
    ]
)
TITLED = frozenset(["admonition", "dropdown", "sidebar", "topic"])  # the argument is a title
WRAPPERS = frozenset(["container", "div", "grid", "grid-item", "tab-set"])
DROPPED = frozenset(
    ["bibliography", "contents", "first-used", "index", "tableofcontents", "toctree"]
)
CITES = frozenset(["cite", "cite:p", "cite:t", "cite:ps", "cite:ts", "cite:author", "cite:year"])
VERBATIM = frozenset(["code", "code-block", "code-cell", "glossary", "list-table", "math"])
HIDDEN_TAGS = frozenset(["hide-cell", "hide-input", "remove-cell", "remove-input"])
SAY_TITLE = "# @title Text with numbers from the run"

OPEN = re.compile(r"^(\s*)(`{3,}|~{3,}|:{3,})\s*(.*?)\s*$")
DIRECTIVE = re.compile(r"^\{([^}\s]+)\}\s*(.*)$")
OPTION = re.compile(r"^\s*:([\w-]+):\s*(.*?)\s*$")
TARGET = re.compile(r"^\(([^()]+)\)=\s*$")
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")
LIST_ITEM = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")
MATH_END = re.compile(r"\$\$\s*(?:\(([^()\s]+)\))?\s*$")
INLINE = re.compile(
    r"""<!--.*?-->
    | \{(?P<role>[A-Za-z][\w:.+-]*)\}(?P<ticks>`+)(?P<content>.+?)(?<!`)(?P=ticks)(?!`)
    | (?P<code>`+).+?(?<!`)(?P=code)(?!`)
    | \\[$`{\[]
    | \$\$.+?\$\$ | \$(?:[^$\\]|\\.)+\$ | \\begin\{(?P<env>[a-zA-Z]+\*?)\}.+?\\end\{(?P=env)\}
    | \[\^(?P<note>[^\]\s]+)\]:?
    | (?P<bang>!?)\[(?P<label>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<url>[^()\s]+)(?:\s+"[^"]*")?\)""",
    re.VERBOSE | re.DOTALL,
)
# A glued value on its way to a say-cell.
START, STOP = "\ue000", "\ue001"


class ConversionError(Exception):
    """A page holds something that has no plain form."""


@dataclass
class Block:
    """A piece of a page: directive, code fence, formula, heading, target or text."""

    kind: str
    line: int
    text: str = ""
    name: str = ""
    arg: str = ""
    options: dict[str, str] = field(default_factory=dict)
    first: int = 0  # line of the first line of `text`


@dataclass
class Target:
    """What a label stands for."""

    doc: str
    kind: str
    anchor: str
    title: str = ""
    number: int = 0


def parse(lines: Sequence[str], first: int) -> list[Block]:
    """Split Markdown into blocks.

    Parameters
    ----------
    lines : sequence of str
    first : int
        Number of the first line in its file.

    Returns
    -------
    list of Block
        Comments are left out.
    """
    blocks: list[Block] = []
    i = 0
    while i < len(lines):
        line, at = lines[i], first + i
        if not line.strip() or line.startswith("%"):
            i += 1
        elif line.startswith("<!--"):
            i = next((k for k in range(i, len(lines)) if "-->" in lines[k]), len(lines)) + 1
        elif match := OPEN.match(line):
            stop = _close(lines, i, match[2])
            blocks.append(_fence(lines[i : stop + 1], lines[i + 1 : stop], match, at))
            i = stop + 1
        elif match := TARGET.match(line):
            blocks.append(Block("target", at, match[1]))
            i += 1
        elif line.startswith("+++"):
            i += 1
        elif match := HEADING.match(line):
            blocks.append(Block("heading", at, match[2], name=match[1]))
            i += 1
        elif line.lstrip().startswith("$$"):
            j = i
            while not MATH_END.search(lines[j].lstrip()[2:] if j == i else lines[j]):
                j += 1
                if j == len(lines):
                    raise ConversionError(f"{at}: '$$' is never closed")
            body = "\n".join(lines[i : j + 1]).strip()[2:]
            end = MATH_END.search(body)
            assert end is not None
            blocks.append(
                Block("math", at, body[: end.start()].strip(), options={"label": end[1] or ""})
            )
            i = j + 1
        else:
            j = _text_end(lines, i)
            blocks.append(
                Block(
                    "text", at, "\n".join(line for line in lines[i:j] if not line.startswith("%"))
                )
            )
            i = j
    return blocks


def _close(lines: Sequence[str], i: int, fence: str) -> int:
    for j in range(i + 1, len(lines)):
        mark = lines[j].strip()
        if len(mark) >= len(fence) and set(mark) == {fence[0]}:
            return j
    return len(lines)


def _fence(whole: Sequence[str], body: Sequence[str], match: re.Match[str], at: int) -> Block:
    directive = DIRECTIVE.match(match[3])
    if directive is None:
        if match[2][0] == ":":
            return Block("directive", at, "\n".join(body), name="div", first=at + 1)
        return Block("fence", at, "\n".join(whole))
    options: dict[str, str] = {}
    used = 0
    if body and body[0].strip() == "---":
        used = next((k for k in range(1, len(body)) if body[k].strip() == "---"), 0) + 1
        loaded = yaml.safe_load("\n".join(body[1 : used - 1])) or {}
        options = {key: str(value) for key, value in loaded.items()}
    else:
        while used < len(body) and (option := OPTION.match(body[used])):
            options[option[1]] = option[2]
            used += 1
    indent = len(match[1])
    text = "\n".join(line[indent:] if not line[:indent].strip() else line for line in body[used:])
    return Block("directive", at, text, directive[1], directive[2], options, at + 1 + used)


def _text_end(lines: Sequence[str], i: int) -> int:
    """Line after a paragraph, or after a list with all its items."""
    is_list = bool(LIST_ITEM.match(lines[i]))
    j = i
    while j < len(lines):
        line = lines[j]
        fence = OPEN.match(line)
        if not line.strip():
            after = next((k for k in range(j, len(lines)) if lines[k].strip()), len(lines))
            goes_on = (
                is_list
                and after < len(lines)
                and re.match(r"\s{2,}\S|\s*(?:[-*+]|\d+[.)])\s", lines[after])
            )
            if not goes_on:
                return j
            j = after
        elif fence and is_list and fence[1]:
            j = _close(lines, j, fence[2]) + 1
        elif j > i and (
            fence or HEADING.match(line) or TARGET.match(line) or line.startswith(("$$", "+++"))
        ):
            return j
        else:
            j += 1
    return len(lines)


def _fences(block: Block) -> Iterator[tuple[int, int, str]]:
    """First line, line after the last, and indent of each fence within a list."""
    lines = block.text.split("\n")
    i = 0
    while i < len(lines):
        if match := OPEN.match(lines[i]):
            stop = min(_close(lines, i, match[2]) + 1, len(lines))
            yield i, stop, match[1]
            i = stop
        else:
            i += 1


def _dedented(block: Block, start: int, stop: int, indent: str) -> list[Block]:
    lines = block.text.split("\n")[start:stop]
    return parse([line.removeprefix(indent) for line in lines], block.line + start)


def slug(text: str) -> str:
    """Identifier that docutils makes of a name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _split(path: Path) -> tuple[dict[str, Any], list[str], int]:
    """Front matter, lines after it, and the number of the first of them."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or lines[0].strip() != "---":
        return {}, lines, 1
    end = next((k for k in range(1, len(lines)) if lines[k].strip() == "---"), 0)
    return yaml.safe_load("\n".join(lines[1:end])) or {}, lines[end + 1 :], end + 2


class Book:
    """The book's configuration, pages, labels and bibliography.

    Parameters
    ----------
    root : Path
        Folder that holds ``_config.yml`` and ``book/``.
    """

    def __init__(self, root: Path) -> None:
        config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
        self.root, self.folder = root, root / "book"
        self.title = str(config["title"]).partition(":")[0]
        self.base = str(config["html"]["baseurl"]).rstrip("/") + "/"
        repository = config["repository"]
        self.source = (
            f"{repository['url']}/blob/{repository['branch']}/{repository['path_to_book']}/"
        )
        self.labels: dict[str, Target] = {}
        self.terms: dict[str, tuple[str, str]] = {}  # page and anchor
        self.titles: dict[str, str] = {}
        self.numbers: dict[tuple[str, int], int] = {}
        toc = yaml.safe_load((self.folder / "_toc.yml").read_text(encoding="utf-8"))
        self.docs = [doc.removesuffix(".md") for doc in _files(toc) if self.path(doc).is_file()]
        self.notebooks = [doc for doc in self.docs if "kernelspec" in _split(self.path(doc))[0]]
        for doc in self.docs:
            _, lines, first = _split(self.path(doc))
            try:
                self._collect(doc, parse(lines, first), Counter())
            except ConversionError as error:
                raise ConversionError(
                    f"{self.path(doc).relative_to(root).as_posix()}:{error}"
                ) from None
        bib = self.folder / "references.bib"
        self.bibliography = parse_file(str(bib)) if bib.is_file() else BibliographyData()

    def path(self, doc: str) -> Path:
        """Source of a page."""
        return self.folder / (doc.removesuffix(".md") + ".md")

    def url(self, doc: str, anchor: str = "") -> str:
        """Address of a rendered page."""
        return f"{self.base}{doc}.html" + (f"#{anchor}" if anchor else "")

    def _collect(self, doc: str, blocks: list[Block], count: Counter[str]) -> None:
        pending: list[str] = []
        for block in blocks:
            if block.kind == "target":
                pending.append(block.text)
                continue
            kind, labels, title, anchor = "", list(pending), "", ""
            pending.clear()
            if block.kind == "heading":
                kind, title = "section", block.text
                self.titles.setdefault(doc, title)
            elif block.kind == "math" or block.name == "math":
                label = block.options.get("label") or block.options.get("name")
                if label:
                    kind, anchor = "equation", f"equation-{slug(label)}"
                    labels.append(label)
            elif block.kind == "directive":
                name = block.name.removeprefix("prf:")
                label = block.options.get("label") or block.options.get("name")
                labels += [label] if label else []
                title = block.arg
                if name in ("figure", "glue:figure"):
                    title = block.text.strip().partition("\n\n")[0].replace("\n", " ")
                    kind = "figure" if title or label else ""
                elif name in ("table", "list-table"):
                    kind = "table" if title or label else ""
                elif block.name.startswith("prf:"):
                    kind, anchor = name, label or ""
                elif name in ("exercise", "exercise-start"):
                    kind, anchor = "exercise", label or ""
                elif name in ("solution", "solution-start"):
                    kind, anchor, title = "solution", label or "", ""
                elif name == "glossary":
                    for term in re.findall(r"^(\S.*?)\s*$", block.text, re.MULTILINE):
                        if not term.startswith(": "):
                            self.terms[term.lower()] = (
                                doc,
                                "term-" + re.sub(r"[^a-zA-Z0-9._]+", "-", term),
                            )
                elif labels:
                    kind = "admonition"
            number = 0
            if kind and kind not in ("section", "admonition", "solution", "proof"):
                if "nonumber" not in block.options:
                    count[kind] += 1
                    number = count[kind]
                self.numbers[doc, block.line] = number
            for label in labels:
                self.labels[label] = Target(
                    doc, kind or "text", anchor or slug(label), title, number
                )
            if block.kind == "directive" and block.name not in VERBATIM:
                self._collect(doc, parse(block.text.split("\n"), block.first), count)
            elif block.kind == "text":
                for start, stop, indent in _fences(block):
                    self._collect(doc, _dedented(block, start, stop, indent), count)


def _files(toc: Any) -> Iterator[str]:
    if isinstance(toc, dict):
        for key, value in toc.items():
            if key in ("root", "file"):
                yield str(value)
            else:
                yield from _files(value)
    elif isinstance(toc, list):
        for entry in toc:
            yield from _files(entry)


@dataclass
class Cell:
    """A cell of the copy."""

    kind: str  # "markdown" or "code"
    source: str
    metadata: dict[str, Any] = field(default_factory=dict)


class Page:
    """Conversion of one page.

    Parameters
    ----------
    book : Book
    doc : str
        Name of the page, without extension.
    """

    def __init__(self, book: Book, doc: str) -> None:
        self.book, self.doc = book, doc
        self.cited: list[str] = []
        self.cells: list[Cell] = []
        self.solutions: list[Cell] = []

    def error(self, line: int, message: str) -> ConversionError:
        """An error that names the file and the line."""
        path = self.book.path(self.doc).relative_to(self.book.root)
        return ConversionError(f"{path.as_posix()}:{line}: {message}")

    # Cells -----------------------------------------------------------------

    def notebook(self) -> str:
        """Return the copy as the text of an ``.ipynb`` file."""
        path = self.book.path(self.doc)
        front, lines, first = _split(path)
        code = [c for c in jupytext.read(path, fmt="md:myst").cells if c.cell_type == "code"]
        blocks = parse(lines, first)
        where, titled = self.cells, False
        for block in blocks:
            if block.name == "code-cell":
                cell = code.pop(0)
                where.append(_code(cell.source, dict(cell.metadata)))
            elif block.name == "solution-start":
                where = self.solutions
                self._add(where, [self._solution_head(block)])
            elif block.name == "solution-end":
                where = self.cells
            elif block.name == "solution":
                head = self._solution_head(block)
                self._add(self.solutions, [head, *self.convert(self._inner(block))])
            else:
                self._add(where, self.convert([block]))
                if block.name == "#" and not titled:
                    titled = True
                    link = f"[{self.inline(block.text, block.line)}]({self.book.url(self.doc)})"
                    self._add(
                        where,
                        [
                            f"*This notebook is generated from the chapter {link} of the book "
                            f"{self.book.title}. Run it all (Runtime, Run all): where the text shows … "
                            f"the numbers of your run appear.*"
                        ],
                    )
        if code:
            raise self.error(blocks[-1].line, f"{len(code)} code cells inside other directives")
        if self.solutions:
            self.cells += [Cell("markdown", "## Solutions"), *self.solutions]
        if self.cited:
            self.cells.append(Cell("markdown", "## References\n\n" + self._references()))
        metadata: dict[str, Any] = {
            "colab": {"provenance": [], "toc_visible": True},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        if front.get("colab_gpu") is True:
            metadata["accelerator"] = "GPU"
        return _dump(self.cells, metadata)

    def _add(self, cells: list[Cell], pieces: Sequence[str]) -> None:
        """Append text, joined to the cell before if that is of the same sort."""
        for piece in pieces:
            glued = START in piece
            last = cells[-1] if cells else None
            joins = (
                last is not None
                and last.kind == "markdown"
                and (last.metadata.get("say", False) == glued)
            )
            if joins and last is not None and not piece.startswith("#"):
                last.source += "\n\n" + piece
            elif piece:
                cells.append(Cell("markdown", piece, {"say": True} if glued else {}))

    def _solution_head(self, block: Block) -> str:
        target = self.book.labels.get(block.arg)
        if target is None or target.doc != self.doc:
            raise self.error(block.line, f"solution of an unknown exercise {block.arg!r}")
        return f"**Solution {target.number}.**" if target.number else "**Solution.**"

    # Blocks ----------------------------------------------------------------

    def _inner(self, block: Block) -> list[Block]:
        return parse(block.text.split("\n"), block.first)

    def convert(self, blocks: Sequence[Block]) -> list[str]:
        """Return each block as plain Markdown."""
        pieces: list[str] = []
        for block in blocks:
            if block.kind == "directive":
                pieces += self._directive(block)
            elif block.kind == "math":
                pieces.append(self._math(block))
            elif block.kind == "heading":
                pieces.append(f"{block.name} {self.inline(block.text, block.line)}")
            elif block.kind == "fence":
                pieces.append(block.text)
            elif block.kind == "text":
                pieces.append(self._text(block))
        return [piece for piece in pieces if piece.strip()]

    def body(self, block: Block) -> str:
        """Return the content of a directive as plain Markdown."""
        return "\n\n".join(self.convert(self._inner(block)))

    def _text(self, block: Block) -> str:
        lines = block.text.split("\n")
        if len(lines) > 1 and lines[1].startswith(": ") and not LIST_ITEM.match(lines[0]):
            definition = " ".join(line.removeprefix(":").strip() for line in lines[1:])
            return self.inline(f"- **{lines[0].strip()}**: {definition}", block.line)
        out: list[str] = []
        done = 0
        for start, stop, indent in [*_fences(block), (len(lines), len(lines), "")]:
            if done < start:
                out.append(self.inline("\n".join(lines[done:start]), block.line + done))
            if start < stop:
                out.append(
                    _prefix(
                        "\n\n".join(self.convert(_dedented(block, start, stop, indent))), indent
                    )
                )
            done = stop
        return "\n".join(out)

    def _math(self, block: Block) -> str:
        text = "\n".join(line for line in f"{block.arg}\n{block.text}".split("\n") if line.strip())
        if "nowrap" in block.options:
            text = re.sub(r"\\(begin|end)\{(?:align|eqnarray|flalign)\*?\}", r"\\\1{aligned}", text)
        elif "\\\\" in text and not text.startswith("\\begin{"):
            text = f"\\begin{{split}}\n{text}\n\\end{{split}}"
        number = self.book.numbers.get((self.doc, block.line))
        return f"$$\n{text}" + (f" \\tag{{{number}}}" if number else "") + "\n$$"

    def _directive(self, block: Block) -> list[str]:
        name, arg, options, line = block.name, block.arg, block.options, block.line
        title = self.inline(arg, line)
        number = self.book.numbers.get((self.doc, line), 0)
        if "hidden" in options or name in DROPPED or name == "exercise-end":
            return []
        if name == "math":
            return [self._math(block)]
        if name.startswith("prf:") and name[4:] in PROOFS:
            if name == "prf:proof":
                text = "\n\n".join(
                    self.convert(parse(f"{arg}\n{block.text}".split("\n"), block.first - 1))
                )
                last = text.rpartition("\n")[2]
                plain = not (last.startswith(("$$", "```", ">")) or LIST_ITEM.match(last))
                return [_headed("Proof", "", text + (" ∎" if plain else "\n\n∎"))]
            return [_headed(_numbered(name[4:].title(), number), title, self.body(block))]
        if name in ("exercise", "exercise-start"):
            return [_headed(_numbered("Exercise", number), title, self.body(block))]
        if name in ADMONITIONS:
            if name not in TITLED:
                text = "\n\n".join(
                    self.convert(parse(f"{arg}\n{block.text}".split("\n"), block.first - 1))
                )
                title = "See also" if name == "seealso" else name.title()
            else:
                text = self.body(block)
            head = f"**{title}**\n\n" if title and name != "margin" else ""
            return [_quote(head + text)]
        if name in WRAPPERS:
            return self.convert(self._inner(block))
        if name == "tab-item":
            return [f"**{title}**", *self.convert(self._inner(block))]
        if name == "glue:figure":
            return [f"*Figure {number}.* {self.body(block)}"] if block.text.strip() else []
        if name in ("figure", "image"):
            image = f"![{options.get('alt', '')}]({self._image(arg)})"
            caption = self.body(block) if name == "figure" else ""
            return [image, f"*Figure {number}.* {caption}"] if caption else [image]
        if name in ("table", "list-table"):
            table = self.body(block) if name == "table" else self._list_table(block)
            return [f"*Table {number}.* {title}", table] if title else [table]
        if name == "chapter-list":
            from cards import chapter_list

            return self.convert(
                parse(chapter_list(self.book.folder, self.book.docs).split("\n"), line)
            )
        if name in ("code", "code-block"):
            return [f"```{arg}\n{block.text}\n```"]
        if name == "glossary":
            return self._glossary(block)
        if name in ("card", "grid-item-card"):
            text = " ".join(re.sub(r"(?m)^(\^\^\^|\+\+\+)\s*$", "", self.body(block)).split())
            if options.get("link"):
                url = self._resolve(options["link"], options.get("link-type", "url"), line)
                title = f"[{title or text}]({url})"
                text = text if arg else ""
            return [f"- **{title}**" + (f": {text}" if text else "")]
        if name in ("button-ref", "button-link"):
            kind = options.get("ref-type", "any") if name == "button-ref" else "url"
            text = " ".join(self.body(block).split()) or self._title(arg)
            return [f"- [{text}]({self._resolve(arg, kind, line)})"]
        raise self.error(line, f"unknown directive {name!r}")

    def _glossary(self, block: Block) -> list[str]:
        entries: list[list[str]] = []
        for line in block.text.split("\n"):
            if line.strip() and not line.startswith((" ", ":")):
                entries.append([line.strip(), ""])
            elif entries:
                entries[-1][1] += " " + line.removeprefix(":").strip()
        lines = (f"- **{term}**: {' '.join(text.split())}" for term, text in entries)
        return ["\n".join(self.inline(line, block.line) for line in lines)]

    def _list_table(self, block: Block) -> str:
        rows: list[list[str]] = []
        for line in block.text.split("\n"):
            if line.startswith("* -"):
                rows.append([line[3:].strip()])
            elif line.startswith("  -"):
                rows[-1].append(line[3:].strip())
            elif line.strip():
                rows[-1][-1] += " " + line.strip()
        rows.insert(1, ["---"] * len(rows[0]))
        return self.inline("\n".join("| " + " | ".join(row) + " |" for row in rows), block.line)

    def _image(self, path: str) -> str:
        return (
            path
            if re.match(r"https?:", path)
            else f"{self.book.base}_images/{posixpath.basename(path)}"
        )

    def _title(self, target: str) -> str:
        if target in self.book.labels:
            return self.book.labels[target].title
        return self.book.titles.get(target, target)

    def _resolve(self, target: str, kind: str, line: int) -> str:
        """Address of a document, a label or a page elsewhere."""
        if re.match(r"(https?|mailto):", target):
            return target
        if kind in ("ref", "any") and target in self.book.labels:
            found = self.book.labels[target]
            return self.book.url(found.doc, found.anchor)
        path, _, anchor = target.partition("#")
        if not path and anchor in self.book.labels:
            return self._resolve(anchor, "ref", line)
        doc = path.removesuffix(".md").removesuffix(".html")
        doc = (
            doc[1:]
            if doc.startswith("/")
            else posixpath.normpath(posixpath.join(posixpath.dirname(self.doc), doc))
        )
        if doc in self.book.docs:
            return self.book.url(doc, slug(anchor))
        file = posixpath.normpath(posixpath.join(posixpath.dirname(self.doc), path))
        if path and (self.book.folder / file).is_file():
            return self.book.source + file
        raise self.error(line, f"unknown target {target!r}")

    # Text within a line ----------------------------------------------------

    def inline(self, text: str, line: int) -> str:
        """Convert roles and links in a text; leave code and formulas alone."""

        def replace(match: re.Match[str]) -> str:
            at = line + text.count("\n", 0, match.start())
            if match["role"]:
                return self._role(match["role"], match["content"].strip(), at)
            if match["url"]:
                return self._link(match, at)
            if match["note"]:
                return f"<sup>{match['note']}</sup>"
            return "" if match[0].startswith("<!--") else match[0]

        return INLINE.sub(replace, text)

    def _link(self, match: re.Match[str], line: int) -> str:
        text = self.inline(match["label"], line)
        if match["bang"]:
            return f"![{text}]({self._image(match['url'])})"
        url = match["url"]
        if url.startswith("#") and url[1:] in self.book.labels:
            return self._reference("ref", f"{text} <{url[1:]}>" if text else url[1:], line)
        return (
            f"[{text or self._title(url.removesuffix('.md'))}]({self._resolve(url, 'any', line)})"
        )

    def _role(self, role: str, content: str, line: int) -> str:
        if role == "glue:text":
            if "::" in content:
                raise self.error(line, "glue:text from another page")
            return START + content + STOP
        if role in CITES:
            return self._cite(role, content, line)
        if role in ("ref", "numref", "prf:ref", "eq", "math:numref"):
            return self._reference(role, content, line)
        if role == "card-time":
            from cards import time_line  # which reads pages with the parser above

            return time_line(self.book.folder, self.doc, content)
        match = re.fullmatch(r"(.*?)\s*<([^<>]+)>", content, re.DOTALL)
        text, target = (match[1], match[2]) if match else ("", content)
        if role == "doc":
            doc = (
                target.lstrip("/")
                if target.startswith("/")
                else posixpath.normpath(posixpath.join(posixpath.dirname(self.doc), target))
            )
            if doc not in self.book.docs:
                raise self.error(line, f"unknown document {target!r}")
            return f"[{self.inline(text or self.book.titles.get(doc, doc), line)}]({self.book.url(doc)})"
        if role == "term":
            if target.lower() not in self.book.terms:
                raise self.error(line, f"unknown term {target!r}")
            doc, anchor = self.book.terms[target.lower()]
            shown = text or target
            return shown if doc == self.doc else f"[{shown}]({self.book.url(doc, anchor)})"
        if role == "download":
            return f"[{text or target}]({self._resolve(target, 'file', line)})"
        if role == "math":
            return f"${content}$"
        if role in ("sub", "sup", "kbd"):
            return f"<{role}>{content}</{role}>"
        if role in ("abbr", "dfn"):
            return content
        if role == "code" or role.removeprefix("py:") in (
            "attr",
            "class",
            "data",
            "exc",
            "func",
            "meth",
            "mod",
            "obj",
        ):
            name = text or target
            return f"`{name.rpartition('.')[2] if name.startswith('~') else name}`"
        raise self.error(line, f"unknown role {role!r}")

    def _reference(self, role: str, content: str, line: int) -> str:
        match = re.fullmatch(r"(.*?)\s*<([^<>]+)>", content, re.DOTALL)
        text, label = (match[1], match[2]) if match else ("", content)
        target = self.book.labels.get(label)
        if target is None:
            raise self.error(line, f"unknown label {label!r}")
        name = target.kind.title()
        here = target.doc == self.doc
        if text and not re.search(r"%s|\{number\}", text):
            shown = self.inline(text, line)
        elif not here:
            # Only the book knows the other chapter's numbers.
            title = self.inline(target.title, line)
            page = self.inline(self.book.titles.get(target.doc, target.doc), line)
            if target.kind == "section":
                shown = title
            else:
                shown = f"{name}{f' ({title})' if title else ''} in “{page}”"
        elif target.kind == "equation":
            shown = f"({target.number})"
        elif target.kind == "solution":
            shown = "the solution below"
        elif text:
            shown = re.sub(r"%s|\{number\}", str(target.number), self.inline(text, line))
        elif target.number and not (
            role == "ref" and target.kind in ("figure", "table") and target.title
        ):
            shown = f"{name} {target.number}"
        else:
            shown = self.inline(target.title, line)
        if not shown:
            raise self.error(line, f"label {label!r} has no title: give the reference a text")
        return shown if here else f"[{shown}]({self.book.url(target.doc, target.anchor)})"

    # Citations -------------------------------------------------------------

    def _cite(self, role: str, content: str, line: int) -> str:
        parts: list[str] = []
        for item in re.findall(r"(?:\{[^}]*\})?[^,{}]+(?:\{[^}]*\})?", content):
            match = re.fullmatch(r"\s*(?:\{([^}]*)\})?\s*([^{}\s]+)\s*(?:\{([^}]*)\})?\s*", item)
            key = match[2] if match else item
            if match is None or key not in self.book.bibliography.entries:
                raise self.error(line, f"unknown citation {key!r}")
            if key not in self.cited:
                self.cited.append(key)
            entry = self.book.bibliography.entries[key]
            authors, year = _authors(entry), entry.fields.get("year", "n.d.")
            before = match[1] + " " if match[1] else ""
            after = ", " + match[3] if match[3] else ""
            if role.startswith("cite:t"):
                parts.append(f"{before}{authors} ({year}{after})")
            elif role == "cite:author":
                parts.append(authors)
            elif role == "cite:year":
                parts.append(year)
            else:
                parts.append(f"{before}{authors}, {year}{after}")
        if role in ("cite", "cite:p", "cite:ps"):
            return f"({'; '.join(parts)})"
        return ", ".join(parts)

    def _references(self) -> str:
        style = find_plugin("pybtex.style.formatting", "plain")()
        backend = find_plugin("pybtex.backends", "plaintext")()
        entries = style.format_bibliography(self.book.bibliography, self.cited)
        return "\n".join(f"- {entry.text.render(backend)}" for entry in entries)


def _authors(entry: Entry) -> str:
    persons = entry.persons.get("author") or entry.persons.get("editor") or []
    names = [
        " ".join(str(part) for part in [*p.rich_prelast_names, *p.rich_last_names]) for p in persons
    ]
    if not names:
        return str(entry.fields.get("title", entry.key))
    return f"{names[0]} et al." if len(names) > 2 else " and ".join(names)


def _numbered(name: str, number: int) -> str:
    return f"{name} {number}" if number else name


def _headed(name: str, title: str, text: str) -> str:
    head = f"**{name} ({title}).**" if title else f"**{name}.**"
    apart = not text or text.startswith(("$$", "```", "> ", "|", "#")) or LIST_ITEM.match(text)
    return f"{head}\n\n{text}".rstrip() if apart else f"{head} {text}"


def _prefix(text: str, prefix: str) -> str:
    return "\n".join((prefix + line).rstrip() for line in text.split("\n"))


def _quote(text: str) -> str:
    """Blockquote in which no formula spans lines, where ``>`` would enter it."""
    formulas = r"(```.*?```|`[^`\n]*`)|(?<!\\)\$\$.+?\$\$|(?<!\\)\$(?:[^$\\]|\\.)+\$"
    text = re.sub(
        formulas, lambda m: m[0] if m[1] else m[0].replace("\n", " "), text, flags=re.DOTALL
    )
    return _prefix(text, "> ")


def _code(source: str, metadata: dict[str, Any]) -> Cell:
    if HIDDEN_TAGS & set(metadata.get("tags", [])):
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
    if '"""' not in text:
        literal = f'r"""\n{text}\n"""'
    elif "'''" not in text:
        literal = f"r'''\n{text}\n'''"
    else:
        literal = repr(text)
    return f"{SAY_TITLE}\nfrom causalpref.figures.notebook import say\n\nsay({literal})"


def _dump(cells: Sequence[Cell], metadata: dict[str, Any]) -> str:
    """Write a notebook whose cell ids follow from the content."""
    seen: Counter[str] = Counter()
    out: list[dict[str, Any]] = []
    for cell in cells:
        kind, source, extra = cell.kind, cell.source, dict(cell.metadata)
        outputs: list[dict[str, Any]] = []
        if extra.pop("say", False):
            # Until it is run the cell shows its text with dots for the numbers.
            dots = re.sub(f"{START}.*?{STOP}", "…", source)
            outputs = [
                {
                    "output_type": "display_data",
                    "metadata": {},
                    "data": {"text/markdown": dots, "text/plain": dots},
                }
            ]
            kind, source, extra = "code", say_source(source), {"cellView": "form"}
        seen[kind + source] += 1
        key = f"{kind}\0{source}\0{seen[kind + source]}"
        entry: dict[str, Any] = {
            "cell_type": kind,
            "id": hashlib.sha256(key.encode()).hexdigest()[:12],
            "metadata": extra,
            "source": source.splitlines(keepends=True),
        }
        if kind == "code":
            entry |= {"execution_count": None, "outputs": outputs}
        out.append(entry)
    notebook = {"cells": out, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write(path: Path, text: str) -> None:
    """Replace a file in one step."""
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


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
        "--check", action="store_true", help="write nothing; fail if a copy is stale or missing"
    )
    parser.add_argument(
        "files", nargs="*", type=Path, help="chapters (default: all notebooks of the book)"
    )
    args = parser.parse_args(argv)
    try:
        book = Book(root or Path(__file__).resolve().parents[2])
    except ConversionError as error:
        print(error, file=sys.stderr)
        return 1
    docs = [
        file.resolve().relative_to(book.folder.resolve()).with_suffix("").as_posix()
        for file in args.files
    ]
    failed = False
    for doc in docs or book.notebooks:
        try:
            text = Page(book, doc).notebook()
        except ConversionError as error:
            print(error, file=sys.stderr)
            failed = True
            continue
        copy = book.path(doc).with_suffix(".ipynb")
        old = copy.read_text(encoding="utf-8") if copy.is_file() else None
        if text == old:
            continue
        if args.check:
            print(
                f"{copy.relative_to(book.root)}: {'stale' if old else 'missing'}", file=sys.stderr
            )
            failed = True
        else:
            write(copy, text)
            print(copy.relative_to(book.root))
    if not args.files:
        wanted = {book.path(doc).with_suffix(".ipynb") for doc in book.notebooks}
        for copy in sorted(set(book.folder.rglob("*.ipynb")) - wanted):
            if "_build" not in copy.parts and ".ipynb_checkpoints" not in copy.parts:
                print(f"{copy.relative_to(book.root)}: no chapter of that name", file=sys.stderr)
                failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
