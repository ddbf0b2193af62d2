"""Graphs against brute force over all small graphs, and against exact numbers of models.

The rules are written out a second time here, path by path from their definitions. Numbers
come from closed forms (a Gaussian's covariance, sums over binary tables), without sampling.
All labelled graphs with a question on fixed nodes cover every question on every graph, up to
the names of the nodes; that names do not matter is a test of its own.
"""

from __future__ import annotations

import doctest
import itertools
import json
import pickle

import numpy as np
import pytest

from causalpref import figures
from causalpref import graph as module
from causalpref.graph import FIGURES, CausalGraph, Identified, Independence, Path, Refused, pretty
from causalpref.simulation import EXAMPLES

TEXTS = ("X", "Y", "Y'")


# -- brute force -----------------------------------------------------------


def subsets(names):
    names = list(names)
    return [set(z) for k in range(len(names) + 1) for z in itertools.combinations(names, k)]


def minimal(sets):
    return {frozenset(z) for z in sets if not any(other < z for other in sets)}


def as_sets(answer):
    assert len(set(answer)) == len(answer)
    return {frozenset(z) for z in answer}


def descendants(edges, nodes):
    """The nodes and their descendants."""
    out = set(nodes)
    while more := {b for a, b in edges if a in out} - out:
        out |= more
    return out


def dags(nodes):
    """Edges of all acyclic graphs on these nodes."""
    pairs = list(itertools.combinations(nodes, 2))
    for ways in itertools.product((None, 1, -1), repeat=len(pairs)):
        edges = [pair[::way] for pair, way in zip(pairs, ways) if way]
        if all(a not in descendants(edges, [b]) for a, b in edges):
            yield edges


FOUR = list(dags("ABCD"))


def make(edges, hidden="", nodes="ABCD"):
    """A graph whose names are single letters."""
    return CausalGraph(edges, tuple(hidden), nodes=tuple(nodes))


def random_dag(rng, nodes, share):
    order = rng.permutation(list(nodes)).tolist()
    return [e for e in itertools.combinations(order, 2) if rng.random() < share]


def all_paths(edges, a, b):
    """Every path between two nodes, as lists of nodes."""
    out, todo = [], [[a]]
    while todo:
        path = todo.pop()
        if path[-1] == b:
            out.append(path)
            continue
        todo += [[*path, n] for e in edges for n in e if path[-1] in e and n not in path]
    return out


def blocked(edges, path, given):
    """The definition of d-separation for one path."""
    for left, here, right in zip(path, path[1:], path[2:]):
        if (left, here) in edges and (right, here) in edges:
            if not descendants(edges, [here]) & set(given):
                return True
        elif here in given:
            return True
    return False


def test_there_are_as_many_graphs_as_there_should_be():
    assert [len(list(dags("ABCD"[:n]))) for n in (1, 2, 3, 4)] == [1, 3, 25, 543]


# -- separation ------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4])
def test_separation_and_open_paths_on_every_graph(n):
    nodes = "ABCD"[:n]
    for edges in dags(nodes):
        graph = make(edges, nodes=nodes)
        for a, b in itertools.combinations(nodes, 2):
            paths = all_paths(edges, a, b)
            for given in subsets(set(nodes) - {a, b}):
                want = {tuple(p) for p in paths if not blocked(edges, p, given)}
                found = graph.open_paths(a, b, given)
                assert [len(p) for p in found] == sorted(map(len, want))
                assert {p.nodes for p in found} == want
                assert graph.d_separated(a, b, given) == (not want)


def test_separation_of_sets():
    """A set is separated from another exactly if all their members are, two by two."""
    for edges in FOUR:
        graph = make(edges)
        for given in ((), "D"):
            alone = graph.d_separated("A", "C", given) and graph.d_separated("B", "C", given)
            assert graph.d_separated(("A", "B"), "C", given) == alone
            found = {p.nodes for p in graph.open_paths(("A", "B"), "C", given)}
            assert found == {
                tuple(p)
                for a in "AB"
                for p in all_paths(edges, a, "C")
                if not {"A", "B"} & {*p[1:]} and not blocked(edges, p, given)
            }
            assert (not found) == alone


