"""Every experiment has its knobs in one cell, and runs when they are turned down.

The copies run in full under nbmake. Here the numbers in the cell of knobs are
made small and all cells run, hidden ones included. Assertions about the book's own
numbers are taken out: they hold for the book's knobs. What is tested is that no cell
depends on a knob's value, and that the pages of ``PLAIN`` need a plain install only.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import jupytext
import pytest
from conftest import ROOT

FOLDER = ROOT / "book"
CHAPTERS = sorted(
    p for p in FOLDER.glob("*.md") if ":class: chapter-card" in p.read_text(encoding="utf-8")
)
EXPERIMENTS = [
    path
    for path in CHAPTERS
    if "kernelspec:" in path.read_text(encoding="utf-8").partition("\n---")[0]
]

# Pages that need nothing of the extra "models": they run in a program that cannot import it.
PLAIN = {
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
}

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


def run_small(path: Path) -> None:
    """All cells of a page in one name space, those of knobs made small."""
    own = SMALL.get(path.stem, {})
    place, found = knobs(path) if path in EXPERIMENTS else (None, [])
    assert set(own) <= set(found), f"{path.stem}: no such knobs: {set(own) - set(found)}"
    space: dict[str, Any] = {"__name__": "__main__"}
    for i, cell in enumerate(code_cells(path)):
        tree = ast.parse(re.sub(r"(?m)^(\s*)%.*", r"\1pass", cell.source))
        tree = (Turned(own) if i == place else Unasserted()).visit(tree)
        code = compile(ast.fix_missing_locations(tree), f"{path.stem}.md, cell {i}", "exec")
        expected = (
            pytest.raises(Exception)
            if "raises-exception" in cell.metadata.get("tags", [])
            else None
        )
        with (
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
            expected or contextlib.nullcontext(),
        ):
            warnings.simplefilter("ignore")  # few seeds, thin cells
            exec(code, space)


@pytest.mark.parametrize(
    "path", [p for p in EXPERIMENTS if p.stem not in PLAIN], ids=lambda p: p.stem
)
def test_chapter_runs_with_small_knobs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAUSALPREF_BOOK", raising=False)
    monkeypatch.delenv("CAUSALPREF_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    run_small(path)


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_page_needs_only_a_plain_install(
    name: str, plain_install: dict[str, str], tmp_path: Path
) -> None:
    env = {
        k: v for k, v in plain_install.items() if k not in ("CAUSALPREF_BOOK", "CAUSALPREF_DATA")
    }
    done = subprocess.run(
        [sys.executable, __file__, str(FOLDER / f"{name}.md")],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]


if __name__ == "__main__":
    run_small(Path(sys.argv[1]))
