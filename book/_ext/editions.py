"""Editions of the book from one source: student, instructor.

``CAUSALPREF_EDITION`` chooses. The ``student`` edition holds no solutions: not
in its pages, its search or its notebooks; it has no sources. Pages whose front
matter says ``audience: teachers`` are left out, and links to them become text.
The ``instructor`` edition shows solutions unfolded. Without the variable, the
public site is built, with solutions folded. All editions run the same cells,
so they show the same numbers and share the cache of executions.

The option ``hide_solutions`` of sphinx-exercise 1.2.1 cannot do this: it drops
``{solution-start}`` alone, keeps what follows, and stops at ``{solution-end}``.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import colab
from docutils import nodes
from sources import split
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx_exercise.nodes import solution_node

EDITIONS = ("", "student", "instructor")
# The repository and its copies for Colab hold the solutions.
BUTTONS = (
    "launch_buttons",
    *(f"use_{b}_button" for b in ("repository", "issues", "source", "edit_page")),
)
COLAB = "https://colab.research.google.com/"


def teachers_pages(book: Path) -> dict[str, str]:
    """Titles of the pages for teachers and of the labelled sections in them, by name."""
    titles: dict[str, str] = {}
    for path in sorted(book.rglob("*.md")):
        front, text = split(path)
        if front.get("audience") == "teachers":
            name = path.relative_to(book).with_suffix("").as_posix()
            titles[name] = re.search(r"(?m)^# (.+)$", text)[1]  # type: ignore[index]
            titles |= dict(re.findall(r"(?m)^\((\S+)\)=\n#+ (.+)$", text))
    return titles


def choose(app: Sphinx, config: Config) -> None:
    """Read the edition from the environment; set what follows from it."""
    edition = os.environ.get("CAUSALPREF_EDITION", "")
    if edition not in EDITIONS:
        known = ", ".join(repr(name) for name in EDITIONS)
        raise ExtensionError(f"CAUSALPREF_EDITION is {edition!r}; use one of {known}")
    config.edition = edition
    if edition:
        config.html_title = f"{config.html_title} ({edition} edition)"
    if edition != "student":
        return
    config.html_copy_source = False
    for option in BUTTONS:
        config.html_theme_options.pop(option, None)
    left_out = teachers_pages(Path(app.srcdir))
    config.exclude_patterns = [*config.exclude_patterns, *(f"{name}.md" for name in left_out)]
    for name in left_out:
        config.external_site_map.pop(name, None)
    for document in config.external_site_map.values():
        for tree in document.subtrees:
            tree.items = [i for i in tree.items if str(i).removesuffix(".md") not in left_out]
        document.subtrees = [tree for tree in document.subtrees if tree.items]


class ForStudents(SphinxTransform):
    """Cut solutions with their cells and outputs, and links to what is left out."""

    default_priority = 890  # MyST makes references of links to labels at 879

    def apply(self, **kwargs: Any) -> None:
        """Remove solutions and forget the labels in them; write links as their text."""
        if self.config.edition != "student":
            return
        for solution in list(self.document.findall(solution_node)):
            gone = {name for node in solution.findall(nodes.Element) for name in node["ids"]}
            for name in [n for n, target in self.document.nameids.items() if target in gone]:
                del self.document.nameids[name]
                self.document.nametypes.pop(name, None)
            solution.parent.remove(solution)
        left_out = teachers_pages(Path(self.env.srcdir))
        for link in list(self.document.findall(nodes.Element)):
            if not isinstance(link, (pending_xref, nodes.reference)):
                continue
            target = str(link.get("refuri") or link.get("reftarget") or "")
            title = left_out.get(target.removeprefix("/"))
            if "sd-stretched-link" in link["classes"] and (title or target.startswith(COLAB)):
                link.parent.remove(link)
            elif title or target.startswith(COLAB):
                implicit = title is not None and not link.get("refexplicit")
                link.replace_self(nodes.Text(title if implicit else link.astext()))


class OpenSolutions(SphinxPostTransform):
    """Unfold solutions in the instructor edition and in the one-page book."""

    default_priority = 5

    def run(self, **kwargs: Any) -> None:
        """Drop the class that folds."""
        if self.config.edition == "instructor" or self.app.builder.name == "singlehtml":
            for solution in self.document.findall(solution_node):
                solution["classes"] = [name for name in solution["classes"] if name != "dropdown"]


def offer_notebook(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any
) -> None:
    """Offer the notebook without solutions for download, in place of the source."""
    if app.config.edition != "student":
        return
    runs = "kernelspec" in app.env.metadata.get(page, {})
    for group in context["header_buttons"]:
        for button in list(group.get("buttons", [])):
            if button.get("label") == "download-source-button" and runs:
                button |= {"url": context["pathto"](f"_sources/{page}.ipynb", 1), "text": ".ipynb"}
            elif button.get("label") == "download-source-button":
                group["buttons"].remove(button)


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Write the student edition's notebooks; remove executed ones and caches."""
    if app.config.edition != "student" or app.builder.format != "html":
        return
    shutil.rmtree(Path(app.outdir).parent / "jupyter_execute", ignore_errors=True)
    shutil.rmtree(app.doctreedir, ignore_errors=True)
    if exception is None and app.builder.name == "html":
        root, out = Path(app.srcdir).parent, Path(app.outdir) / "_sources"
        colab.write_copies(root, out, edition="student")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    app.add_config_value("edition", "", "env")
    app.connect("config-inited", choose, priority=901)  # sphinx-external-toc reads at 900
    app.add_transform(ForStudents)
    app.add_post_transform(OpenSolutions)
    app.connect("html-page-context", offer_notebook, priority=600)  # after the theme
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