def test_separation_is_a_zero_partial_correlation():
    """In a linear Gaussian model with arbitrary coefficients, and nowhere else."""
    rng = np.random.default_rng(0)
    at = {n: i for i, n in enumerate("ABCD")}
    weights = np.zeros((len(FOUR), 4, 4))
    for k, edges in enumerate(FOUR):
        for a, b in edges:
            weights[k, at[b], at[a]] = rng.uniform(0.4, 1.6) * rng.choice([-1, 1])
    mix = np.linalg.inv(np.eye(4) - weights)
    covariance = mix @ (rng.uniform(0.5, 2, (len(FOUR), 1, 4)) * mix).transpose(0, 2, 1)
    zero = {}
    for a, b in itertools.combinations("ABCD", 2):
        for given in subsets(set("ABCD") - {a, b}):
            rows = [at[n] for n in (a, b, *sorted(given))]
            precision = np.linalg.inv(covariance[:, rows][:, :, rows])
            partial = precision[:, 0, 1] / np.sqrt(precision[:, 0, 0] * precision[:, 1, 1])
            assert not ((abs(partial) > 1e-10) & (abs(partial) < 1e-6)).any()
            zero[a, b, frozenset(given)] = abs(partial) < 1e-8
    for k, edges in enumerate(FOUR):
        graph = make(edges)
        holds = {key for key, z in zero.items() if z[k]}
        assert all(graph.d_separated(a, b, z) == ((a, b, z) in holds) for a, b, z in zero)
        for hidden in ((), "A", "D"):
            known = {key for key in holds if not set(hidden) & {key[0], key[1], *key[2]}}
            want = {
                (a, b, z)
                for a, b, z in known
                if not any((a, b, frozenset(s)) in known for s in subsets(z) if s < z)
            }
            found = graph.with_hidden(*hidden).independencies()
            assert {(i.a, i.b, frozenset(i.given)) for i in found} == want
            assert len(found) == len(want)


def test_independencies_of_the_hidden():
    graph = CausalGraph([("U", "A"), ("U", "B")], hidden="U")
    assert graph.independencies() == ()
    assert graph.independencies(observed_only=False) == (Independence("A", "B", ("U",)),)


# -- effects: sets ---------------------------------------------------------


def pearl(edges, treatment, outcome, seen):
    """Pearl's backdoor criterion for one treatment: all sets of nodes seen that satisfy it."""
    after = descendants(edges, [treatment])
    into = [p for p in all_paths(edges, treatment, outcome) if (p[1], p[0]) in edges]
    return [
        z for z in subsets(set(seen) - after - {outcome}) if all(blocked(edges, p, z) for p in into)
    ]


@pytest.mark.parametrize("hidden", ["", "C", "D", "CD"])
def test_one_treatment_has_the_sets_of_pearl(hidden):
    for edges in FOUR:
        graph = make(edges, hidden)
        want = minimal(pearl(edges, "A", "B", set("CD") - set(hidden)))
        assert as_sets(graph.backdoor_sets("A", "B")) == want
        answer = graph.identify("A", "B")
        assert isinstance(answer, Identified if want else Refused)


def tables(rng, nodes, edges):
    """P(node | parents), each with an axis for every node, of a binary model."""
    out = {}
    for i, node in enumerate(nodes):
        axes = [2 if (m, node) in edges else 1 for m in nodes]
        axes[i] = 1
        one = rng.uniform(0.1, 0.9, axes)
        out[node] = np.concatenate([1 - one, one], axis=i)
    return out


def sums(table, nodes, keep):
    return table.sum(axis=tuple(i for i, n in enumerate(nodes) if n not in keep), keepdims=True)


