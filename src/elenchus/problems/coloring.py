"""Graph colouring: give every vertex one of k colours so that no edge has equal ends ("GPT-4 Doesn't Know It's Wrong").

    question   colors 1 2 3 #1 a #2 b to a #3 c to a b #4 d to b
    solution   #1 a = 2 #2 b = 1 #3 c = 3 #4 d = 2

The question names each vertex with its edges to the vertices before it. Graphs are drawn as in the paper (2310.12397):
Erdos-Renyi graphs G(n, p), drawn again until they are planar; k is the chromatic number, computed exactly, so that a
right solution uses all k colours. The paper's graphs have 10 to 17 vertices, p = 0.4 and k of 3 or 4; the defaults here
are for a small model. Departure: here graphs are connected too, unless an option says otherwise, since a vertex without
edges asks for nothing.

A step colours one vertex; any order of vertices will do. A problem has many right solutions: which one `reference` shows
is drawn by the problem's id. A well-formed solution has one step for each vertex; so where its answer is wrong, some step
is. Problems are told apart by their labelled graph: the same graph under other letters is another problem.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import string
from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field, model_validator

from elenchus import seeds
from elenchus.critics.format import BAD, GIVES, GOOD, NONE, WORDS
from elenchus.errors import UserError
from elenchus.problems import Check, Drill, Problem, Solution

ERRORS = ("conflict", "dead", "vertex", "format")
LETTERS = string.ascii_lowercase
PATIENCE = 20_000  # graphs drawn for one problem

Graph = tuple[tuple[int, ...], ...]  # for each vertex, the vertices that an edge joins it to, in ascending order
Colors = tuple[int, ...]  # for each vertex its colour, 1 to k; 0 none yet


class Options(BaseModel):
    """The difficulty of generated graphs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_vertices: int = Field(5, ge=2, le=26, description="fewest vertices (paper: 10)")
    max_vertices: int = Field(8, ge=2, le=26, description="most vertices (paper: 17)")
    edge_probability: float = Field(0.4, gt=0, le=1, description="p of G(n, p) (paper: 0.4)")
    min_colors: int = Field(3, ge=2, le=9, description="smallest chromatic number")
    max_colors: int = Field(3, ge=2, le=9, description="largest chromatic number (paper: 4)")
    planar: bool = Field(True, description="only graphs that can be drawn without crossings (paper: true)")
    connected: bool = Field(True, description="only connected graphs (paper: false)")

    @model_validator(mode="after")
    def _ordered(self) -> Options:
        if self.min_vertices > self.max_vertices:
            raise ValueError(f"min_vertices {self.min_vertices} is above max_vertices {self.max_vertices}")
        if self.min_colors > self.max_colors:
            raise ValueError(f"min_colors {self.min_colors} is above max_colors {self.max_colors}")
        if self.min_colors > self.min_vertices:
            raise ValueError(
                f"min_colors {self.min_colors} is above min_vertices {self.min_vertices}, and no graph needs so many"
            )
        if self.planar and self.min_colors > 4:
            raise ValueError(f"min_colors {self.min_colors} with planar: four colours suffice for every planar graph")
        return self


def generate(options: Options, rng: random.Random) -> Problem:
    """Return the colouring of one random graph, its number of vertices uniform; UserError where none fits the options."""
    size = rng.randint(options.min_vertices, options.max_vertices)
    for _ in range(PATIENCE):
        pairs = itertools.combinations(range(size), 2)
        edges = [pair for pair in pairs if rng.random() < options.edge_probability]
        if options.planar and size > 2 and len(edges) > 3 * size - 6:  # Euler: spares the test most dense graphs
            continue
        graph = _graph(size, edges)
        if options.connected and not _connected(graph):
            continue
        if not options.min_colors <= _chromatic(graph) <= options.max_colors:
            continue
        if not options.planar or _planar(size, edges):
            return build(size, edges)
    raise UserError(
        f"no graph of {size} vertices in {PATIENCE} fits the options ({options}); "
        "change edge_probability, allow fewer vertices or more numbers of colors"
    )


