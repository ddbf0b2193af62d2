"""Every experiment has its knobs in one cell, and each of them turns something.

``make test`` runs small copies of all notebooks (``small_copies.py``).
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from small_copies import BOOK, TORCH_FREE, code_cells, is_experiment, knobs, names, small

EXPERIMENTS = [p for p in sorted(BOOK.glob("*.md")) if is_experiment(p)]


def enumerations(source: str) -> list[set[str]]:
    """Names for the codes of one thing, as in ``EXPORT, TARIFF = 0, 1``: all or none are used."""
    sets = []
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Tuple):
            values = [
                n.value if isinstance(n, ast.Constant) else None for n in statement.value.elts
            ]
            first = values[0]
            if isinstance(first, int) and values == list(range(first, first + len(values))):
                sets.append(set(names(statement.targets[0])))
    return sets


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
def test_knobs_are_in_one_cell_after_the_imports(path: Path) -> None:
    place, found = knobs(path)
    before = [c.source for c in code_cells(path)[:place]]
    assert place <= 3 and any("import" in source for source in before), path.name
    assert len(found) == len(set(found)) >= 2


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
def test_every_knob_is_used(path: Path) -> None:
    """In a cell that is run, other than to ask whether the book's values are set."""
    place, found = knobs(path)
    used: set[str] = set()
    for i, cell in enumerate(code_cells(path)):
        if "%pip" in cell.source:
            continue
        for statement in ast.parse(cell.source).body:
            is_flag = isinstance(statement, ast.Assign) and names(statement.targets[0]) == ["BOOK"]
            if i != place and not is_flag:
                used |= {
                    n.id
                    for n in ast.walk(statement)
                    if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
                }
    for codes in enumerations(code_cells(path)[place].source):
        if codes & used:
            used |= codes
    assert not set(found) - used, f"{path.name}: {sorted(set(found) - used)} turn nothing"


def test_a_small_copy_asks_less_and_blocks_what_it_should_not_need():
    copy = small(BOOK / "preferences.ipynb")
    assert copy.cells[0].id == "block" and "preferences" in TORCH_FREE
    trees = [
        ast.parse(c.source) for c in copy.cells if c.cell_type == "code" if "%" not in c.source
    ]
    assert not any(isinstance(node, ast.Assert) for tree in trees for node in ast.walk(tree))
    chapter = BOOK / "preferences.md"
    full = ast.parse(code_cells(chapter)[knobs(chapter)[0]].source)
    assigned = [
        [ast.dump(t) for n in tree.body for t in getattr(n, "targets", [])] for tree in trees
    ]
    turned = trees[assigned.index([ast.dump(t) for n in full.body for t in n.targets])]
    assert ast.dump(turned) != ast.dump(full), "its knobs are turned down"