def adjusting_is_right(model, t, y, z, s=()):
    """Adjustment formula against truncated factorisation, both summed out exactly."""
    nodes, t, y, z, s = list(model), set(t), set(y), set(z), set(s)
    joint = np.ones((2,) * len(nodes))
    cut = np.ones((2,) * len(nodes))
    for node, table in model.items():
        joint = joint * table
        cut = cut if node in t else cut * table
    p = lambda keep: sums(joint, nodes, keep)
    formula = sums(p({*t, *y, *z, *s}) / p({*t, *z, *s}) * p({*z, *s}) / p(s), nodes, {*t, *y, *s})
    truth = sums(cut, nodes, {*t, *y, *s}) / sums(cut, nodes, {*t, *s})
    gap = abs(formula - truth).max()
    assert not 1e-12 < gap < 1e-10, "too close to call"
    return gap < 1e-11


@pytest.mark.parametrize(
    ("t", "y", "s"),
    [
        ("A", "B", ""),
        ("AB", "C", ""),
        ("A", "BC", ""),
        ("A", "B", "C"),
        ("AB", "C", "D"),
        ("ABC", "D", ""),
    ],
)
def test_formula_is_right_for_these_sets_and_no_others(t, y, s):
    rng = np.random.default_rng(2)
    t, y, s = map(tuple, (t, y, s))
    rest = set("ABCD") - {*t, *y, *s}
    late = 0
    for edges in FOUR:
        graph = make(edges)
        if descendants(edges, t) & set(s):
            assert graph.backdoor_sets(t, y, s) == ()
            answer = graph.identify(t, y, s)
            assert isinstance(answer, Refused) and "comes after the treatment" in str(answer)
            late += 1
            continue
        model = tables(rng, "ABCD", edges)
        right = [z for z in subsets(rest) if adjusting_is_right(model, t, y, z, s)]
        for hidden in subsets(rest):
            want = minimal([z for z in right if not z & hidden])
            assert as_sets(graph.with_hidden(*hidden).backdoor_sets(t, y, s)) == want
    assert (late > 0) == bool(s)


def test_formula_with_several_treatments_in_larger_graphs():
    """Two treatments among six nodes, with and without a subgroup, some nodes hidden."""
    rng = np.random.default_rng(3)
    kinds = {"refused": 0, "needed": 0, "descendant": 0}
    staged = [("A", "E"), ("E", "D"), ("D", "B"), ("F", "D"), ("F", "C"), ("A", "C"), ("B", "C")]
    graphs = [staged, *(random_dag(rng, "ABCDEF", 0.45) for _ in range(250))]
    for k, edges in enumerate(graphs):
        s = set("F") if k % 3 == 2 and "F" not in descendants(edges, "AB") else set()
        model = tables(rng, "ABCDEF", edges)
        graph = make(edges, nodes="ABCDEF")
        rest = set("DEF") - s
        right = [z for z in subsets(rest) if adjusting_is_right(model, "AB", "C", z, s)]
        for hidden in subsets(rest):
            want = minimal([z for z in right if not z & hidden])
            found = as_sets(graph.with_hidden(*hidden).backdoor_sets(("A", "B"), "C", s))
            assert found == want
            kinds["refused"] += not want
            kinds["needed"] += bool(want and frozenset() not in want)
            kinds["descendant"] += any(z & descendants(edges, "AB") for z in want)
    assert min(kinds.values()) > 0, kinds


def test_a_joint_treatment_may_need_a_descendant_of_one():
    graph = CausalGraph(
        [("X1", "A"), ("A", "M"), ("M", "X2"), ("U", "M"), ("U", "Y"), ("X1", "Y"), ("X2", "Y")],
        hidden="U",
    )
    assert graph.backdoor_sets(("X1", "X2"), "Y") == (("A", "M"),)
    assert graph.with_observed("U").backdoor_sets(("X1", "X2"), "Y") == (("U",), ("A", "M"))


def test_a_subgroup_may_call_for_what_only_it_depends_on():
    """M causes neither treatment nor outcome, and has to be adjusted for within S1 and S2."""
    graph = CausalGraph(
        [
            ("U1", "T"),
            ("U1", "S1"),
            ("M", "S1"),
            ("M", "S2"),
            ("U2", "S2"),
            ("U2", "Y"),
            ("T", "Y"),
        ],
        hidden=("U1", "U2"),
    )
    assert graph.backdoor_sets("T", "Y") == ((),)
    assert graph.backdoor_sets("T", "Y", given=("S1", "S2")) == (("M",),)
    assert str(graph.identify("T", "Y", given=("S1", "S2"))) == (
        "Adjusting for M identifies the effect of T on Y within levels of S1 and S2: "
        "P(Y | do(T), S1, S2) = Σ_M P(Y | T, M, S1, S2) P(M | S1, S2)."
    )
    hidden = graph.with_hidden("M").identify("T", "Y", given=("S1", "S2"))
    assert str(hidden.open_path) == "T ← U1 → S1 ← M → S2 ← U2 → Y"
    assert hidden.close_by == (("U1",), ("M",), ("U2",))


