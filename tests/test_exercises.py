"""Every exercise: its kind, its place, and a check that tells the stub from the solution.

An exercise is run on the statements of its page that it rests on, not on the
whole page: that takes seconds for all of them, and an exercise that leans on
another one fails here.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import io
import re
import symtable
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jupytext
import pytest
import sources
import yaml

from causalpref.figures import notebook

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("By heart", "By hand", "By code", "Break an assumption", "Open")  # in this order
STUB = "your code here"


# Reading the pages -------------------------------------------------------------


@dataclass
class Exercise:
    """An exercise of a page, its cells, and those of the page that come before."""

    label: str
    title: str
    before: list[str]  # without the cells of other exercises
    stub: list[str] = field(default_factory=list)
    solution: list[str] = field(default_factory=list)
    folded: list[bool] = field(default_factory=list)  # one entry a solution

    @property
    def kind(self) -> str:
        return self.title.partition(":")[0]


MARK = re.compile(
    r"(?m)^(?:[:`]{3,}\{(?P<name>(?:exercise|solution)(?:-start)?|solution-end)\}"
    r" *(?P<argument>.*)\n(?P<options>(?::\w+: .*\n)*)|#+ )"
)


def exercises(path: Path) -> list[Exercise]:
    """Read a page.

    Cells after an exercise are its stub, cells from ``solution-start`` to
    ``solution-end`` its solution.
    """
    found: dict[str, Exercise] = {}
    cells: list[str] = []
    where = cells
    for cell in jupytext.read(path, fmt="md:myst").cells:
        if cell.cell_type == "code":
            where.append(re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", cell.source))
            continue
        for mark in MARK.finditer(re.sub(r"(?ms)^```\w.*?^```$", "", cell.source)):
            options = dict(re.findall(r":(\w+): (.*)\n", mark["options"] or ""))
            if mark["name"] in ("exercise", "exercise-start"):
                label = options["label"]
                found[label] = Exercise(label, mark["argument"], list(cells))
                where = found[label].stub
            elif mark["name"] in ("solution", "solution-start"):
                solved = found[mark["argument"]]
                solved.folded.append("dropdown" in options.get("class", ""))
                where = solved.solution
            else:  # the end of a solution, or a heading
                where = cells
    return list(found.values())


def chapters() -> list[str]:
    """Pages of the numbered parts."""
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    numbered = [part for part in toc["parts"] if part.get("numbered")]
    return [chapter["file"] for part in numbered for chapter in part["chapters"]]


DOCS = sources.pages(ROOT / "book")
FOUND = {doc: exercises(ROOT / "book" / f"{doc}.md") for doc in DOCS}
ALL = [pytest.param(e, id=e.label) for found in FOUND.values() for e in found]
WITH_CHECK = [p for p in ALL if "check(" in "\n".join(p.values[0].stub + p.values[0].solution)]


# Form --------------------------------------------------------------------------


@pytest.mark.parametrize("doc", chapters())
def test_every_chapter_has_exercises_of_all_kinds_in_rising_order(doc: str) -> None:
    kinds = [e.kind for e in FOUND[doc]]
    assert len(kinds) >= 5
    assert kinds == sorted(kinds, key=KINDS.index), "in the order " + ", ".join(KINDS)
    runs = "kernelspec" in sources.split(ROOT / "book" / f"{doc}.md")[0]
    wanted = set(KINDS) if runs else set(KINDS) - {"By code"}
    assert wanted <= set(kinds), f"missing: {wanted - set(kinds)}"


@pytest.mark.parametrize("exercise", ALL)
def test_every_exercise_names_its_kind_and_folds_its_solution(exercise: Exercise) -> None:
    assert re.fullmatch(rf"({'|'.join(KINDS)})(: \S.*)?", exercise.title), exercise.title
    assert exercise.folded == [True], "one solution, with ':class: dropdown'"


@pytest.mark.parametrize("exercise", ALL)
def test_code_is_asked_for_with_a_stub_and_a_check(exercise: Exercise) -> None:
    """By code, and any other kind that gives a cell to write in."""
    stub, solution = "\n".join(exercise.stub), "\n".join(exercise.solution)
    if exercise.kind == "By code" or stub:
        assert STUB in stub or "# change" in stub, "the cell says where to write"
        assert "check(" in stub and "check(" in solution
    assert STUB not in solution


# What a cell rests on ----------------------------------------------------------


@dataclass
class Names:
    """Names of the page that some statements set, set for certain, and read."""

    sets: set[str] = field(default_factory=set)
    surely: set[str] = field(default_factory=set)
    reads: set[str] = field(default_factory=set)  # before the statements set them
    later: set[str] = field(default_factory=set)  # read by functions, when they are called

    def then(self, other: Names) -> Names:
        return Names(
            self.sets | other.sets,
            self.surely | other.surely,
            self.reads | other.reads - self.surely,
            self.later | other.later,
        )

    def perhaps(self) -> Names:
        return Names(self.sets, set(), self.reads, self.later)


def names_of(*trees: ast.AST) -> Names:
    """Names in statements that run one after the other."""
    found = Names()
    for tree in trees:
        found = found.then(_names(tree))
    return found


def _names(tree: ast.AST) -> Names:
    if isinstance(tree, ast.For):
        head = _target(tree.target)
        return _names(tree.iter).then(head.then(names_of(*tree.body, *tree.orelse)).perhaps())
    if isinstance(tree, ast.With):
        parts = [_names(i.context_expr).then(_target(i.optional_vars)) for i in tree.items]
        found = Names()
        for part in [*parts, names_of(*tree.body)]:
            found = found.then(part)
        return found
    if isinstance(tree, ast.If):
        branches = names_of(*tree.body).perhaps().then(names_of(*tree.orelse).perhaps())
        return _names(tree.test).then(branches)
    if isinstance(tree, ast.Try):
        found = names_of(*tree.body).perhaps()
        for handler in tree.handlers:
            name = {handler.name} if handler.name else set()
            found = found.then(Names(surely=name).then(names_of(*handler.body)).perhaps())
        return found.then(names_of(*tree.orelse, *tree.finalbody).perhaps())
    return _simple(tree)


def _target(target: ast.expr | None) -> Names:
    nodes = ast.walk(target) if target else ()
    names = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return Names(names, names)


class _Scopes(ast.NodeTransformer):
    """Comprehensions as generators: from Python 3.12 on others have no scope of their own."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, (ast.ListComp, ast.SetComp)):
            return ast.GeneratorExp(node.elt, node.generators)
        if isinstance(node, ast.DictComp):
            return ast.GeneratorExp(ast.Tuple([node.key, node.value], ast.Load()), node.generators)
        return node


