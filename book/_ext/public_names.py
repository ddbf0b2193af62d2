"""Sphinx extension of the book: what a module of the package offers, from its docstrings.

``{public-names} causalpref.estimators`` shows the module's docstring, a table of
the names in its ``__all__``, and each name with its docstring. A name that
several modules offer is described once, in the module with the shortest name.

A constant is described by the string below its assignment, wherever that is.

``{first-used}`` at the end of a chapter links the names that its cells use and
no chapter before it does.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from statements import pages

PACKAGE = "causalpref"
INITIAL = re.compile(r"^(\s*[A-Za-z])\. ")
PRIVATE = re.compile(r", _\w+: [^=]*= <factory>")
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BEHIND = frozenset({f"{PACKAGE}.notebook.figure", f"{PACKAGE}.notebook.glue"})  # the scenes

log = logging.getLogger(__name__)


def public_modules(package: str = PACKAGE) -> list[str]:
    """Modules with an ``__all__`` and no underscore before any part of their names.

    Parameters
    ----------
    package : str

    Returns
    -------
    list of str
        In alphabetical order, the package itself first.
    """
    root = importlib.import_module(package)
    found = [package, *(m.name for m in pkgutil.walk_packages(root.__path__, f"{package}."))]
    return sorted(
        name
        for name in found
        if not any(part.startswith("_") for part in name.split("."))
        and hasattr(importlib.import_module(name), "__all__")
    )


def homes(package: str = PACKAGE) -> dict[str, list[str]]:
    """Where each public name is described.

    Parameters
    ----------
    package : str

    Returns
    -------
    dict of str to list of str
        For each public module the names that its section describes: those of its
        ``__all__`` that no module with a shorter name offers too.
    """
    taken: set[tuple[str, int]] = set()
    out: dict[str, list[str]] = {}
    for module in sorted(public_modules(package), key=lambda name: (name.count("."), name)):
        loaded = importlib.import_module(module)
        out[module] = []
        for name in loaded.__all__:
            key = name, id(getattr(loaded, name))
            if key not in taken:
                taken.add(key)
                out[module].append(name)
    return dict(sorted(out.items()))


def home_of(target: str, module: str | None = None) -> str | None:
    """Where a name that a docstring writes is described.

    Parameters
    ----------
    target : str
        ``fit``, ``PreferenceData.save`` or ``causalpref.rewards.training.fit``.
    module : str, optional
        Where the docstring is described.

    Returns
    -------
    str or None
        None if no public name is meant, or one of several.
    """
    described = homes()
    full = {
        (name, id(getattr(importlib.import_module(home), name))): f"{home}.{name}"
        for home, names in described.items()
        for name in names
    }
    for place in (module, *described):
        rest = target.removeprefix(f"{place}.") if place and place != module else target
        if place in described and (place == module or rest != target):
            name, dot, attribute = rest.partition(".")
            key = name, id(getattr(importlib.import_module(place), name, None))
            if key in full:
                return full[key] + dot + attribute
    name, dot, attribute = target.partition(".")
    found = [where for (short, _), where in full.items() if short == name]
    return found[0] + dot + attribute if len(found) == 1 else None


def description(module: ModuleType, names: list[str]) -> list[str]:
    """Lines of reStructuredText that describe the names.

    Parameters
    ----------
    module : module
    names : list of str

    Returns
    -------
    list of str
    """
    lines = [
        f".. automodule:: {module.__name__}",
        "",
        f".. currentmodule:: {module.__name__}",
        "",
        ".. autosummary::",
        "   :nosignatures:",
        "",
        *(f"   {name}" for name in names),
        "",
    ]
    for name in names:
        thing = getattr(module, name)
        if inspect.isclass(thing):
            lines += [f".. autoclass:: {name}", "   :members:", ""]
        elif callable(thing):
            lines += [f".. autofunction:: {name}", ""]
        else:
            lines += [f".. autodata:: {name}"]
            # A long value says less than the words beside it.
            lines += ["   :no-value:", ""] if len(repr(thing)) > 100 else [""]
    return lines


def constant_doc(name: str, value: Any) -> list[str] | None:
    """Lines of the string below a constant's assignment.

    Parameters
    ----------
    name : str
        As it is offered; the assignment may be in another module of the package.
    value : object

    Returns
    -------
    list of str or None
        None if there is no such string.
    """
    module, _, short = name.rpartition(".")
    others = sorted(m for m in sys.modules if m.partition(".")[0] == PACKAGE and m != module)
    for place in (module, *others):
        loaded = sys.modules.get(place)
        if loaded is None or vars(loaded).get(short) is not value:
            continue
        found = ModuleAnalyzer.for_module(place).find_attr_docs().get(("", short))
        if found:
            return list(found)
    return None


def escape_initials(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Keep "X. All distinct" from becoming the 24th item of a list."""
    lines[:] = [INITIAL.sub(r"\1\. ", line) for line in lines]