def test_names_and_order_do_not_matter():
    rng = np.random.default_rng(4)
    for _ in range(60):
        edges = random_dag(rng, "ABCDEF", 0.5)
        graph = make(edges, "F", "ABCDEF")
        new = dict(zip("ABCDEF", rng.permutation([f"n{i}" for i in range(6)]).tolist()))
        again = CausalGraph(
            [(new[a], new[b]) for a, b in rng.permutation(edges).tolist()],
            hidden=new["F"],
            nodes=sorted(new.values()),
        )
        for t, y in (("A", "B"), (("A", "B"), "C")):
            one, two = graph.identify(t, y), again.identify([new[n] for n in t], new[y])
            assert type(one) is type(two)
            for name in ("sets",) if isinstance(one, Identified) else ("close_by", "randomise"):
                assert {frozenset(new[n] for n in z) for z in getattr(one, name)} == as_sets(
                    getattr(two, name)
                )
            if isinstance(one, Refused) and one.open_path:
                assert len(one.open_path) == len(two.open_path)
                assert len(one.open_path.colliders) == len(two.open_path.colliders)


# -- effects: refusals -----------------------------------------------------


def check_refusal(graph, t, y):
    """A refusal's path, and what it says would help, against trying everything."""
    t = tuple(t)
    answer = graph.identify(t, y)
    if isinstance(answer, Identified):
        assert answer.sets == graph.backdoor_sets(t, y) != ()
        return None
    works = lambda g: bool(g.backdoor_sets(t, y))
    helps = [h for h in subsets(graph.hidden) if works(graph.with_observed(*h))]
    assert as_sets(answer.close_by) == minimal(helps)
    helps = [h for h in subsets(t) if h and works(graph.do(*h))]
    assert as_sets(answer.randomise) == minimal(helps)
    path, edges = answer.open_path, set(graph.edges)
    assert path is not None and not path.causal and str(path) in str(answer)
    assert path.nodes[0] in t and path.nodes[-1] in y
    assert not set(path.nodes[1:]) & set(t)
    assert all(
        ((a, b) if arrow == "→" else (b, a)) in edges
        for a, arrow, b in zip(path.nodes, path.arrows, path.nodes[1:])
    )
    seen = set(graph.observed if answer.close_by else graph.nodes) - {*t, *y}
    left_open = [not blocked(edges, path.nodes, z) for z in subsets(seen)]
    assert any(left_open)
    if answer.close_by and not path.colliders:
        allowed = seen - descendants(edges, t)
        assert all(not blocked(edges, path.nodes, z) for z in subsets(allowed))
    return answer


@pytest.mark.parametrize(
    ("t", "y", "hidden"),
    [("A", "B", ""), ("A", "B", "C"), ("A", "B", "D"), ("A", "B", "CD"), ("AB", "C", "D")],
)
def test_refusals_on_every_graph(t, y, hidden):
    """That no observed set would do is settled above; here what the refusal adds."""
    refused = [answer for edges in FOUR if (answer := check_refusal(make(edges, hidden), t, y))]
    assert refused
    if len(t) == 1:  # the parents of one treatment are a backdoor set, unless the outcome is one
        assert all((r.close_by == ()) == (r.open_path.nodes == ("A", "B")) for r in refused)


def test_refusals_in_larger_graphs():
    rng = np.random.default_rng(5)
    found = [
        check_refusal(make(random_dag(rng, "ABCDEFG", 0.4), hidden, "ABCDEFG"), t, y)
        for _ in range(40)
        for hidden in ("DE", "DEFG")
        for t, y in (("A", "B"), ("AB", "C"))
    ]
    assert any(r and r.close_by for r in found)
    assert any(r and r.open_path.colliders for r in found)


