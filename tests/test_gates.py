"""What the gates cannot say themselves: no private name crosses a room, the baseline shrinks."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from conftest import ROOT

PACKAGE = ROOT / "causalpref"
KNOWN = 87
"""Errors that the type checker's baseline held when this was last lowered."""
CLEAN = ("data", "graph", "rewards", "statistics")


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def imports(tree: ast.AST, module: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything of the package that a module imports or reads from one."""
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            bound |= {a.asname or a.name.split(".")[0]: a.name for a in node.names if a.asname}
            yield from ((node.lineno, a.name) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = module.split(".")[: -node.level or None] if node.level else []
            source = ".".join([*parent, *filter(None, [node.module])])
            bound |= {a.asname or a.name: f"{source}.{a.name}" for a in node.names}
            yield from ((node.lineno, f"{source}.{a.name}") for a in node.names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = bound.get(node.value.id, "")
            if (ROOT / name.replace(".", "/")).is_dir() or (
                ROOT / f"{name.replace('.', '/')}.py"
            ).is_file():
                yield node.lineno, f"{name}.{node.attr}"


def crossings(text: str, module: str) -> list[str]:
    """Private names of one room that a module of another room uses.

    A private module of no room, ``causalpref._name``, is there for all rooms.
    """
    shared = 2 if module.startswith("causalpref.") else 1
    return [
        f"{module}, line {line}: {name}"
        for line, name in imports(ast.parse(text), module)
        if name.startswith("causalpref.")
        and room(name) != room(module)
        and any(re.match("_[^_]", part) for part in name.split(".")[shared:])
    ]


def modules() -> Iterator[tuple[Path, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield path, ".".join(parts if parts[-1] != "__init__" else (*parts[:-1], "__init__"))
    for path in sorted([*ROOT.glob("book/_ext/*.py"), *ROOT.glob("benchmarks/*.py")]):
        yield path, path.stem


def test_no_private_name_is_used_in_another_room() -> None:
    found = [c for path, module in modules() for c in crossings(path.read_text(), module)]
    assert not found, "\n".join(found)


def test_a_crossing_is_noticed() -> None:
    assert not crossings("from . import _b\nfrom ._b import c", "causalpref.a.d")
    assert not crossings("from causalpref.b import c\nc._d", "causalpref.a")
    assert not crossings("from causalpref._b import c", "causalpref.a")
    assert crossings("from causalpref._b import c", "quiz")
    for text in (
        "from causalpref.b import _c",
        "from causalpref.b._c import d",
        "import causalpref.b._c",
        "def f():\n    from ..b import _c",
        "from causalpref import sources\nsources._open()",
        "from causalpref.sources import files as f\nf._open()",
    ):
        assert len(crossings(text, "causalpref.a.d")) == 1, text


def test_rooms_that_are_clean_stay_clean() -> None:
    """The type checker's baseline holds nothing of the rooms without errors."""
    files = json.loads((ROOT / ".ci" / "types.json").read_text())["files"]
    dirty = [f for f in files if Path(f).parts[1].removesuffix(".py") in CLEAN]
    assert not dirty, dirty


def test_the_baseline_of_types_does_not_grow() -> None:
    files = json.loads((ROOT / ".ci" / "types.json").read_text())["files"]
    assert sum(map(len, files.values())) <= KNOWN, "fix the new errors; do not record them"
