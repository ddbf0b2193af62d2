"""Copies of the notebooks with their knobs turned down, for a quick run of every cell.

``python tests/small_copies.py FOLDER`` writes them. The numbers in a chapter's cell of knobs are
made small, and assertions about the book's own numbers are taken out, since they hold for the
book's knobs; ``make book`` runs every chapter in full and with its assertions. What a small copy
shows is that the notebook runs from top to bottom and that no cell depends on a knob's value.

A chapter that needs no torch is run where torch, transformers and datasets cannot be imported.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat

BOOK = Path(__file__).resolve().parents[1] / "book"

# Numbers from SMALLEST on are divided by DIVISOR; what is below is a shape, a seed or
# a handful, and stays. Where a chapter needs more to have anything to show, or where a
# handful takes long, SMALL says what to set.
DIVISOR, SMALLEST = 4, 200
SMALL: dict[str, dict[str, Any]] = {
    "first_look": {"SEEDS": 2, "N_TRAIN": 400, "RHOS": (0.5, 1.0)},
    "identifiability": {"LOGS": 3, "N_LOG": 500},
    "latent_positivity": {"N_LOG": 2000, "N_FITS": 60},
    "reward_models": {"EPOCHS": 3},
    "roadmap": {"SEEDS": 4, "RUNS": 4},
    "ultrafeedback": {"SPLITS": 2, "EPOCHS": 2},
}


TORCH_FREE = frozenset(
    [
        "identifiability",
        "index",
        "latent_positivity",
        "latent_treatments",
        "potential_outcomes",
        "preferences",
        "related_work",
        "reproduction_notes",
        "roadmap",
        "who_asked",
    ]
)
BLOCK = """import sys


class _Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "datasets"):
            raise ImportError(f"{name} is blocked: this chapter has to run without it")


sys.meta_path.insert(0, _Blocked())"""


def code_cells(path: Path) -> list[Any]:
    return [c for c in jupytext.read(path, fmt="md:myst").cells if c.cell_type == "code"]


def names(target: ast.expr) -> list[str]:
    return [n.id for n in ast.walk(target) if isinstance(n, ast.Name)]


def assigned(source: str) -> list[str] | None:
    """Names in capitals that a cell sets, if it does nothing else."""
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a magic
        return None
    found: list[str] = []
    for statement in body:
        if not isinstance(statement, ast.Assign):
            return None
        found += [name for target in statement.targets for name in names(target)]
    return found if found and all(name.isupper() for name in found) else None


def knobs(path: Path) -> tuple[int, list[str]]:
    """Place of the cell of knobs, and the names in it."""
    for i, cell in enumerate(code_cells(path)):
        if "remove-cell" not in cell.metadata.get("tags", []) and (found := assigned(cell.source)):
            return i, found
    raise AssertionError(f"{path.name} has no cell of knobs: one cell that sets names in capitals")


class Turned(ast.NodeTransformer):
    """Numbers of the cell of knobs, made small."""

    def __init__(self, own: dict[str, Any]) -> None:
        self.own = own

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        (target,) = node.targets
        several = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
        pairs = zip(target.elts, node.value.elts) if several else [(target, node.value)]  # type: ignore[attr-defined]
        values = [
            ast.parse(repr(self.own[name.id]), mode="eval").body
            if isinstance(name, ast.Name) and name.id in self.own
            else self.visit(value)
            for name, value in pairs
        ]
        node.value = ast.Tuple(values, ast.Load()) if several else values[0]
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        if isinstance(node.func, ast.Name) and node.func.id == "range" and len(node.args) == 1:
            node.args = [ast.Constant(min(2, ast.literal_eval(node.args[0])))]
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if type(node.value) is int and node.value >= SMALLEST:
            return ast.Constant(max(SMALLEST, node.value // DIVISOR))
        return node


class Unasserted(ast.NodeTransformer):
    """A cell without its assertions."""

    def visit_Assert(self, node: ast.Assert) -> ast.Pass:
        return ast.Pass()


def small(path: Path) -> nbformat.NotebookNode:
    """The notebook with small knobs.

    Parameters
    ----------
    path : Path
        A chapter's ``.ipynb``, beside its ``.md``.
    """
    book = nbformat.read(path, as_version=4)
    source = path.with_suffix(".md")
    own = SMALL.get(path.stem, {})
    turned = knobs(source) if is_experiment(source) else None
    if turned is not None:
        place, found = turned
        assert set(own) <= set(found), f"{path.stem}: no such knobs: {set(own) - set(found)}"
        knob_cell = code_cells(source)[place].source
        sources = [cell.source for cell in book.cells]
        assert sources.count(knob_cell) == 1, f"{path.name} is not the copy of {source.name}"
    for cell in book.cells:
        if cell.cell_type != "code" or cell.source.lstrip().startswith(("%", "!")):
            continue
        try:
            tree = ast.parse(cell.source)
        except SyntaxError:  # a magic
            continue
        is_knobs = turned is not None and cell.source == knob_cell
        tree = (Turned(own) if is_knobs else Unasserted()).visit(tree)
        cell.source = ast.unparse(ast.fix_missing_locations(tree))
    if path.stem in TORCH_FREE:
        book.cells.insert(0, nbformat.v4.new_code_cell(BLOCK, id="block"))
    return book


def is_experiment(source: Path) -> bool:
    """Whether a page is a chapter that runs code."""
    text = source.read_text(encoding="utf-8")
    return ":class: chapter-card" in text and "kernelspec:" in text.partition("\n---")[0]


def main(folder: str) -> None:
    """Write the small copy of every notebook."""
    to = Path(folder)
    to.mkdir(parents=True, exist_ok=True)
    for old in to.glob("*.ipynb"):
        old.unlink()
    for path in sorted(BOOK.glob("*.ipynb")):
        nbformat.write(small(path), to / path.name)


if __name__ == "__main__":
    main(*sys.argv[1:])