def test_refusal_where_adjusting_opens_a_path():
    edges = [("U1", "T"), ("U1", "M"), ("U2", "M"), ("U2", "Y"), ("T", "Y")]
    graph = CausalGraph(edges, hidden=("U1", "U2"))
    assert graph.identify("T", "Y").sets == ((),)
    within = graph.identify("T", "Y", given="M")
    assert str(within.open_path) == "T ← U1 → M ← U2 → Y"
    assert within.close_by == (("U1",), ("U2",))
    assert "within levels of M" in str(within) and "once M is held fixed" in str(within)
    both = CausalGraph([*edges, ("M", "T"), ("M", "Y")], hidden=("U1", "U2")).identify("T", "Y")
    assert both.open_path.colliders == ("M",)
    assert "once M is held fixed, and without M another path is open" in str(both)
    assert "Observing U1 or U2 would be enough." in str(both)


def test_refusal_that_no_observation_lifts():
    steps = CausalGraph([("X1", "M"), ("M", "X2"), ("M", "Y"), ("X1", "Y"), ("X2", "Y")])
    answer = steps.identify(("X1", "X2"), "Y")
    assert (str(answer.open_path), answer.close_by) == ("X2 ← M → Y", ())
    assert answer.randomise == (("X2",),)
    assert "Observing more variables would not help. Assigning X2 at random would" in str(answer)
    back = CausalGraph([("Y", "T")]).identify("T", "Y")
    assert (str(back.open_path), back.close_by) == ("T ← Y", ())
    assert "the outcome is a cause of the treatment" in str(back)
    assert "there is no effect" in str(back)
    idle = CausalGraph([("U", "T1"), ("U", "Y"), ("T2", "Y")], "U").identify(("T1", "T2"), "Y")
    assert "No directed path leads from T1 to Y but through other treatments" in str(idle)


def test_refusal_of_what_is_not_observed():
    """Observing it is then part of what would help."""
    graph = CausalGraph([("U", "T"), ("U", "Y"), ("T", "Y"), ("S", "Y")], hidden=("U", "T", "S"))
    assert graph.backdoor_sets("T", "Y") == ()
    answer = graph.identify("T", "Y", given="S")
    assert answer.close_by == (("U", "T", "S"),) and answer.randomise == ()
    assert "T and S are not observed; besides, T ← U → Y is open" in str(answer)
    assert graph.with_observed("U", "T", "S").identify("T", "Y", given="S").sets == (("U",),)
    alone = CausalGraph([("T", "Y")], hidden="Y").identify("T", "Y")
    assert (alone.open_path, alone.close_by) == (None, (("Y",),))


def test_the_front_door_is_another_matter():
    """The docstring says so: adjustment fails where another formula would not."""
    graph = CausalGraph([("U", "T"), ("U", "Y"), ("T", "M"), ("M", "Y")], hidden="U")
    assert isinstance(graph.identify("T", "Y"), Refused)
    assert graph.identify("T", "M").sets == ((),) and graph.identify("M", "Y").sets == (("T",),)


# -- the paper -------------------------------------------------------------


def test_unconfounded_without_user_or_with_dealt_prompts():
    """Assumption 2 and proposition 1 in figures 1 and 2b."""
    for key in ("1", "2b"):
        answer = FIGURES[key].identify(TEXTS, "L")
        assert answer.sets == ((),)
        assert str(answer).endswith("P(L | do(X, Y, Y')) = P(L | X, Y, Y').")