def build(size: int, edges: list[tuple[int, int]]) -> Problem:
    """Return the problem of colouring a graph, its vertices numbered from 0; ValueError where edges are not of it."""
    wrong = [edge for edge in edges if not 0 <= min(edge) < max(edge) < size]
    if wrong:
        raise ValueError(f"no edge of a graph of {size} vertices: {wrong[0]}")
    graph = _graph(size, edges)
    colors = _chromatic(graph)
    said = [f"colors {' '.join(map(str, range(1, colors + 1)))}"]
    for v, joined in enumerate(graph):
        before = [LETTERS[u] for u in joined if u < v]
        said.append(" ".join([f"#{v + 1} {LETTERS[v]}", *(["to", *before] if before else [])]))
    prompt = " ".join(said)
    digest = hashlib.sha256(f"coloring {prompt}".encode()).hexdigest()
    meta = {"graph": [list(joined) for joined in graph], "colors": colors, "difficulty": size}
    return Problem(f"coloring-{digest[:12]}", "coloring", prompt, "", meta)


def reference(problem: Problem) -> list[str]:
    """Return the steps of a right solution, in the question's order: any of them, but always the same one.

    Which one is drawn by the problem's id: a model that learns from references learns that there are many ways.
    """
    graph, k = _read_meta(problem)
    rng, colors = seeds.rng("reference", problem.id), (0,) * len(graph)
    for v in range(len(graph)):
        colors = _with(colors, v, rng.choice(_good(graph, k, colors, v)))
    return [f"{LETTERS[v]} = {color}" for v, color in enumerate(colors)]


def render(problem: Problem, steps: list[str]) -> str:
    """Return the text of a solution with these steps."""
    return " ".join(f"#{i + 1} {step}" for i, step in enumerate(steps))


def parse(problem: Problem, text: str) -> Solution:
    """Return the steps of `text`, and as answer the colour of every vertex that they colour, in the question's order.

    Not ok unless the text is `render` of one readable step for each vertex. Whether these are the right vertices is for
    the verifiers; of two colours for one vertex the first counts, and some other vertex then has none.
    """
    graph, _ = _read_meta(problem)
    words, steps = text.split(), []
    while words[4 * len(steps) : 4 * len(steps) + 1] == [f"#{len(steps) + 1}"]:
        step = " ".join(words[4 * len(steps) + 1 : 4 * len(steps) + 4])
        if _read(problem, step) is None:
            break
        steps.append(step)
    ok = len(steps) == len(graph) and " ".join(words) == render(problem, steps)
    return Solution(tuple(steps), _answer(_after(problem, steps)) if ok else "", ok)


def check_answer(problem: Problem, answer: str) -> bool:
    """Return whether `answer` ("a 2 b 1 c 3") colours each vertex once, no edge's ends alike, with exactly the k colours."""
    graph, k = _read_meta(problem)
    words = answer.split()
    if words[::2] != list(LETTERS[: len(graph)]) or len(words) != 2 * len(graph):
        return False
    colors = words[1::2]
    proper = all(colors[u] != colors[v] for v, joined in enumerate(graph) for u in joined)
    return proper and set(colors) == {str(color) for color in range(1, k + 1)}


def check_steps(problem: Problem, steps: list[str]) -> list[Check]:
    """Return the verdict on each step, judged from the colours that the steps before it gave.

    Errors: `vertex` (the graph has no such vertex, or it has its colour), `conflict` (a neighbour has this colour), `dead`
    (no neighbour has it, but with it the vertices left cannot be coloured any more without a conflict, and before it they
    could); `format` for a step that cannot be read or for which no vertex is left. After an error the others go on: a
    conflict that is there already is not counted against them, and where no way is left every colour without a conflict
    is right. working: the vertex with its neighbours' colours ("c a 2 b 1"; the first vertex without a colour where the
    step's cannot be coloured); expected: the step's colour where it is right, else the smallest that is.
    """
    graph, k = _read_meta(problem)
    colors, checks = (0,) * len(graph), []
    for step in steps:
        read, left = _read(problem, step), [v for v, color in enumerate(colors) if not color]
        if not left:
            checks.append(Check(False, "format", NONE, NONE, NONE))
            continue
        v, claimed = read or (left[0], None)
        error = "format" if read is None else "" if v in left else "vertex"
        v = v if v in left else left[0]
        best = _good(graph, k, colors, v) or _free(graph, k, colors, v)
        if not error and claimed not in best:
            error = "dead" if claimed in _free(graph, k, colors, v) else "conflict"
        known = [f"{LETTERS[u]} {colors[u]}" for u in graph[v] if colors[u]]
        expected = claimed if not error else next(iter(best), NONE)
        said = NONE if claimed is None else str(claimed)
        checks.append(Check(not error, error, " ".join([LETTERS[v], *known]), str(expected), said))
        if error not in ("format", "vertex"):
            colors = _with(colors, v, claimed)
    return checks