def describe_constants(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Give a constant its own words in place of those of its type."""
    if what == "data":
        found = constant_doc(name, obj)
        if found is None:
            log.warning("%s has no docstring below its assignment", name)
        lines[:] = found or []


def tidy_signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Leave out private fields of dataclasses; write made defaults as ``...``."""
    if signature:
        signature = PRIVATE.sub("", signature).replace("<factory>", "...")
    return signature, returns


def used_names(page: str) -> list[str]:
    """Public names that the code cells of a page use, in order, with their modules.

    Parameters
    ----------
    page : str
        Text of the page.

    Returns
    -------
    list of str
        As the reference has them: ``causalpref.assumptions.check_all``.
    """
    described = {
        (name, id(getattr(importlib.import_module(module), name))): f"{module}.{name}"
        for module, names in homes().items()
        for name in names
    }
    modules = set(public_modules())
    known: dict[str, str] = {}
    found: dict[str, None] = {}

    def use(module: str, name: str) -> None:
        key = name, id(getattr(importlib.import_module(module), name, None))
        if key in described and described[key] not in BEHIND:
            found.setdefault(described[key])

    for cell in CELL.findall(page):
        options = re.sub(r"\A(?::[\w-]+:.*\n|---\n(?:.*\n)*?---\n)*", "", cell)
        for node in ast.walk(ast.parse(re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", options))):
            if isinstance(node, ast.ImportFrom) and node.module in modules:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    offered = alias.name in importlib.import_module(node.module).__all__
                    if inner in modules and not offered:
                        known[alias.asname or alias.name] = inner
                    else:
                        use(node.module, alias.name)
            elif (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in known
            ):
                use(known[node.value.id], node.attr)
    return list(found)


def first_used(book: Path) -> dict[str, list[str]]:
    """For each page after the first one the public names that its cells are the first to use."""
    seen: set[str] = set()
    out: dict[str, list[str]] = {}
    for page in pages(book)[1:]:
        path = book / f"{page}.md"
        names = used_names(path.read_text(encoding="utf-8")) if path.is_file() else []
        out[page] = [name for name in names if name not in seen]
        seen.update(names)
    return out


def link_home(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Resolve names that docstrings write as in the module where the code is."""
    if node.get("refdomain") != "py" or not (target := node.get("reftarget")):
        return None
    home = home_of(target, node.get("py:module"))
    if home is None:
        return None
    return env.get_domain("py").resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], home, node, content
    )


class FirstUsed(SphinxDirective):
    """``{first-used}``."""

    def run(self) -> list[nodes.Node]:
        """Link the names."""
        book, own = Path(self.env.srcdir), self.env.docname
        for page in pages(book):
            self.env.note_dependency(str(book / f"{page}.md"))
        names = first_used(book).get(own, [])
        if not names:
            return []
        links = ", ".join(f"{{py:obj}}`~{name}`" for name in names)
        source, line = self.get_source_info()
        node = nodes.Element()
        text = f"From the package, used here for the first time: {links}."
        self.state.nested_parse(StringList([text], source=source), line, node)
        return node.children


class PublicNames(SphinxDirective):
    """``{public-names} module``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Describe the names that the module is the home of."""
        name = self.arguments[0]
        names = homes().get(name)
        if names is None:
            raise self.error(f"{name!r} is no public module of {PACKAGE}: {', '.join(homes())}")
        lines = description(importlib.import_module(name), names)
        # The page is Markdown: reStructuredText has to be announced.
        source, line = self.get_source_info()
        content = StringList(["```{eval-rst}", *lines, "```"], source=source)
        node = nodes.Element()
        self.state.nested_parse(content, line, node)
        return node.children


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    for extension in ("autodoc", "autosummary", "napoleon"):
        app.setup_extension(f"sphinx.ext.{extension}")
    app.add_directive("first-used", FirstUsed)
    app.add_directive("public-names", PublicNames)
    # Napoleon, with priority 500, would make lists of initials, and a type of what stands
    # before a colon.
    app.connect("autodoc-process-docstring", escape_initials, priority=400)
    app.connect("autodoc-process-docstring", describe_constants, priority=600)
    app.connect("autodoc-process-signature", tidy_signature)
    app.connect("missing-reference", link_home)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