def test_self_written_prompts_confound():
    """Figure 2a, example 1 and what section 3.1 asks for instead."""
    graph = FIGURES["2a"]
    answer = graph.identify(TEXTS, "L")
    assert isinstance(answer, Refused)
    assert str(answer.open_path) == "X ← C → R → L"
    assert answer.close_by == (("C",),) and answer.randomise == (("X",),)
    assert str(answer) == (
        "No adjustment identifies the effect of X, Y and Y' on L: X ← C → R → L is open, and no "
        "observed variable can block it. Observing C would be enough. So would assigning X at "
        "random, which cuts the arrows into it."
    )
    seen = graph.with_observed("C")
    assert seen.backdoor_sets(TEXTS, "L") == (("C",),)
    assert str(seen.identify(TEXTS, "L")).endswith(
        "P(L | do(X, Y, Y')) = Σ_C P(L | X, Y, Y', C) P(C)."
    )
    assert graph.identify(TEXTS, "L", given="C").close_by == (("C",),)
    within = seen.identify(TEXTS, "L", given="C")
    assert within.sets == ((),)
    assert str(within).endswith("P(L | do(X, Y, Y'), C) = P(L | X, Y, Y', C).")


def test_responses_alone_are_settled_by_the_prompt():
    for graph in (FIGURES["2a"], FIGURES["2a"].with_observed("C")):
        assert graph.backdoor_sets(("Y", "Y'"), "L") == (("X",),)
    assert FIGURES["2a"].identify(("Y", "Y'"), "L", given="X").sets == ((),)


def test_responses_are_independent_given_the_prompt():
    """Section 3: the one thing that the texts of figures 1 and 2 imply."""
    for key in ("1", "2a", "2b"):
        assert list(map(str, FIGURES[key].independencies())) == ["Y ⊥ Y' | X"]


def test_latents_screen_off_the_texts():
    """Figure 3 and assumption 4."""
    graph = FIGURES["3"]
    assert graph.d_separated("R", ("X", "Y"), given=("Z^X", "Z^T"))
    assert not graph.d_separated("R", ("X", "Y"), given="Z^T")
    seen = graph.with_observed("Z^X", "Z^T", "R")
    assert seen.backdoor_sets("Z^T", "R") == (("X",), ("Z^X",))
    assert seen.backdoor_sets(("Z^X", "Z^T"), "R") == ((),)
    assert "Z^T and R are not observed" in str(graph.identify("Z^T", "R"))
    late = seen.identify(("X", "Y"), "R", given="Z^T")
    assert "Z^T comes after the treatment (X → Z^T)" in str(late)


def test_setting_the_prompt_cuts_the_objective_off():
    """Figure 4: what is predicted under do(X), and why C was recorded."""
    graph = FIGURES["4"].with_observed("R")
    assert graph.hidden == ("Z",)
    assert graph.backdoor_sets(("X", "Y"), "R") == (("C",),)
    done = graph.do("X")
    assert done.cut == (("C", "X"),) and ("C", "X") not in done.edges
    assert done.backdoor_sets(("X", "Y"), "R") == ((),)
    assert not graph.d_separated("X", "C") and done.d_separated("X", "C")


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_graphs(name):
    """The confounded ones are refused until C is observed."""
    latent = {"Z^X", "Z^T", "Z'^T", "R", "R'", "C"}
    edges = EXAMPLES[name].graph
    graph = CausalGraph(edges, hidden=latent & {n for e in edges for n in e})
    assert graph.observed == ("X", "Y", "Y'", "L")
    answer = graph.identify(TEXTS, "L")
    if name in ("1", "4"):
        assert answer.close_by == (("C",),) and answer.open_path.nodes[:2] == ("X", "C")
        assert graph.with_observed("C").backdoor_sets(TEXTS, "L") == (("C",),)
    else:
        assert answer.sets == ((),)


