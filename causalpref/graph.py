"""Causal graphs: what they imply, what to adjust for, and why a question is refused.

A graph states assumptions: an arrow for each direct influence, and which variables are
observed. From these alone follows which variables are independent given which
(d-separation), and whether the observed distribution gives the effect of a treatment by
adjustment. The paper's figures 1 to 4 are in :data:`FIGURES`.

    >>> texts = ("X", "Y", "Y'")
    >>> print(FIGURES["2a"].identify(texts, "L"))  # doctest: +NORMALIZE_WHITESPACE
    No adjustment identifies the effect of X, Y and Y' on L: X ← C → R → L is open, and no
    observed variable can block it. Observing C would be enough. So would assigning X at
    random, which cuts the arrows into it.
    >>> FIGURES["2a"].with_observed("C").identify(texts, "L").sets
    (('C',),)

Sets are found by trying subsets and paths by walking all of them. That is meant for graphs
that a person draws: a dozen nodes take a fraction of a second, two dozen may take minutes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations, permutations

import networkx as nx

__all__ = ["FIGURES", "CausalGraph", "Identified", "Independence", "Path", "Refused", "pretty"]

# networkx 3.2 has the same function under its old name.
_is_d_separator = getattr(nx, "is_d_separator", None) or getattr(nx, "d_separated")  # noqa: B009


# -- answers ---------------------------------------------------------------


@dataclass(frozen=True)
class Path:
    """A path between two nodes, whichever way its arrows point. Prints as ``X ← C → R``.

    Parameters
    ----------
    nodes : tuple of str
        No node twice.
    arrows : tuple of {"→", "←"}
        One between each two neighbours.
    """

    nodes: tuple[str, ...]
    arrows: tuple[str, ...]

    def __str__(self) -> str:
        return self.nodes[0] + "".join(f" {a} {n}" for a, n in zip(self.arrows, self.nodes[1:]))

    def __iter__(self) -> Iterator[str]:
        return iter(self.nodes)

    def __len__(self) -> int:
        """Number of nodes."""
        return len(self.nodes)

    @property
    def colliders(self) -> tuple[str, ...]:
        """Nodes that both neighbours point to."""
        return tuple(
            n
            for n, left, right in zip(self.nodes[1:], self.arrows, self.arrows[1:])
            if (left, right) == ("→", "←")
        )

    @property
    def causal(self) -> bool:
        """Whether all arrows point from the first node to the last."""
        return set(self.arrows) == {"→"}


@dataclass(frozen=True)
class Independence:
    """A conditional independence that a graph implies. Prints as ``Y ⊥ Y' | X``.

    Parameters
    ----------
    a, b : str
    given : tuple of str
        A minimal separating set: no proper subset of it separates ``a`` from ``b``.
    """

    a: str
    b: str
    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.a} ⊥ {self.b}" + (f" | {', '.join(self.given)}" if self.given else "")


@dataclass(frozen=True)
class Identified:
    """An effect that adjustment gives. Prints as its sentence.

    Parameters
    ----------
    treatment, outcome, given : tuple of str
        What was asked, in the order of the graph's nodes.
    sets : tuple of tuple of str
        All minimal sets to adjust for besides ``given``, smallest first; ``((),)`` when
        nothing else is needed.
    sentence : str
        With the formula for the first set. It also takes positivity: P(treatment | set,
        given) > 0 (assumption 3 and its conditional form).
    """

    treatment: tuple[str, ...]
    outcome: tuple[str, ...]
    given: tuple[str, ...]
    sets: tuple[tuple[str, ...], ...]
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True)
class Refused:
    """An effect that no adjustment for observed variables gives. Prints as its sentence.

    Parameters
    ----------
    treatment, outcome, given : tuple of str
        What was asked, in the order of the graph's nodes.
    open_path : Path or None
        A non-causal path from treatment to outcome that stays open after adjusting for all
        observed variables that could help; if ``close_by`` is empty, after adjusting for
        all variables that could help, hidden ones included. None if paths are not what is
        in the way: something asked about is hidden, or ``given`` comes after the treatment.
    close_by : tuple of tuple of str
        All minimal sets of hidden nodes that, once observed, make a backdoor set exist.
        Empty if none does.
    randomise : tuple of tuple of str
        All minimal sets of treatments that, once assigned at random, make one exist.
    sentence : str
    """

    treatment: tuple[str, ...]
    outcome: tuple[str, ...]
    given: tuple[str, ...]
    open_path: Path | None
    close_by: tuple[tuple[str, ...], ...]
    randomise: tuple[tuple[str, ...], ...]
    sentence: str

    def __str__(self) -> str:
        return self.sentence


# -- the graph -------------------------------------------------------------


@dataclass(frozen=True, init=False)
class CausalGraph:
    """A directed acyclic graph of variables, some of them not observed.

    Wherever a method takes nodes, one name or several will do. Graphs are equal if they have
    the same nodes, edges, hidden nodes and cut edges, each in the same order.

    Parameters
    ----------
    edges : sequence of (str, str)
        Arrows, from and to.
    hidden : str or sequence of str
        Nodes that are not observed.
    positions : mapping of str to (float, float), optional
        Where each node stands, in any unit: x to the right, y upwards. Default: see
        :meth:`layout`.
    words : mapping of str to str, optional
        A word or two under a node.
    title : str
    nodes : sequence of str, optional
        All nodes or some, in the order in which answers list them; needed for a node without
        arrows. Default: in order of appearance in ``edges``.
    cut : sequence of (str, str)
        Arrows that an intervention took away: drawn, and no part of the graph. :meth:`do`
        fills this in.

    Raises
    ------
    ValueError
        A cycle, an edge that is repeated, leads back to its own node or is no pair of names,
        a graph without nodes; a hidden, positioned or named node that does not exist, a
        node without a position; a cut edge that is still there.

    Examples
    --------
    >>> graph = CausalGraph([("C", "X"), ("C", "R"), ("X", "R")], hidden="C")
    >>> print(*graph.open_paths("X", "R"), sep="; ")
    X → R; X ← C → R
    >>> graph.d_separated("X", "R", given="C")
    False
    """

    edges: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...]
    positions: Mapping[str, tuple[float, float]] | None = field(repr=False, compare=False)
    words: Mapping[str, str] = field(repr=False, compare=False)
    title: str = field(compare=False)
    nodes: tuple[str, ...]
    cut: tuple[tuple[str, str], ...]
    _dag: nx.DiGraph[str] = field(init=False, repr=False, compare=False)

    def __init__(
        self,
        edges: Iterable[tuple[str, str]],
        hidden: str | Iterable[str] = (),
        positions: Mapping[str, tuple[float, float]] | None = None,
        words: Mapping[str, str] | None = None,
        title: str = "A causal graph",
        nodes: str | Iterable[str] = (),
        cut: Iterable[tuple[str, str]] = (),
    ) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)
        put("edges", _edges("edges", edges))
        put("cut", _edges("cut", cut))
        put("title", title)
        for row, edge in enumerate(self.cut):
            if edge in self.edges:
                raise ValueError(
                    f"cut[{row}] = {_arrow(edge)} is also among the edges: an arrow "
                    "that is cut is no part of the graph"
                )
        known = dict.fromkeys(_names(nodes))
        for edge in self.edges + self.cut:
            known.update(dict.fromkeys(edge))
        put("nodes", tuple(known))
        if not self.nodes:
            raise ValueError("edges and nodes are empty: a graph needs at least one node")
        for name in self.nodes:
            if not isinstance(name, str) or not name:
                raise ValueError(f"node {name!r} is no name: expected text that is not empty")

        dag = nx.DiGraph()
        dag.add_nodes_from(self.nodes)
        dag.add_edges_from(self.edges)
        if not nx.is_directed_acyclic_graph(dag):
            cycle = [edge[0] for edge in nx.find_cycle(dag)]
            raise ValueError(
                f"edges hold a cycle, {' → '.join([*cycle, cycle[0]])}: nothing "
                "causes itself, so take out one of these arrows"
            )
        put("_dag", nx.freeze(dag))

        put("hidden", self._known("hidden", hidden))
        words = dict(words or {})
        self._known("words", words)
        put("words", words)
        put("positions", None)
        if positions is not None:
            positions = {n: _place(n, p) for n, p in positions.items()}
            self._known("positions", positions)
            missing = [n for n in self.nodes if n not in positions]
            if missing:
                raise ValueError(f"positions lack {_and(missing)}: place all nodes or none")
            put("positions", positions)

    def __str__(self) -> str:
        alone = [n for n in self.nodes if not self._dag.degree(n)]
        return (
            f"{self.title}: "
            + ", ".join([*map(_arrow, self.edges), *alone])
            + (f"; hidden: {', '.join(self.hidden)}" if self.hidden else "")
            + (f"; cut: {', '.join(map(_arrow, self.cut))}" if self.cut else "")
        )

    @property
    def observed(self) -> tuple[str, ...]:
        """Nodes that are not hidden."""
        return tuple(n for n in self.nodes if n not in self.hidden)

    def layout(self) -> dict[str, tuple[float, float]]:
        """Where to draw each node: ``positions``, or else causes left of their effects.

        Then there is a column for each topological generation, arrows that were cut included,
        and nodes move up and down in it to keep clear of arrows. Graphs of many nodes look
        better placed by hand.

        Returns
        -------
        dict of str to (float, float)
            x to the right, y upwards.
        """
        if self.positions is not None:
            return dict(self.positions)
        drawn = nx.DiGraph(self._dag)
        drawn.add_edges_from(self.cut)
        return _layout(drawn if nx.is_directed_acyclic_graph(drawn) else self._dag)

    # -- other graphs -------------------------------------------------------

    def with_observed(self, *nodes: str) -> CausalGraph:
        """The same graph with these nodes observed.

        Raises
        ------
        ValueError
            An unknown node.
        """
        seen = self._known("nodes", nodes)
        return dataclasses.replace(self, hidden=tuple(n for n in self.hidden if n not in seen))

    def with_hidden(self, *nodes: str) -> CausalGraph:
        """The same graph with these nodes hidden, besides those that are.

        Raises
        ------
        ValueError
            An unknown node.
        """
        return dataclasses.replace(self, hidden=self.hidden + self._known("nodes", nodes))

    def do(self, *nodes: str) -> CausalGraph:
        """The graph under an intervention that sets these nodes: arrows into them are cut.

        The arrows taken away are kept in ``cut`` for drawing. Figure 4 is
        ``FIGURES["4"].do("X")``, and assigning a node at random gives the same graph.

        Raises
        ------
        ValueError
            No node, or an unknown one.
        """
        fixed = self._known("nodes", nodes, at_least=1)
        return dataclasses.replace(
            self,
            edges=tuple(e for e in self.edges if e[1] not in fixed),
            cut=self.cut + tuple(e for e in self.edges if e[1] in fixed),
            title=f"{self.title}, do({', '.join(fixed)})",
        )

    # -- separation ---------------------------------------------------------

    def d_separated(
        self, a: str | Iterable[str], b: str | Iterable[str], given: str | Iterable[str] = ()
    ) -> bool:
        """Whether ``given`` blocks every path between ``a`` and ``b``.

        Then they are independent given ``given`` in every distribution that fits the graph.
        A path is blocked by a node in ``given`` that is no collider on it, and by a collider
        that is neither in ``given`` nor has a descendant there. Hidden nodes may be named.

        Raises
        ------
        ValueError
            An unknown node, one named twice, or no node for ``a`` or ``b``.
        """
        a, b, given = self._apart(a=a, b=b, given=given)
        return bool(_is_d_separator(self._dag, set(a), set(b), set(given)))

    def open_paths(
        self, a: str | Iterable[str], b: str | Iterable[str], given: str | Iterable[str] = ()
    ) -> list[Path]:
        """The paths between ``a`` and ``b`` that ``given`` leaves open, shortest first.

        There is none exactly if :meth:`d_separated`. With several nodes in ``a`` or ``b``, paths
        that run through one of them in between are left out, as a shorter one is open then.

        Raises
        ------
        ValueError
            As in :meth:`d_separated`.
        """
        a, b, given = self._apart(a=a, b=b, given=given)
        return sorted(_open_paths(self._dag, a, b, given), key=lambda p: self._rank(p))

    def independencies(self, observed_only: bool = True) -> tuple[Independence, ...]:
        """What the graph implies: for each pair, all minimal sets that make it independent.

        A pair is left out if no set separates it: two nodes joined by an arrow, and with
        hidden nodes left aside also some that are not.

        Parameters
        ----------
        observed_only : bool
            True: statements about observed nodes, which data can contradict. False: hidden
            nodes count as well.

        Returns
        -------
        tuple of Independence
            One for each pair and minimal set. Pairs are in the order of ``nodes``, sets
            smallest first.
        """
        nodes = self.observed if observed_only else self.nodes
        out = []
        for a, b in combinations(nodes, 2):
            if self._dag.has_edge(a, b) or self._dag.has_edge(b, a):
                continue
            # A minimal separating set holds ancestors of the pair only.
            near = _ancestors(self._dag, (a, b))
            rest = [n for n in nodes if n in near and n not in (a, b)]
            out += [
                Independence(a, b, z)
                for z in _minimal(
                    rest, lambda z, a=a, b=b: _is_d_separator(self._dag, {a}, {b}, set(z))
                )
            ]
        return tuple(out)

    # -- effects ------------------------------------------------------------

    def backdoor_sets(
        self,
        treatment: str | Iterable[str],
        outcome: str | Iterable[str],
        given: str | Iterable[str] = (),
    ) -> tuple[tuple[str, ...], ...]:
        r"""All minimal sets of observed nodes to adjust for, besides ``given``.

        For a set Z returned, treatment T, outcome Y and subgroup S (``given``)

            P(Y | do(T), S) = sum over z of P(Y | T, Z = z, S) P(Z = z | S),

        and for no other set of observed nodes, unless it holds one of these, does this follow
        from the graph.

        Parameters
        ----------
        treatment, outcome : str or set of str
            Several treatments are set jointly: (X, Y, Y') is the treatment of section 3.
        given : str or set of str
            Subgroup: the effect within each of its levels, E[L(x, y, y') | C = c].

        Returns
        -------
        tuple of tuple of str
            Smallest first. ``((),)``: nothing to adjust for. ``()``: no set will do; also if
            treatment, outcome or subgroup is hidden, or the subgroup is a descendant of the
            treatment. :meth:`identify` says why.

        Raises
        ------
        ValueError
            An unknown node, one named twice, or no treatment or outcome.

        Notes
        -----
        Z is taken if Z and S together satisfy the adjustment criterion of Shpitser,
        VanderWeele and Robins (2010) in the form of Perković and others (2018):

        1. none of their nodes is *forbidden*: on a causal path from T to Y that is *proper*
           (meets T only at its start), after that start, or a descendant of such a node;
        2. they block all proper paths from T to Y that are not causal.

        Given 1, 2 is d-separation of T and Y in the *proper backdoor graph*, which lacks the
        first arrow of each proper causal path (van der Zander and others, 2014). The
        criterion is sound and complete: Y(t) is independent of T given Z and S in every
        model with this graph exactly if it holds. Averaging P(Y(t) | Z, S) = P(Y | T, Z, S)
        over P(Z | S) then gives P(Y(t) | S), and that is P(Y | do(T), S), for S does not
        change with T. Conversely a set that gives the effect within each level of S gives the
        effect itself, by averaging over P(S), so completeness carries over.

        *For one treatment these are the minimal backdoor sets of Pearl*: no descendant of T,
        and every path with an arrow into T is blocked. Let Z, S hold no descendant of T. Paths
        that leave T by an arrow out and are not causal turn at a collider, a descendant of T;
        neither it nor its descendants are in Z or S, so such paths are blocked and the two
        criteria agree. It remains to see that a minimal Z of the adjustment criterion holds
        no descendant D of T. A minimal separating set holds only ancestors of T, Y and S. D
        is no ancestor of T (a cycle) or of S (S does not descend from T), so it is one of Y:
        it lies on a causal path from T to Y and is forbidden.

        With several treatments a descendant of one of them may be needed, on the way to
        another: the adjustment criterion allows that, Pearl's does not.
        """
        t, y, s = self._apart(treatment=treatment, outcome=outcome, given=given)
        if {*t, *y, *s} & {*self.hidden} or {*s} & _descendants(self._dag, t):
            return ()
        doors = _Doors(self._dag, t, y, s)
        if doors.open_paths_exist(self.observed):
            return ()
        return _minimal(self._ordered(doors.helpful(self.observed)), doors.closed_by)

    def identify(
        self,
        treatment: str | Iterable[str],
        outcome: str | Iterable[str],
        given: str | Iterable[str] = (),
    ) -> Identified | Refused:
        """Whether adjustment gives the effect of a treatment; if not, why, and what would help.

        A refusal concerns adjustment, the only formula tried here. Another one may still give
        the effect from observed variables, such as the front door formula.

        Parameters
        ----------
        treatment, outcome : str or set of str
            Several treatments are set jointly: (X, Y, Y') is the treatment of section 3.
        given : str or set of str
            Subgroup, such as C: the effect within each of its levels (section 3.1). A
            descendant of the treatment is refused.

        Returns
        -------
        Identified or Refused

        Raises
        ------
        ValueError
            An unknown node, one named twice, or no treatment or outcome.

        Examples
        --------
        >>> FIGURES["2a"].identify(("Y", "Y'"), "L").sets
        (('X',),)
        """
        t, y, s = self._apart(treatment=treatment, outcome=outcome, given=given)
        late = self._ordered({*s} & _descendants(self._dag, t))
        if late:
            way = min(
                (
                    nx.shortest_path(self._dag, a, late[0])
                    for a in t
                    if nx.has_path(self._dag, a, late[0])
                ),
                key=len,
            )
            return Refused(
                t,
                y,
                s,
                None,
                (),
                (),
                (
                    f"The effect of {_and(t)} on {_and(y)} within levels of {_and(s)} is refused: "
                    f"{late[0]} comes after the treatment ({' → '.join(way)}), so who is in the "
                    "subgroup depends on the treatment itself. Take a subgroup that the treatment "
                    "cannot change."
                ),
            )
        doors = _Doors(self._dag, t, y, s)
        sets = self.backdoor_sets(t, y, s)
        if sets:
            return Identified(t, y, s, sets, _say_identified(doors, sets))

        unseen = self._ordered({*t, *y, *s} & {*self.hidden})
        seen = {*self.observed, *unseen}
        others = self._ordered(doors.helpful(self.hidden))
        more = _minimal(others, lambda z: not doors.open_paths_exist(seen.union(z)))
        close_by = tuple(self._ordered({*unseen, *z}) for z in more)
        randomise = (
            () if unseen else _minimal(t, lambda z: bool(z and self.do(*z).backdoor_sets(t, y, s)))
        )
        path = openers = None
        if () not in more:
            held = doors.helpful(seen if more else self.nodes)
            path = min(doors.open_paths(held), key=lambda p: (len(p.colliders), *self._rank(p)))
            openers = self._ordered(_descendants(self._dag, path.colliders) & {*held, *s})
        return Refused(
            t,
            y,
            s,
            path,
            close_by,
            randomise,
            _say_refused(doors, unseen, path, openers or (), close_by, randomise),
        )

    # -- names --------------------------------------------------------------

    def _known(
        self, argument: str, names: str | Iterable[str], *, at_least: int = 0
    ) -> tuple[str, ...]:
        """Names in the order of the graph, each once."""
        names = _names(names)
        for name in names:
            if name not in self.nodes:
                raise ValueError(
                    f"{argument}: {name!r} is not a node of the graph (known: "
                    f"{', '.join(self.nodes)})"
                )
        if len(names) < at_least:
            raise ValueError(
                f"{argument} is empty: name at least one node of {', '.join(self.nodes)}"
            )
        return self._ordered(names)

    def _apart(self, **arguments: str | Iterable[str]) -> list[tuple[str, ...]]:
        """Three arguments as names; the first two are not empty, and no two share one."""
        known = {k: self._known(k, v, at_least=k != "given") for k, v in arguments.items()}
        for (k, some), (other, more) in combinations(known.items(), 2):
            both = [n for n in some if n in more]
            if both:
                raise ValueError(
                    f"{both[0]!r} is named in {k} and in {other}: a node plays one "
                    "part in a question"
                )
        return list(known.values())

    def _ordered(self, names: Iterable[str]) -> tuple[str, ...]:
        names = set(names)
        return tuple(n for n in self.nodes if n in names)

    def _rank(self, path: Path) -> tuple[int, list[int]]:
        """Shortest first, then in the order of the nodes."""
        return len(path), [self.nodes.index(n) for n in path]


# -- the adjustment criterion ----------------------------------------------


class _Doors:
    """The adjustment criterion for one question; see the notes of ``backdoor_sets``."""

    def __init__(
        self, dag: nx.DiGraph[str], t: tuple[str, ...], y: tuple[str, ...], s: tuple[str, ...]
    ) -> None:
        self.t, self.y, self.s = t, y, s
        untreated = dag.subgraph(n for n in dag if n not in t)
        reached = _descendants(untreated, {c for a in t for c in dag.successors(a)} - {*t})
        on_the_way = reached & _ancestors(untreated, y)
        first = [(a, c) for a in t for c in dag.successors(a) if c in on_the_way]
        self.idle = tuple(a for a in t if a not in {e[0] for e in first})
        self.forbidden = _descendants(dag, on_the_way)
        self.graph = nx.DiGraph(dag)  # the proper backdoor graph
        self.graph.remove_edges_from(first)
        # If any set within some limits will do, its largest one made of ancestors does.
        self.near = _ancestors(self.graph, {*t, *y, *s}) - self.forbidden - {*t, *y, *s}

    def helpful(self, seen: Iterable[str]) -> set[str]:
        """Nodes among ``seen`` that a minimal set may hold."""
        return self.near & set(seen)

    def closed_by(self, z: Iterable[str]) -> bool:
        """Whether Z, free of forbidden nodes, and S satisfy the criterion."""
        return bool(_is_d_separator(self.graph, {*self.t}, {*self.y}, {*z, *self.s}))

    def open_paths_exist(self, seen: Iterable[str]) -> bool:
        """Whether no subset of ``seen`` satisfies the criterion."""
        return not self.closed_by(self.helpful(seen))

    def open_paths(self, z: Iterable[str]) -> Iterator[Path]:
        """Proper non-causal paths that Z and S leave open."""
        return _open_paths(self.graph, self.t, self.y, {*z, *self.s})


def _say_identified(doors: _Doors, sets: tuple[tuple[str, ...], ...]) -> str:
    t, y, s = (", ".join(names) for names in (doors.t, doors.y, doors.s))
    z = ", ".join(sets[0])
    within = f" within levels of {_and(doors.s)}" if s else ""
    do = f"P({y} | do({t}){', ' + s if s else ''})"
    fit = f"P({y} | {', '.join(filter(None, (t, z, s)))})"
    if z:
        over, weight = (z if len(sets[0]) == 1 else f"{{{z}}}"), (f"{z} | {s}" if s else z)
        mean = f"Σ_{over} {fit} P({weight})"
        how = f"Adjusting for {_either(sets)}"
    else:
        mean, how = fit, "No further adjustment is needed:" if s else "No adjustment is needed:"
    say = " identifies" if z else " the data identify"
    out = f"{how}{say} the effect of {_and(doors.t)} on {_and(doors.y)}{within}: {do} = {mean}."
    return out + (f" {_say_idle(doors)}" if doors.idle == doors.t else "")


def _say_refused(
    doors: _Doors,
    unseen: tuple[str, ...],
    path: Path | None,
    openers: tuple[str, ...],
    close_by: tuple[tuple[str, ...], ...],
    randomise: tuple[tuple[str, ...], ...],
) -> str:
    within = f" within levels of {_and(doors.s)}" if doors.s else ""
    why = []
    if unseen:
        why.append(f"{_and(unseen)} {'is' if len(unseen) == 1 else 'are'} not observed")
    if path is not None:
        chosen = [n for n in openers if n not in doors.s]
        blockers = [n for n in path.nodes[1:-1] if n not in path.colliders]
        opened = f"{path} is open"
        if openers:
            opened += f" once {_and(openers, 'or')} is held fixed"
        if chosen:
            opened += f", and without {_and(chosen)} another path is open"
        if close_by:
            why.append(opened if chosen else f"{opened}, and no observed variable can block it")
        elif len(path) == 2:
            why.append(
                f"in {path} the outcome is a cause of the treatment, and nothing can stand "
                "between them"
            )
        elif blockers:
            why.append(
                f"{opened}, and what could block it, {_and(blockers, 'or')}, is a "
                "consequence of the treatment on its way to the outcome"
            )
        else:
            why.append(f"{opened}, even if every variable is observed")
    out = [
        f"No adjustment identifies the effect of {_and(doors.t)} on {_and(doors.y)}{within}: "
        f"{'; besides, '.join(why)}."
    ]
    if close_by:
        out.append(f"Observing {_either(close_by)} would be enough.")
    elif path is not None:
        out.append("Observing more variables would not help.")
    if randomise:
        them = "it" if max(map(len, randomise)) == 1 else "them"
        which = _either(randomise)
        out.append(
            f"So would assigning {which} at random, which cuts the arrows into {them}."
            if close_by
            else f"Assigning {which} at random would: it cuts the arrows into {them}."
        )
    if doors.idle:
        out.append(_say_idle(doors))
    return " ".join(out)


def _say_idle(doors: _Doors) -> str:
    """On treatments without a proper causal path to the outcome."""
    if doors.idle == doors.t:
        return (
            f"No directed path leads from {_and(doors.t)} to {_and(doors.y)}: the graph says "
            "that there is no effect."
        )
    return (
        f"No directed path leads from {_and(doors.idle, 'or')} to {_and(doors.y)} but through "
        "other treatments: the same effect can be asked for without "
        f"{'it' if len(doors.idle) == 1 else 'them'}."
    )


# -- on networkx graphs ----------------------------------------------------


def _ancestors(dag: nx.DiGraph[str], nodes: Iterable[str]) -> set[str]:
    """The nodes and their ancestors."""
    nodes = set(nodes)
    return nodes.union(*(nx.ancestors(dag, n) for n in nodes))


def _descendants(dag: nx.DiGraph[str], nodes: Iterable[str]) -> set[str]:
    """The nodes and their descendants."""
    nodes = set(nodes)
    return nodes.union(*(nx.descendants(dag, n) for n in nodes))


def _open_paths(
    dag: nx.DiGraph[str], a: Iterable[str], b: Iterable[str], given: Iterable[str]
) -> Iterator[Path]:
    """Open paths from a to b that meet a and b at their ends only."""
    starts, ends, given = set(a), set(b), set(given)
    opened = _ancestors(dag, given)  # colliders that let a path through

    def walk(nodes: list[str], arrows: list[str]) -> Iterator[Path]:
        here = nodes[-1]
        if here in ends:
            yield Path(tuple(nodes), tuple(arrows))
            return
        for arrow, step in (("→", dag.successors), ("←", dag.predecessors)):
            if arrows:
                collider = (arrows[-1], arrow) == ("→", "←")
                if here not in opened if collider else here in given:
                    continue
            for there in step(here):
                if there not in nodes and there not in starts:
                    yield from walk([*nodes, there], [*arrows, arrow])

    for start in starts:
        yield from walk([start], [])


def _minimal(
    names: Iterable[str], works: Callable[[tuple[str, ...]], bool]
) -> tuple[tuple[str, ...], ...]:
    """All sets that work and have no proper subset that does, smallest first."""
    names, found = tuple(names), []
    for size in range(len(names) + 1):
        for z in combinations(names, size):
            if not any({*z} >= {*f} for f in found) and works(z):
                found.append(z)
        if found == [()]:
            break
    return tuple(found)


def _layout(dag: nx.DiGraph[str]) -> dict[str, tuple[float, float]]:
    """A column for each generation, placed so that few arrows run over a third node.

    One column at a time tries orders, spacings and shifts, while the others stand still, and
    takes what leaves the fewest nodes run over and then the least steep arrows; four rounds.
    """
    columns = [tuple(column) for column in nx.topological_generations(dag)]
    at: dict[str, tuple[float, float]] = {}

    def cost(at: dict[str, tuple[float, float]]) -> tuple[int, float]:
        over = sum(
            _distance(q, at[a], at[b]) < 0.35
            for a, b in dag.edges
            for n, q in at.items()
            if n not in (a, b)
        )
        return over, (
            sum(abs(at[a][1] - at[b][1]) for a, b in dag.edges)
            + sum(abs(y) for _, y in at.values()) / 100
        )

    def tries(x: int) -> Iterator[dict[str, tuple[float, float]]]:
        column, middle = columns[x], (len(columns[x]) - 1) / 2
        for order in permutations(column) if len(column) < 4 else [column]:
            for gap in (1.0, 2.0)[: len(column)]:
                for shift in (0, 0.5, -0.5, 1, -1, 1.5, -1.5):
                    yield {n: (float(x), (middle - i) * gap + shift) for i, n in enumerate(order)}

    for x in range(len(columns)):
        at |= next(tries(x))
    for _ in range(4):
        before = at
        for x in range(len(columns)):
            at = min((at, *(at | here for here in tries(x))), key=cost)
        if at == before:
            break
    return {n: at[n] for n in dag}


def _distance(q: tuple[float, float], a: tuple[float, float], b: tuple[float, float]) -> float:
    """From a point to the segment from a to b."""
    (dx, dy), (qx, qy) = (b[0] - a[0], b[1] - a[1]), (q[0] - a[0], q[1] - a[1])
    along = min(1.0, max(0.0, (dx * qx + dy * qy) / (dx * dx + dy * dy)))
    return math.hypot(qx - along * dx, qy - along * dy)


# -- names and numbers given -----------------------------------------------


def _names(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _and(names: Iterable[str], word: str = "and") -> str:
    *some, last = names
    return f"{', '.join(some)} {word} {last}" if some else last


def _either(sets: Iterable[tuple[str, ...]]) -> str:
    """Sets of names as alternatives: ``C``, ``C or D``, ``C, or D and E``."""
    if all(len(z) == 1 for z in sets):
        return _and([z[0] for z in sets], "or")
    return ", or ".join(_and(z) for z in sets)


def _arrow(edge: tuple[str, str]) -> str:
    return f"{edge[0]} → {edge[1]}"


def _edges(argument: str, edges: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    out: dict[tuple[str, str], int] = {}
    for row, edge in enumerate(edges):
        pair = (edge,) if isinstance(edge, str) else tuple(edge)
        if len(pair) != 2 or not all(isinstance(n, str) and n for n in pair):
            raise ValueError(
                f"{argument}[{row}] = {edge!r} is no arrow: expected a pair of names, (from, to)"
            )
        if pair[0] == pair[1]:
            raise ValueError(
                f"{argument}[{row}] leads from {pair[0]!r} to itself: nothing causes itself"
            )
        if pair in out:
            raise ValueError(
                f"{argument}[{row}] repeats {argument}[{out[pair]}], {_arrow(pair)}: "
                "state an arrow once"
            )
        out[pair] = row
    return tuple(out)


def _place(node: str, position: tuple[float, float]) -> tuple[float, float]:
    try:
        x, y = map(float, position)
    except (TypeError, ValueError):
        x = y = math.nan
    if not math.isfinite(x + y):
        raise ValueError(
            f"positions[{node!r}] is {position!r}, expected two finite numbers, x to "
            "the right and y upwards"
        )
    return x, y


_RAISED = str.maketrans(
    "0123456789+-ABDEGHIJKLMNOPRTUVWXYabcdefghijklmnoprstuvwxyz",
    "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂˣʸᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ",
)
_LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def pretty(name: str) -> str:
    """A node's name as it is drawn: ``Z'^T`` becomes ``Z′ᵀ``, ``Z_1`` becomes ``Z₁``.

    Parameters
    ----------
    name : str
        After ``^`` what to raise, after ``_`` a number to lower. What Unicode cannot raise
        stays as it is.
    """
    body, caret, top = name.partition("^")
    stem, bar, number = body.rpartition("_")
    if bar and stem and number.isascii() and number.isdigit():
        body = stem + number.translate(_LOWERED)
    if caret and top and all(ord(c) in _RAISED for c in top):
        caret, top = "", top.translate(_RAISED)
    return (body + caret + top).replace("'", "′")


# -- the paper's figures ---------------------------------------------------

_PAIR = (
    ("X", "Y"),
    ("X", "Y'"),
    ("X", "R"),
    ("Y", "R"),
    ("X", "R'"),
    ("Y'", "R'"),
    ("R", "L"),
    ("R'", "L"),
)
_PLACES = {"X": (0, 1), "Y": (1, 2), "Y'": (1, 0), "R": (2, 2), "R'": (2, 0), "L": (3, 1)}
_WORDS = {
    "X": "prompt",
    "Y": "first answer",
    "Y'": "second answer",
    "R": "reward",
    "R'": "reward",
    "L": "label",
}

FIGURES: dict[str, CausalGraph] = {
    "1": CausalGraph(_PAIR, ("R", "R'"), _PLACES, _WORDS, "The causal model of preferences"),
    "2a": CausalGraph(
        (*_PAIR, ("C", "X"), ("C", "R"), ("C", "R'")),
        ("R", "R'", "C"),
        _PLACES | {"C": (1.45, 1)},
        _WORDS | {"C": "user"},
        "Self-written prompts",
    ),
    "2b": CausalGraph(
        (*_PAIR, ("C", "R"), ("C", "R'")),
        ("R", "R'", "C"),
        _PLACES | {"C": (1.45, 1)},
        _WORDS | {"C": "user"},
        "Randomised prompts",
    ),
    "3": CausalGraph(
        (("X", "Y"), ("X", "Z^X"), ("X", "Z^T"), ("Y", "Z^T"), ("Z^X", "R"), ("Z^T", "R")),
        ("Z^X", "Z^T", "R"),
        {"X": (0, 1.2), "Y": (0.9, 0), "Z^X": (1.4, 2), "Z^T": (2.1, 0.6), "R": (3, 1.4)},
        {
            "X": "prompt",
            "Y": "response",
            "Z^X": "prompt latents",
            "Z^T": "latent treatments",
            "R": "reward",
        },
        "The latent treatment model",
    ),
    "4": CausalGraph(
        (("X", "Y"), ("X", "Z"), ("Y", "Z"), ("Z", "R"), ("C", "X"), ("C", "R")),
        ("Z", "R"),
        {"X": (0, 1), "Y": (1, 0), "Z": (2, 1), "R": (3, 1), "C": (1.5, 2)},
        {"X": "prompt", "Y": "response", "Z": "latents", "R": "reward", "C": "objective"},
        "The case study",
    ),
}
"""The paper's figures by number.

Figures 3 and 4 show one pair (X, Y), "assuming the same applies to the alternative"
(section 3.2). Figure 4 shows the intervention that cuts C → X; the graph here is the one before
it, so draw ``FIGURES["4"].do("X")``. C is hidden in figure 2 and recorded in the case study of
section 4.
"""
