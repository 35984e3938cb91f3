"""Graphs and their colourings: planarity, the chromatic number, and an exact search for what can still be finished."""

from __future__ import annotations

from functools import lru_cache

Graph = tuple[tuple[int, ...], ...]  # for each vertex, the vertices that an edge joins it to, in ascending order
Colors = tuple[int, ...]  # for each vertex its colour, 1 to k; 0 none yet


def of_edges(size: int, edges: list[tuple[int, int]]) -> Graph:
    """Return the neighbours of each vertex."""
    joined: list[set[int]] = [set() for _ in range(size)]
    for u, v in edges:
        joined[u].add(v)
        joined[v].add(u)
    return tuple(tuple(sorted(of)) for of in joined)


def connected(graph: Graph) -> bool:
    """Return whether every vertex can be reached from the first."""
    seen, todo = {0}, [0]
    while todo:
        new = set(graph[todo.pop()]) - seen
        seen |= new
        todo += new
    return len(seen) == len(graph)


def planar(size: int, edges: list[tuple[int, int]]) -> bool:
    """Return whether the graph can be drawn in the plane without crossings."""
    import networkx

    graph = networkx.Graph(edges)
    graph.add_nodes_from(range(size))
    return networkx.check_planarity(graph)[0]


def chromatic(graph: Graph) -> int:
    """Return the fewest colours with which the graph can be coloured."""
    empty = (0,) * len(graph)
    return next(k for k in range(1, len(graph) + 1) if finishable(graph, k, empty))


def allowed(graph: Graph, k: int, colors: Colors, v: int) -> list[int]:
    """Return the colours that no neighbour of `v` has."""
    taken = {colors[u] for u in graph[v]}
    return [color for color in range(1, k + 1) if color not in taken]


def good(graph: Graph, k: int, colors: Colors, v: int) -> list[int]:
    """Return those of `allowed` with which the vertices left can still be coloured without a new conflict."""
    return [color for color in allowed(graph, k, colors, v) if finishable(graph, k, colored(colors, v, color))]


@lru_cache(maxsize=200_000)
def finishable(graph: Graph, k: int, colors: Colors) -> bool:
    """Return whether the vertices without a colour can be coloured so that none is like a neighbour (exact search).

    Conflicts among the vertices that are coloured already are not looked at. The vertex with the fewest free colours goes
    first, and of the colours that no vertex has yet only one is tried: they are interchangeable.
    """
    left = [(allowed(graph, k, colors, v), v) for v, color in enumerate(colors) if not color]
    if not left:
        return True
    free, v = min(left, key=lambda found: (len(found[0]), -len(graph[found[1]]), found[1]))
    used = set(colors)
    fresh = [color for color in free if color not in used][:1]
    tried = [color for color in free if color in used] + fresh
    return any(finishable(graph, k, colored(colors, v, color)) for color in tried)


def colored(colors: Colors, v: int, color: int) -> Colors:
    """Return `colors` with `v` coloured."""
    return (*colors[:v], color, *colors[v + 1 :])


def neighbors(graph: Graph, colors: Colors, v: int) -> tuple[tuple[int, int], ...]:
    """Return the neighbours of `v` that have a colour, with it."""
    return tuple((u, colors[u]) for u in graph[v] if colors[u])