def _simple(tree: ast.AST) -> Names:
    scoped = _Scopes().visit(copy.deepcopy(tree))
    top = symtable.symtable(ast.unparse(scoped), "page", "exec")
    found = Names()
    for symbol in top.get_symbols():
        name = symbol.get_name()
        found.surely |= {name} if symbol.is_assigned() or symbol.is_imported() else set()
        found.reads |= {name} if symbol.is_referenced() else set()
    for table, called in _inner(top):
        outer = {s.get_name() for s in table.get_symbols() if s.is_global()}
        found.reads |= outer
        found.later |= outer if called else set()
    touched = {_root(node) for node in _touched(tree)} - {None}
    found.sets, found.reads = found.surely | touched, found.reads | touched
    return found


def _inner(
    table: symtable.SymbolTable, called: bool = False
) -> Iterator[tuple[symtable.SymbolTable, bool]]:
    """Scopes within a scope; is it in a function, which runs when called?"""
    for child in table.get_children():
        at_once = child.get_name() == "genexpr"
        yield child, called or not at_once
        yield from _inner(child, called or not at_once)


def _touched(tree: ast.AST) -> Iterator[ast.AST]:
    """Expressions whose objects a statement changes, or may change, in place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AugAssign):
            yield node.target
        elif isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
            yield node
        elif (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Attribute)
        ):
            yield node.value.func


def _root(node: ast.AST) -> str | None:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def rests_on(cells: Sequence[str], before: Sequence[str]) -> list[ast.stmt]:
    """Statements of `before` that `cells` rest on, directly or not.

    Names that functions use count as read at the end, where they are called.
    """
    wanted = names_of(*_statements(cells))
    end = wanted.reads | wanted.later
    page = [(tree, _names(tree)) for tree in _statements(before)]
    while True:
        needed, kept, later = set(end), [], set()
        for tree, names in reversed(page):
            if names.sets & needed:
                kept.append(tree)
                needed = needed - names.surely | names.reads
                later |= names.later
        if later <= end:
            return kept[::-1]
        end |= later


def _statements(cells: Sequence[str]) -> list[ast.stmt]:
    return [tree for cell in cells for tree in ast.parse(cell).body]


@pytest.mark.parametrize(
    ("cell", "kept"),
    [
        (
            "y = f()",
            "a = 1|b = 2|a = a + 1|a += b|def f():\n    return a + g()|def g():\n    return b",
        ),
        ("rows.sort()", "rows = []|for k in range(3):\n    rows.append(k)|rows[0] = 7"),
        ("for k in range(2):\n    print(k)", ""),
        ("a = 3\nprint(a)", ""),
        ("print([a for a in 'xy'])", ""),
        ("with open('x') as c:\n    print(c)", ""),
        ("t['y'] = math.e", "import math|t = {}|t['x'] = [b for b in 'xy']"),
    ],
)
def test_a_cell_rests_on_what_it_reads_and_on_nothing_else(cell: str, kept: str) -> None:
    page = [
        "import math\nimport os",
        "a = 1\nb = 2\nc = slow()",
        "a = a + 1\na += b",
        "def f():\n    return a + g()",
        "def g():\n    return b",
        "rows = []\nfor k in range(3):\n    rows.append(k)",
        "rows[0] = 7\nprint(rows)\nif rows:\n    c = slow()",
        "t = {}\nt['x'] = [b for b in 'xy']",
    ]
    found = [ast.unparse(tree) for tree in rests_on([cell], page)]
    assert found == [part for part in kept.split("|") if part]


# Stub fails, solution passes ---------------------------------------------------


def faults(exercise: Exercise, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run the stub and the solution of an exercise; say what is wrong with their checks."""
    said: dict[str, bool] = {}
    true_check = notebook.check

    def check(what: str, yours: Any, expected: Any, tolerance: float = 1e-9) -> bool:
        said[what] = true_check(what, yours, expected, tolerance)
        return said[what]

    def run(trees: Sequence[ast.stmt]) -> dict[str, bool]:
        said.clear()
        with contextlib.redirect_stdout(io.StringIO()):
            for tree in trees:
                exec(compile(ast.Module([tree], []), exercise.label, "exec"), names)
        return dict(said)

    names: dict[str, Any] = {"__name__": "page"}
    with monkeypatch.context() as patch:
        patch.setenv("CAUSALPREF_DATA", "offline")
        patch.delenv("CAUSALPREF_BOOK", raising=False)
        patch.setattr(notebook, "check", check)
        run(rests_on(exercise.stub + exercise.solution, exercise.before))
        stub = run(_statements(exercise.stub))
        solution = run(_statements(exercise.solution))
    found = [f"the stub passes: {what}" for what, right in stub.items() if right]
    found += [f"the solution fails: {what}" for what, right in solution.items() if not right]
    found += [f"not asked of the solution: {what}" for what in stub if what not in solution]
    if not solution or (exercise.stub and not stub):
        found.append("nothing is checked")
    return found


