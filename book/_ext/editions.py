"""Editions of the book from one source: student, instructor.

``CAUSALPREF_EDITION`` chooses. The ``student`` edition holds no solutions:
not in its pages, its search, its sources or its notebooks. Pages whose front
matter says ``audience: teachers`` are left out with all links to them. The
``instructor`` edition shows solutions unfolded. Without the variable, the
public site is built, with solutions folded. All editions run the same cells,
so they show the same numbers and share the cache of executions.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import colab
import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx_exercise.nodes import solution_node

EDITIONS = ("", "student", "instructor")


def without_solutions(text: str) -> str:
    """Cut solutions out of a page's Markdown.

    Parameters
    ----------
    text : str
        Source of a page. Solutions stand at top level, as ``{solution}``
        directives or between ``{solution-start}`` and ``{solution-end}``.

    Returns
    -------
    str
        The text without them, other lines unchanged.

    Raises
    ------
    ValueError
        If a solution has no end; says in which line it starts.
    """
    lines = text.splitlines(keepends=True)
    kept: list[str] = []
    opened = 0  # line of the solution-start, counted from 1
    i = 0
    while i < len(lines):
        stop, name = i + 1, ""
        if fence := colab.OPEN.match(lines[i]):
            stop = min(colab._close(lines, i, fence[2]) + 1, len(lines))
            directive = colab.DIRECTIVE.match(fence[3])
            name = directive[1] if directive else ""
        if name == "solution-start":
            opened = i + 1
        if not opened and name != "solution":
            kept += lines[i:stop]
        elif not kept or not kept[-1].strip():
            while stop < len(lines) and not lines[stop].strip():
                stop += 1  # no gap where a solution was
        if name == "solution-end":
            opened = 0
        i = stop
    if opened:
        raise ValueError(f"the solution that starts in line {opened} has no solution-end")
    return "".join(kept)


def teachers_pages(folder: Path) -> dict[str, str]:
    """Pages for teachers only, and what can be linked to in them.

    Parameters
    ----------
    folder : Path
        Folder of the book's pages.

    Returns
    -------
    dict
        From the page's name, without extension, to its title; and from
        ``#label`` to the heading that follows it, for the labels of its text.
    """
    titles: dict[str, str] = {}
    for path in sorted(folder.rglob("*.md")):
        front, lines, _ = colab._split(path)
        if front.get("audience") != "teachers":
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        labels: list[str] = []
        for line in lines:
            if target := colab.TARGET.match(line):
                labels.append(target[1])
            elif heading := colab.HEADING.match(line):
                titles.setdefault(name, heading[2])
                titles |= {f"#{label}": heading[2] for label in labels}
                labels.clear()
    return titles


def without_links(text: str, titles: dict[str, str]) -> str:
    """Replace links to pages that are left out by their text.

    Parameters
    ----------
    text : str
        Source of a page that stays.
    titles : dict
        What is left out, see `teachers_pages`.
    """
    for target, title in titles.items():
        name = re.escape(target.removeprefix("#"))
        role = r"\{(?:ref|numref)\}" if target.startswith("#") else r"\{doc\}"
        url = f"#{name}" if target.startswith("#") else rf"/?{name}(?:\.md|\.html)?(?:#[^()\s]*)?"

        def shown(match: re.Match[str], title: str = title) -> str:
            return (match[1] or "").strip() or title

        text = re.sub(rf"{role}`(?:([^`<]+)<)?/?{name}>?`", shown, text)
        text = re.sub(rf"(?<!!)\[([^\[\]]*)\]\({url}\)", shown, text)
        text = re.sub(rf"(?m)^\s*:link: /?{name}\s*\n", "", text)
    # The copies on Colab hold the solutions.
    return re.sub(r"(?m)^\s*:link: https://colab\.research\.google\.com/.*\n", "", text)


def student_source(book: Path, out: Path) -> None:
    """Write the sources of the student edition.

    Parameters
    ----------
    book : Path
        Folder of the pages; ``_config.yml`` lies beside it.
    out : Path
        New folder; gets ``_config.yml`` and ``book/``.
    """
    left_out = teachers_pages(book)
    (out / "book").mkdir(parents=True)
    shutil.copy(book.parent / "_config.yml", out)
    for path in sorted(book.rglob("*")):
        name = path.relative_to(book)
        measured = (
            path.suffix == ".csv" and path.parent.name == "pages"
        )  # for the times on the cards
        if not measured and path.suffix not in (".md", ".bib", ".yml"):
            continue
        if name.with_suffix("").as_posix() in left_out:
            continue
        text = path.read_text(encoding="utf-8")
        if path.name == "_toc.yml":
            text = yaml.safe_dump(_pruned(yaml.safe_load(text), left_out), sort_keys=False)
        elif path.suffix == ".md":
            try:
                text = without_links(without_solutions(text), left_out)
            except ValueError as error:
                raise ValueError(f"{name.as_posix()}: {error}") from None
        (out / "book" / name).parent.mkdir(parents=True, exist_ok=True)
        (out / "book" / name).write_text(text, encoding="utf-8")


def _pruned(toc: Any, left_out: dict[str, str]) -> Any:
    """The table of contents without the pages and without parts left empty."""
    if isinstance(toc, list):
        return [kept for entry in toc if (kept := _pruned(entry, left_out)) is not None]
    if not isinstance(toc, dict):
        return toc
    if str(toc.get("file", "")).removesuffix(".md") in left_out:
        return None
    kept = {key: _pruned(value, left_out) for key, value in toc.items()}
    kept = {key: value for key, value in kept.items() if value != []}
    emptied = "chapters" in toc and "chapters" not in kept
    return None if emptied else kept


def choose(app: Sphinx, config: Config) -> None:
    """Read the edition from the environment; set what follows from it."""
    edition = os.environ.get("CAUSALPREF_EDITION", "")
    if edition not in EDITIONS:
        known = ", ".join(repr(name) for name in EDITIONS)
        raise ExtensionError(f"CAUSALPREF_EDITION is {edition!r}; use one of {known}")
    config.edition = edition
    if edition:
        config.html_title = f"{config.html_title} ({edition} edition)"
    if edition == "student":
        # The repository and its copies for Colab hold the solutions.
        for option in (
            "launch_buttons",
            "use_repository_button",
            "use_issues_button",
            "use_source_button",
            "use_edit_page_button",
        ):
            config.html_theme_options.pop(option, None)


def leave_out(app: Sphinx, config: Config) -> None:
    """Take the teachers' pages out of the student edition's table of contents."""
    if config.edition != "student":
        return
    pages = [name for name in teachers_pages(Path(app.srcdir)) if not name.startswith("#")]
    config.exclude_patterns = [*config.exclude_patterns, *(f"{name}.md" for name in pages)]
    for name in pages:
        config.external_site_map.pop(name, None)
    for document in config.external_site_map.values():
        for tree in document.subtrees:
            tree.items = [item for item in tree.items if str(item).removesuffix(".md") not in pages]
        document.subtrees = [tree for tree in document.subtrees if tree.items]


def unlink(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn links to pages that are left out into text."""
    if app.config.edition == "student":
        source[0] = without_links(source[0], teachers_pages(Path(app.srcdir)))


