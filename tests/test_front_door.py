"""``import causalpref as cp``: the names that come first, loaded when they are used."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import pickle
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


def public_callables():
    """Every public function, and every public method of a public class, by its full name."""
    for info in pkgutil.walk_packages(cp.__path__, "causalpref."):
        if any(part.startswith("_") for part in info.name.split(".")):
            continue
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", []):
            thing = getattr(module, name)
            if inspect.isclass(thing):
                for method, function in vars(thing).items():
                    if inspect.isfunction(function) and not method.startswith("_"):
                        yield f"{info.name}.{name}.{method}", function
            elif inspect.isfunction(thing):
                yield f"{info.name}.{name}", thing


def test_seeds_are_optional_keywords():
    """Sibling functions agree: a seed is given by keyword, and may be left out."""
    seen = 0
    for name, function in public_callables():
        seed = inspect.signature(function).parameters.get("seed")
        if seed is not None:
            seen += 1
            assert seed.kind is inspect.Parameter.KEYWORD_ONLY, name
            assert seed.default is not inspect.Parameter.empty, name
    assert seen > 30


def test_facts_of_the_data_are_no_arguments():
    """Names, groups and the order shown are on the data; counts of seeds are counts."""
    for name, function in public_callables():
        parameters = inspect.signature(function).parameters
        if "data" in parameters:
            assert not {"names", "groups", "order_known", "openings"} & set(parameters), name
        assert not {"rng", "seeds"} & set(parameters), name


ROWS = [{"prompt": f"q{i}", "chosen": f"yes {i}", "rejected": f"no {i}"} for i in range(8)]
TAKERS = {
    name: getattr(cp, name)
    for name in ("check_all", *(n for n in cp.__all__ if n.startswith("check_")), "hashed_ngrams")
} | {
    "embed": lambda data: cp.embed(data, "a model"),
    "amce": lambda data: cp.amce(data, 0),
    "outcome_table": cp.outcome_table,
    "fit": lambda data: cp.fit("base", data, data),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("thing", [None, "p.jsonl", ROWS, cp.load_preferences(ROWS)], ids=type)
def test_what_is_no_preference_data_is_refused_with_the_way_to_get_it(taker, thing):
    if taker in ("embed", "hashed_ngrams") and type(thing).__name__ == "LoadedPreferences":
        return  # these take its pairs
    said = f"takes PreferenceData, not {type(thing).__name__}: .*load_preferences.*[.]data"
    with pytest.raises(TypeError, match=said):
        TAKERS[taker](thing)


def test_what_was_loaded_says_where_its_pairs_are():
    loaded = cp.load_preferences(ROWS)
    for name in ("split", "to_pandas", "label"):
        with pytest.raises(AttributeError, match=f"no '{name}': use .data.{name}"):
            getattr(loaded, name)
    with pytest.raises(AttributeError, match="no 'oracle'$"):
        _ = loaded.oracle
    assert len(copy.deepcopy(pickle.loads(pickle.dumps(loaded))).data) == 8