@pytest.mark.parametrize("exercise", WITH_CHECK)
def test_stub_fails_its_check_and_solution_passes(
    exercise: Exercise, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert faults(exercise, monkeypatch) == []


PAGE = """\
```{code-cell} ipython3
from causalpref.figures.notebook import check

goal = 7
```

## Exercises

:::{exercise} By code: seven
:label: ex-seven
Find it.
:::

```{code-cell} ipython3
x = STUB  # your code here
check("seven", x, goal)
```

:::{solution-start} ex-seven
:class: dropdown
:::
```{code-cell} ipython3
x = SOLUTION
check("seven", x, goal)
```
:::{solution-end}
:::
"""


@pytest.mark.parametrize(
    ("stub", "solution", "wrong"),
    [
        ("...", "3 + 4", []),
        ("7", "7", ["the stub passes: seven"]),
        ("...", "8", ["the solution fails: seven"]),
        ("...", "7\ncheck = print", ["not asked of the solution: seven", "nothing is checked"]),
    ],
)
def test_a_wrong_exercise_is_found(
    stub: str, solution: str, wrong: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("= STUB", f"= {stub}").replace("SOLUTION", solution))
    (exercise,) = exercises(page)
    assert (exercise.kind, exercise.folded) == ("By code", [True])
    assert faults(exercise, monkeypatch) == wrong