def corrupt(problem: Problem, rng: random.Random, rate: float) -> list[str]:
    """Return the reference with each step wrong with probability `rate` where it can be (the first one cannot).

    Six in ten of the errors are conflicts, three are colours that leave no way to finish, one is a vertex coloured again
    in place of its own; where a kind is impossible, a conflict. Later steps keep the reference's colour where that is
    right still, else take one that is; where every colour conflicts they are wrong too.
    """
    graph, k = _read_meta(problem)
    colors, steps = (0,) * len(graph), []
    for v, planned in enumerate(_after(problem, reference(problem))):
        good, free = _good(graph, k, colors, v), _free(graph, k, colors, v)
        best = good or free or range(1, k + 1)
        spoilt = rng.random() < rate
        kind = rng.choices(("conflict", "dead", "vertex"), (60, 30, 10))[0] if spoilt else ""
        at, color = v, planned if planned in best else rng.choice(best)
        taken = [c for c in range(1, k + 1) if c not in free]
        if kind == "vertex" and any(colors):
            at = rng.choice([u for u, c in enumerate(colors) if c])
        elif kind == "dead" and good and len(good) < len(free):
            color = rng.choice([c for c in free if c not in good])
        elif kind and taken:
            color = rng.choice(taken)
        steps.append(f"{LETTERS[at]} = {color}")
        if at == v:
            colors = _with(colors, v, color)
    return steps


def error_types() -> tuple[str, ...]:
    """Return the names that Check.error can take."""
    return ERRORS


def distance(problem: Problem, steps: list[str]) -> int | None:
    """Return how many vertices are left to colour after `steps`; None where that leads to no right answer any more."""
    graph, k = _read_meta(problem)
    if any(not check.ok for check in check_steps(problem, steps)):
        return None
    colors = _after(problem, steps)
    return colors.count(0) if _finishable(graph, k, colors) else None


def vocabulary(options: Options) -> list[str]:
    """Return the words of prompts, solutions and critiques."""
    marks = [f"#{i + 1}" for i in range(options.max_vertices)]
    colors = map(str, range(1, options.max_colors + 1))
    return [*colors, *LETTERS[: options.max_vertices], "colors", "to", "=", *marks, *WORDS, *ERRORS]


def drills(options: Options, rng: random.Random) -> Drill:
    """Return six single judgements of a vertex between coloured neighbours (`#3 c a 2 b 1 -> 3 2 bad conflict`).

    The verdict can be predicted, and the expected colour where only one is free.
    """
    words: list[str] = []
    known: list[bool] = []
    for _ in range(6):
        v = rng.randrange(1, options.max_vertices)
        others = sorted(
            rng.sample([u for u in range(options.max_vertices) if u != v], min(3, options.max_vertices - 1))
        )
        joined = [(u, rng.randint(1, options.max_colors)) for u in others[: rng.randint(1, len(others))]]
        free = [c for c in range(1, options.max_colors + 1) if c not in [color for _, color in joined]]
        if not free:
            joined = joined[:1]
            free = [c for c in range(1, options.max_colors + 1) if c != joined[0][1]]
        right = rng.random() < 0.5
        claimed = rng.choice(free if right else [color for _, color in joined])
        expected = claimed if right else free[0]
        before = [f"#{v + 1}", LETTERS[v], *(word for u, color in joined for word in (LETTERS[u], str(color))), GIVES]
        unit = [str(expected), str(claimed), *([GOOD] if right else [BAD, "conflict"])]
        words += [*before, *unit]
        known += [False] * len(before) + [len(free) == 1, False] + [True] * (len(unit) - 2)
    return Drill("", " ".join(words), tuple(known))