# -- the object ------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(edges=[("A", "B"), ("B", "C"), ("C", "A")]), "cycle, A → B → C → A"),
        (dict(edges=[("A", "B"), ("B", "A")]), "cycle, A → B → A"),
        (dict(edges=[("A", "B"), ("B", "B")]), r"edges\[1\] leads from 'B' to itself"),
        (dict(edges=[("A", "B"), ("B", "C"), ("A", "B")]), r"edges\[2\] repeats edges\[0\], A → B"),
        (dict(edges=["AB"]), r"edges\[0\] = 'AB' is no arrow"),
        (dict(edges=[("A", "B", "C")]), "expected a pair of names"),
        (dict(edges=[("A", 1)]), "expected a pair of names"),
        (dict(edges=[("A", "B")], nodes=[3]), "node 3 is no name"),
        (dict(edges=[]), "at least one node"),
        (
            dict(edges=[("A", "B")], hidden="U"),
            r"hidden: 'U' is not a node of the graph \(known: A, B",
        ),
        (dict(edges=[("A", "B")], words={"U": "user"}), "words: 'U' is not a node"),
        (
            dict(edges=[("A", "B")], positions={"A": (0, 0), "B": (1, 0), "U": (2, 0)}),
            "positions: 'U' is not a node",
        ),
        (dict(edges=[("A", "B")], positions={"A": (0, 0)}), "positions lack B"),
        (dict(edges=[("A", "B")], positions={"A": (0, 0), "B": 3}), "expected two finite numbers"),
        (dict(edges=[("A", "B")], cut=[("A", "B")]), r"cut\[0\] = A → B is also among the edges"),
    ],
)
def test_what_is_no_graph(arguments, words):
    with pytest.raises(ValueError, match=words):
        CausalGraph(**arguments)


def test_questions_that_make_no_sense():
    graph = FIGURES["2a"]
    known = r"\(known: X, Y, Y', R, R', L, C\)"
    with pytest.raises(ValueError, match=f"treatment: 'Q' is not a node of the graph {known}"):
        graph.identify("Q", "L")
    with pytest.raises(ValueError, match="outcome is empty: name at least one"):
        graph.backdoor_sets("X", ())
    with pytest.raises(ValueError, match="'X' is named in treatment and in given"):
        graph.identify(TEXTS, "L", given="X")
    with pytest.raises(ValueError, match="'X' is named in a and in b"):
        graph.d_separated("X", ("X", "Y"))
    with pytest.raises(ValueError, match="given: 'Z' is not a node"):
        graph.open_paths("X", "Y", given="Z")
    with pytest.raises(ValueError, match="nodes: 'Z' is not a node"):
        graph.with_observed("Z")
    with pytest.raises(ValueError, match="nodes is empty"):
        graph.do()


def test_do_cuts_and_remembers():
    graph = FIGURES["2a"]
    once = graph.do("Y").do("Y'")
    assert once.cut == (("X", "Y"), ("X", "Y'")) == graph.do("Y'", "Y").cut
    assert set(once.edges) | set(once.cut) == set(graph.edges)
    assert once.nodes == graph.nodes and once.layout() == graph.layout()
    assert once.title == "Self-written prompts, do(Y), do(Y')"
    assert graph.cut == (), "the graph itself stays"
    lone = CausalGraph([("A", "B")]).do("B")
    assert lone.nodes == ("A", "B") and lone.d_separated("A", "B")
    assert str(lone) == "A causal graph, do(B): A, B; cut: A → B"


def test_hide_and_observe():
    graph = FIGURES["1"]
    assert graph.observed == ("X", "Y", "Y'", "L")
    assert graph.with_observed("R").hidden == ("R'",)
    assert graph.with_observed("R", "R'").with_hidden("R'", "R") == graph
    assert hash(graph) == hash(graph.with_observed("X")) and graph != FIGURES["2a"]
    assert pickle.loads(pickle.dumps(graph)) == graph


def test_printing():
    assert str(Path(("X", "C", "R"), ("←", "→"))) == "X ← C → R"
    assert list(Path(("X", "C", "R"), ("→", "←"))) == ["X", "C", "R"]
    assert Path(("X", "C", "R"), ("→", "←")).colliders == ("C",)
    assert str(Independence("Y", "Y'", ("X",))) == "Y ⊥ Y' | X"
    assert str(Independence("X", "C")) == "X ⊥ C"
    assert str(CausalGraph([("C", "X")], hidden="C", title="t")) == "t: C → X; hidden: C"
    two = CausalGraph(
        [("A", "T"), ("B", "A"), ("B", "Y"), ("C", "T"), ("D", "C"), ("D", "Y"), ("T", "Y")],
        hidden=("A", "D"),
    )
    assert str(two.identify("T", "Y")) == (
        "Adjusting for B and C identifies the effect of T on Y: "
        "P(Y | do(T)) = Σ_{B, C} P(Y | T, B, C) P(B, C)."
    )
    assert doctest.testmod(module).failed == 0