class CutSolutions(SphinxTransform):
    """Cut solutions, their cells and outputs, out of the student edition."""

    default_priority = 11  # sphinx-exercise gathers a solution's parts at 10

    def apply(self, **kwargs: Any) -> None:
        """Remove each solution and forget the labels in it."""
        if self.config.edition != "student":
            return
        document = self.document
        for solution in list(document.findall(solution_node)):
            gone = {name for node in solution.findall(nodes.Element) for name in node["ids"]}
            for name in [name for name, target in document.nameids.items() if target in gone]:
                del document.nameids[name]
                document.nametypes.pop(name, None)
            solution.parent.remove(solution)


class OpenSolutions(SphinxPostTransform):
    """Unfold solutions in the instructor edition and in the one-page book."""

    default_priority = 5

    def run(self, **kwargs: Any) -> None:
        """Drop the class that folds."""
        if self.config.edition == "instructor" or self.app.builder.name == "singlehtml":
            for solution in self.document.findall(solution_node):
                solution["classes"] = [name for name in solution["classes"] if name != "dropdown"]


def offer_notebook(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Offer the notebook without solutions for download."""
    if app.config.edition == "student" and doctree is not None:
        if "kernelspec" in app.env.metadata.get(pagename, {}):
            context["ipynb_source"] = f"{pagename}.ipynb"


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Replace the student edition's sources; remove executed notebooks and caches."""
    if app.config.edition != "student" or exception is not None or app.builder.format != "html":
        return
    shutil.rmtree(Path(app.outdir).parent / "jupyter_execute", ignore_errors=True)
    shutil.rmtree(app.doctreedir, ignore_errors=True)
    if app.builder.name != "html":
        return
    sources = Path(app.outdir) / "_sources"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "student"
        student_source(Path(app.srcdir), root)
        with contextlib.redirect_stdout(io.StringIO()):
            failed = colab.main([], root=root)
        if failed:
            raise ExtensionError("the student edition's notebooks could not be written")
        for path in sorted((root / "book").rglob("*")):
            written = sources / path.relative_to(root / "book")
            if path.suffix == ".ipynb" or written.is_file():
                written.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, written)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    app.add_config_value("edition", "", "env")
    app.connect("config-inited", choose)
    app.connect("config-inited", leave_out, priority=901)  # sphinx-external-toc reads at 900
    app.connect("source-read", unlink)
    app.add_transform(CutSolutions)
    app.add_post_transform(OpenSolutions)
    app.connect("html-page-context", offer_notebook, priority=400)
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
