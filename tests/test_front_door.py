"""``import causalpref as cp``: the names that come first, loaded when they are used."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import subprocess
import sys

import pytest

import causalpref as cp


def test_importing_loads_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import causalpref; "
        "print(*{m.partition('.')[0] for m in set(sys.modules) - before})"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(said.stdout.split())
    assert "causalpref" in loaded
    assert not loaded & {"numpy", "pandas", "scipy", "torch", "altair", "datasets"}


def test_every_name_is_the_one_of_its_room():
    for name in cp.__all__:
        thing = getattr(cp, name)
        assert name in dir(cp)
        if name != "__version__":
            assert thing.__module__.startswith("causalpref."), name
    with pytest.raises(AttributeError, match="no attribute 'oracle'"):
        _ = cp.oracle


def test_type_checkers_see_the_same_names():
    tree = ast.parse(inspect.getsource(cp))
    seen = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("causalpref.")
        for alias in node.names
    }
    assert seen == set(cp.__all__) - {"__version__"}


def test_no_module_shares_a_name_with_a_function():
    modules = {m.name.rpartition(".")[2] for m in pkgutil.walk_packages(cp.__path__, "causalpref.")}
    assert not modules & set(cp.__all__)