def test_pretty_names():
    assert list(map(pretty, ("X", "Y'", "Z^X", "Z^T", "Z'^T", "Z_1", "z_12^t", "Zˣ"))) == [
        "X",
        "Y′",
        "Zˣ",
        "Zᵀ",
        "Z′ᵀ",
        "Z₁",
        "z₁₂ᵗ",
        "Zˣ",
    ]
    assert list(map(pretty, ("a^Q", "a_b", "_1", "a^"))) == ["a^Q", "a_b", "_1", "a^"]


def test_layout_keeps_arrows_clear_of_nodes():
    for edges in FOUR:
        at = make(edges).layout()
        assert len(set(at.values())) == 4
        for a, b in edges:
            assert at[a][0] < at[b][0], "causes stand to the left"
            for n in set("ABCD") - {a, b}:
                share = np.linspace(0, 1, 201)[:, None]
                line = np.array(at[a]) * (1 - share) + np.array(at[b]) * share
                assert np.hypot(*(line - at[n]).T).min() > 0.3, (edges, n)


# -- drawing ---------------------------------------------------------------


def rows(chart, column):
    """The rows of a chart that have this column."""
    return [r for table in chart["datasets"].values() for r in table if column in r]


def test_chart_of_a_graph_is_the_chart_of_its_parts():
    for graph in (*FIGURES.values(), FIGURES["4"].do("X"), FIGURES["2a"].do("Y", "Y'")):
        by_hand = figures.causal_graph(
            [*graph.edges, *graph.cut],
            graph.positions,
            hidden=graph.hidden,
            cut=graph.cut,
            words=graph.words,
            title=graph.title,
        )
        assert figures.causal_graph(graph).to_dict() == by_hand.to_dict()


def test_chart_of_figure_4():
    chart = figures.causal_graph(FIGURES["4"].do("X")).to_dict()
    assert chart["title"]["text"] == "The case study, do(X)"
    assert "Cut: C to X." in chart["description"]
    assert "not observed, Z, R" in chart["description"]
    assert [r["observed"] for r in rows(chart, "node")] == [True, True, False, False, True]
    assert sum(r["cut"] for r in rows(chart, "cut")) == 1
    names = {r["node"] for r in rows(figures.causal_graph(FIGURES["3"]).to_dict(), "node")}
    assert names == {"X", "Y", "Zˣ", "Zᵀ", "R"}


def test_chart_takes_other_places_words_and_title():
    graph = CausalGraph([("A", "B"), ("B", "C"), ("A", "C")], nodes=("A", "B", "C", "D"))
    chart = figures.causal_graph(graph).to_dict()
    assert {r["node"]: (r["x"], r["y"]) for r in rows(chart, "node")} == graph.layout()
    chart = figures.causal_graph(
        graph, dict.fromkeys("ABCDE", (0, 0)) | {"B": (1, 2)}, title="t", words={"A": "a"}
    ).to_dict()
    assert chart["title"]["text"] == "t"
    assert {(r["node"], r["x"], r["words"]) for r in rows(chart, "node")} == {
        ("A", 0, "a"),
        ("B", 1, ""),
        ("C", 0, ""),
        ("D", 0, ""),
    }
    assert json.dumps(figures.causal_graph(make([])).to_dict())


def test_chart_refuses():
    graph = FIGURES["1"]
    with pytest.raises(ValueError, match="hidden and cut come from the graph"):
        figures.causal_graph(graph, hidden=("X",))
    with pytest.raises(ValueError, match="node 'Y' has no position"):
        figures.causal_graph(graph, {"X": (0, 0)})
    with pytest.raises(ValueError, match="positions are missing"):
        figures.causal_graph([("A", "B")])
    with pytest.raises(ValueError, match="node 'B' has no position"):
        figures.causal_graph([("A", "B")], {"A": (0, 0)})
    with pytest.raises(ValueError, match="cut edge .* is not among the edges"):
        figures.causal_graph([("A", "B")], {"A": (0, 0), "B": (1, 0)}, cut=(("B", "A"),))
