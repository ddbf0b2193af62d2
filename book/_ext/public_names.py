"""Sphinx extension of the book: what a module of the package offers, from its docstrings.

``{public-names} causalpref.estimators`` shows the module's docstring, a table of
the names in its ``__all__``, and each name with its docstring. A name that
several modules offer is described once, in the module with the shortest name; the
front door, `causalpref` itself, only lists what it offers.
A constant is described by the string below its assignment, wherever that is.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Container
from pathlib import Path
from typing import Any

from docutils import nodes
from sources import pages
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

PACKAGE = "causalpref"
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Behind the scenes of every chapter.
BEHIND = frozenset({f"{PACKAGE}.figures.notebook.figure", f"{PACKAGE}.figures.notebook.glue"})

log = logging.getLogger(__name__)


@functools.cache
def public_modules() -> list[str]:
    """Modules with an ``__all__`` and no part of their name private, in alphabetical order."""
    root = importlib.import_module(PACKAGE)
    found = [PACKAGE, *(m.name for m in pkgutil.walk_packages(root.__path__, f"{PACKAGE}."))]
    public = (name for name in found if "._" not in name)
    return sorted(name for name in public if hasattr(importlib.import_module(name), "__all__"))


def thing(module: str, name: str) -> tuple[str, int]:
    """What a module offers under a name: equal for the same object under the same name."""
    return name, id(getattr(importlib.import_module(module), name, None))


@functools.cache
def homes() -> dict[str, list[str]]:
    """For each public module the names that it describes: no module before it offers them."""
    taken: set[tuple[str, int]] = set()
    out: dict[str, list[str]] = {}
    for module in sorted(public_modules(), key=lambda m: (m == PACKAGE, m.count("."), m)):
        offered = {thing(module, n): n for n in importlib.import_module(module).__all__}
        out[module] = [name for key, name in offered.items() if key not in taken]
        taken.update(offered)
    return dict(sorted(out.items()))


@functools.cache
def described() -> dict[tuple[str, int], str]:
    """Full name under which each public thing is described."""
    return {thing(home, name): f"{home}.{name}" for home in homes() for name in homes()[home]}


def home_of(target: str, known: Container[str]) -> str | None:
    """Which of the described names a docstring means; None if none or one of several.

    ``fit``, ``PreferenceData.save`` or, as where the code is, ``causalpref.rewards.training.fit``.
    """
    parts = target.split(".")
    for k in range(len(parts) if parts[0] == PACKAGE else 1):
        names = (".".join([home, *parts[k:]]) for home in homes())
        found = [name for name in names if name in known]
        if len(found) == 1:
            return found[0]
    return None


def link_home(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Resolve names that docstrings write as in the module where the code is."""
    if node.get("refdomain") != "py" or not (target := node.get("reftarget")):
        return None
    domain = env.get_domain("py")
    home = home_of(target, domain.objects)  # type: ignore[attr-defined]
    if home is None:
        return None
    return domain.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], home, node, content
    )


def constant_doc(name: str, value: Any) -> list[str]:
    """Lines of the string below a constant's assignment, in whichever module that is."""
    module, _, short = name.rpartition(".")
    others = sorted(m for m in sys.modules if m.partition(".")[0] == PACKAGE)
    for place in (module, *others):
        if getattr(sys.modules.get(place), short, None) is value:
            found = ModuleAnalyzer.for_module(place).find_attr_docs().get(("", short))
            if found:
                return list(found)
    return []


def tidy_doc(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep "X. All distinct" from becoming the 24th item of a list."""
    lines[:] = [re.sub(r"^(\s*[A-Za-z])\. ", r"\1\. ", line) for line in lines]


def describe_constants(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Give a constant its own words in place of those of its type."""
    if what == "data":
        lines[:] = constant_doc(name, obj)
        if not lines:
            log.warning("%s has no docstring below its assignment", name)


def tidy_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, given: str | None, to: str | None
) -> tuple[str | None, str | None]:
    """Leave out private fields of dataclasses; write made defaults as ``...``."""
    if given:
        given = re.sub(r", _\w+: [^=]*= <factory>", "", given).replace("<factory>", "...")
    return given, to


@functools.cache
def used_names(page: str) -> list[str]:
    """Public names that the code cells of a page's text use, in order, with their modules."""
    modules: dict[str, str] = {}
    found: dict[str, None] = {}

    def use(module: str, name: str) -> None:
        full = described().get(thing(module, name))
        if full and full not in BEHIND:
            found.setdefault(full)

    for cell in CELL.findall(page):
        code = re.sub(r"\A(?::[\w-]+:.*\n|---\n(?:.*\n)*?---\n)*", "", cell)
        for node in ast.walk(ast.parse(re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", code))):
            if isinstance(node, ast.Import):
                modules |= {a.asname or a.name: a.name for a in node.names if a.name in homes()}
            elif isinstance(node, ast.ImportFrom) and node.module in homes():
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    if inner in homes() and thing(node.module, alias.name) not in described():
                        modules[alias.asname or alias.name] = inner
                    else:
                        use(node.module, alias.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module = modules.get(node.value.id)
                if module:
                    use(module, node.attr)
    return list(found)


def first_used(book: Path) -> dict[str, list[str]]:
    """For each page after the first the public names that its cells are the first to use."""
    seen: set[str] = set()
    out: dict[str, list[str]] = {}
    for page in pages(book)[1:]:
        names = used_names((book / f"{page}.md").read_text(encoding="utf-8"))
        out[page] = [name for name in names if name not in seen]
        seen.update(names)
    return out


class PublicNames(SphinxDirective):
    """``{public-names} module``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Describe the names that the module is the home of."""
        name = self.arguments[0]
        if name not in homes():
            raise self.error(f"{name!r} is no public module of {PACKAGE}: {', '.join(homes())}")
        # The page is Markdown: reStructuredText has to be announced.
        lines = ["```{eval-rst}", f".. automodule:: {name}", "", f".. currentmodule:: {name}", ""]
        lines += [".. autosummary::", "   :nosignatures:", ""]
        offered = importlib.import_module(name).__all__ if name == PACKAGE else homes()[name]
        lines += [*(f"   {short}" for short in offered), ""]
        for short in homes()[name]:
            value = getattr(importlib.import_module(name), short)
            if inspect.isclass(value):
                lines += [f".. autoclass:: {short}", "   :members:", ""]
            elif callable(value):
                lines += [f".. autofunction:: {short}", ""]
            else:  # a long value says less than the words beside it
                option = "   :no-value:" if len(repr(value)) > 100 else ""
                lines += [f".. autodata:: {short}", option, ""]
        return self.parse_text_to_nodes("\n".join([*lines, "```"]))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    for extension in ("autodoc", "autosummary", "napoleon"):
        app.setup_extension(f"sphinx.ext.{extension}")
    app.add_directive("public-names", PublicNames)
    # Napoleon, with priority 500, would make lists of initials, and a type of what stands
    # before a colon.
    app.connect("autodoc-process-docstring", tidy_doc, priority=400)
    app.connect("autodoc-process-docstring", describe_constants, priority=600)
    app.connect("autodoc-process-signature", tidy_signature)
    app.connect("missing-reference", link_home)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