def _graph(size: int, edges: list[tuple[int, int]]) -> Graph:
    """Return the neighbours of each vertex."""
    joined: list[set[int]] = [set() for _ in range(size)]
    for u, v in edges:
        joined[u].add(v)
        joined[v].add(u)
    return tuple(tuple(sorted(of)) for of in joined)


def _read_meta(problem: Problem) -> tuple[Graph, int]:
    """Return the graph and its number of colours."""
    return tuple(tuple(joined) for joined in problem.meta["graph"]), problem.meta["colors"]


def _connected(graph: Graph) -> bool:
    """Return whether every vertex can be reached from the first."""
    seen, todo = {0}, [0]
    while todo:
        new = set(graph[todo.pop()]) - seen
        seen |= new
        todo += new
    return len(seen) == len(graph)


def _planar(size: int, edges: list[tuple[int, int]]) -> bool:
    """Return whether the graph can be drawn in the plane without crossings."""
    import networkx

    graph = networkx.Graph(edges)
    graph.add_nodes_from(range(size))
    return networkx.check_planarity(graph)[0]


def _chromatic(graph: Graph) -> int:
    """Return the fewest colours with which the graph can be coloured."""
    empty = (0,) * len(graph)
    return next(k for k in range(1, len(graph) + 1) if _finishable(graph, k, empty))


def _free(graph: Graph, k: int, colors: Colors, v: int) -> list[int]:
    """Return the colours that no neighbour of `v` has."""
    taken = {colors[u] for u in graph[v]}
    return [color for color in range(1, k + 1) if color not in taken]


def _good(graph: Graph, k: int, colors: Colors, v: int) -> list[int]:
    """Return those of `_free` with which the vertices left can still be coloured without a new conflict."""
    return [color for color in _free(graph, k, colors, v) if _finishable(graph, k, _with(colors, v, color))]


@lru_cache(maxsize=200_000)
def _finishable(graph: Graph, k: int, colors: Colors) -> bool:
    """Return whether the vertices without a colour can be coloured so that none is like a neighbour (exact search).

    Conflicts among the vertices that are coloured already are not looked at. The vertex with the fewest free colours goes
    first, and of the colours that no vertex has yet only one is tried: they are interchangeable.
    """
    left = [(_free(graph, k, colors, v), v) for v, color in enumerate(colors) if not color]
    if not left:
        return True
    free, v = min(left, key=lambda found: (len(found[0]), -len(graph[found[1]]), found[1]))
    used = set(colors)
    fresh = [color for color in free if color not in used][:1]
    tried = [color for color in free if color in used] + fresh
    return any(_finishable(graph, k, _with(colors, v, color)) for color in tried)


def _with(colors: Colors, v: int, color: int) -> Colors:
    """Return `colors` with `v` coloured."""
    return (*colors[:v], color, *colors[v + 1 :])


def _read(problem: Problem, step: str) -> tuple[int, int] | None:
    """Return (vertex, colour) of a step's text, None where it does not say so. The vertex may be none of the graph's."""
    words = step.split(" ")
    if len(words) != 3 or words[1] != "=" or len(words[0]) != 1 or words[0] not in LETTERS:
        return None
    known = [str(color) for color in range(1, problem.meta["colors"] + 1)]
    return (LETTERS.index(words[0]), int(words[2])) if words[2] in known else None


def _after(problem: Problem, steps: list[str]) -> Colors:
    """Return each vertex's colour after readable steps; the first that a vertex gets stays."""
    colors = [0] * len(problem.meta["graph"])
    for step in steps:
        v, color = _read(problem, step)
        if v < len(colors) and not colors[v]:
            colors[v] = color
    return tuple(colors)


def _answer(colors: Colors) -> str:
    """Return a colouring as text, vertices without a colour left out."""
    return " ".join(f"{LETTERS[v]} {color}" for v, color in enumerate(colors) if color)
