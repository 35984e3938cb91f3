"""Graph colouring: give every vertex one of k colours so that no edge has equal ends ("GPT-4 Doesn't Know It's Wrong").

    question   colors 1 2 3 #1 a #2 b to a #3 c to a b #4 d to b
    solution   #1 a = 2 #2 b a 2 = 1 #3 c a 2 b 1 = 3 #4 d b 1 = 2

The question names each vertex with its edges to the vertices before it. A step names its vertex, the neighbours that have
a colour with these colours, and the colour that it gives, in any order of vertices. A small model that looks up what it
needs before it decides learns the task in minutes; without the neighbours it hardly does (pass@1 0.60 against 0.14
after 300 steps of training with 5 to 7 vertices, one trial each).

Graphs are drawn as in the paper (2310.12397): Erdos-Renyi graphs G(n, p), drawn again until they are planar; k is the
chromatic number, computed exactly, so that a right solution uses all k colours. The paper's graphs have 10 to 17
vertices, p = 0.4 and k of 3 or 4; the defaults here are for a small model. Departures: graphs are connected too, unless an
option says otherwise, since a vertex without edges asks for nothing; and steps name neighbours.

A problem has many right solutions: which one `reference` shows is drawn by the problem's id. A well-formed solution has
one step for each vertex; so where its answer is wrong, some step is. Problems are told apart by their labelled graph: the
same graph under other letters is another problem.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import string

from pydantic import BaseModel, ConfigDict, Field, model_validator

from elenchus import seeds
from elenchus.critics.format import BAD, GIVES, GOOD, NONE, WORDS
from elenchus.errors import UserError
from elenchus.problems import Check, Drill, Problem, Solution
from elenchus.worlds import graphs

ERRORS = ("conflict", "neighbor", "dead", "vertex", "format")
LETTERS = string.ascii_lowercase
PATIENCE = 20_000  # graphs drawn for one problem


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
        graph = graphs.of_edges(size, edges)
        if options.connected and not graphs.connected(graph):
            continue
        if not options.min_colors <= graphs.chromatic(graph) <= options.max_colors:
            continue
        if not options.planar or graphs.planar(size, edges):
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
    graph = graphs.of_edges(size, edges)
    colors = graphs.chromatic(graph)
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
    steps = []
    for v in range(len(graph)):
        color = rng.choice(graphs.good(graph, k, colors, v))
        steps.append(_step(v, graphs.neighbors(graph, colors, v), color))
        colors = graphs.colored(colors, v, color)
    return steps


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
    starts = [i for i, word in enumerate(words) if word.startswith("#")] + [len(words)]
    for k, (start, end) in enumerate(itertools.pairwise(starts)):
        step = " ".join(words[start + 1 : end])
        if words[start] != f"#{k + 1}" or _read(problem, step) is None:
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

    Errors, the first that applies: `vertex` (the graph has no such vertex, or it has its colour), `neighbor` (what the step
    says of its neighbours is not so, or one that has a colour is not named), `conflict` (a neighbour has this colour), `dead`
    (no neighbour has it, but with it the vertices left cannot be coloured any more without a conflict, and before it they
    could); `format` for a step that cannot be read or for which no vertex is left. After an error the others go on: a
    conflict that is there already is not counted against them, and where no way is left every colour without a conflict
    is right. working: the vertex with its neighbours' colours ("c a 2 b 1"; the first vertex without a colour where the
    step's cannot be coloured); expected: the step's colour where that is right, else the smallest that is.
    """
    graph, k = _read_meta(problem)
    colors, checks = (0,) * len(graph), []
    for step in steps:
        read, left = _read(problem, step), [v for v, color in enumerate(colors) if not color]
        if not left:
            checks.append(Check(False, "format", NONE, NONE, NONE))
            continue
        at, named, claimed = read or (None, (), None)
        v = at if at in left else left[0]
        known, free = graphs.neighbors(graph, colors, v), graphs.allowed(graph, k, colors, v)
        best = graphs.good(graph, k, colors, v) or free
        tests = {
            "format": read is not None,
            "vertex": at == v,
            "neighbor": named == known,
            "conflict": claimed in free,
            "dead": claimed in best,
        }
        error = next((name for name, passed in tests.items() if not passed), "")
        expected = claimed if claimed in best else next(iter(best), NONE)
        said = NONE if claimed is None else str(claimed)
        checks.append(Check(not error, error, _step(v, known), str(expected), said))
        if at == v:
            colors = graphs.colored(colors, v, claimed)
    return checks


def corrupt(problem: Problem, rng: random.Random, rate: float) -> list[str]:
    """Return the reference with each step wrong with probability `rate` where it can be (the first one cannot).

    Of the errors, 50 in 100 are conflicts, 20 misread neighbours (one colour is taken for another, or a neighbour is passed
    over; the colour given then fits what was read), 20 colours that leave no way to finish, 10 a vertex coloured again in
    place of its own; where a kind is impossible, a conflict. Later steps keep the reference's colour where that is right
    still, else take one that is; where every colour conflicts they are wrong too.
    """
    graph, k = _read_meta(problem)
    colors, steps = (0,) * len(graph), []
    for v, planned in enumerate(_after(problem, reference(problem))):
        good, free, known = (
            graphs.good(graph, k, colors, v),
            graphs.allowed(graph, k, colors, v),
            graphs.neighbors(graph, colors, v),
        )
        best = good or free or range(1, k + 1)
        kind = (
            rng.choices(("conflict", "neighbor", "dead", "vertex"), (50, 20, 20, 10))[0] if rng.random() < rate else ""
        )
        at, color = v, planned if planned in best else rng.choice(best)
        taken = [c for c in range(1, k + 1) if c not in free]
        if kind == "vertex" and any(colors):
            at = rng.choice([u for u, c in enumerate(colors) if c])
            known = graphs.neighbors(graph, colors, at)
        elif kind == "neighbor" and known:
            known = _misread(known, k, rng)
            color = rng.choice([c for c in range(1, k + 1) if c not in dict(known).values()] or best)
        elif kind == "dead" and good and len(good) < len(free):
            color = rng.choice([c for c in free if c not in good])
        elif kind and taken:
            color = rng.choice(taken)
        steps.append(_step(at, known, color))
        if at == v:
            colors = graphs.colored(colors, v, color)
    return steps


def error_types() -> tuple[str, ...]:
    """Return the names that Check.error can take."""
    return ERRORS


def distance(problem: Problem, steps: list[str]) -> int | None:
    """Return how many vertices are left to colour after `steps`; None where that leads to no right answer any more.

    Misread neighbours do not count where the colours given are right all the same: the answer checker sees these alone.
    """
    graph, k = _read_meta(problem)
    if any(check.error in ("format", "vertex") for check in check_steps(problem, steps)):
        return None
    colors = _after(problem, steps)
    proper = all(colors[u] != colors[v] for v, joined in enumerate(graph) for u in joined if colors[u])
    return colors.count(0) if proper and graphs.finishable(graph, k, colors) else None


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


def _read_meta(problem: Problem) -> tuple[graphs.Graph, int]:
    """Return the graph and its number of colours."""
    return tuple(tuple(joined) for joined in problem.meta["graph"]), problem.meta["colors"]


def _misread(known: tuple[tuple[int, int], ...], k: int, rng: random.Random) -> tuple[tuple[int, int], ...]:
    """Return neighbours with one of them passed over, or its colour taken for another."""
    i = rng.randrange(len(known))
    u, color = known[i]
    other = () if rng.random() < 0.3 else ((u, rng.choice([c for c in range(1, k + 1) if c != color])),)
    return known[:i] + other + known[i + 1 :]


def _step(v: int, known: tuple[tuple[int, int], ...], color: int | None = None) -> str:
    """Return the text of a step, without a colour only its working."""
    said = [LETTERS[v], *(word for u, c in known for word in (LETTERS[u], str(c)))]
    return " ".join(said if color is None else [*said, "=", str(color)])


def _read(problem: Problem, step: str) -> tuple[int, tuple[tuple[int, int], ...], int] | None:
    """Return (vertex, its named neighbours with their colours, colour) of a step's text, None where it does not say so.

    The vertices may be none of the graph's.
    """
    words, colors = step.split(" "), [str(color) for color in range(1, problem.meta["colors"] + 1)]
    if len(words) % 2 == 0 or words[-2:-1] != ["="] or words[-1] not in colors:
        return None
    letters, said = [words[0], *words[1:-2:2]], words[2:-2:2]
    if any(len(x) != 1 or x not in LETTERS for x in letters) or any(c not in colors for c in said):
        return None
    vertices = [LETTERS.index(x) for x in letters]
    return vertices[0], tuple(zip(vertices[1:], map(int, said), strict=True)), int(words[-1])


def _after(problem: Problem, steps: list[str]) -> graphs.Colors:
    """Return each vertex's colour after readable steps; the first that a vertex gets stays."""
    colors = [0] * len(problem.meta["graph"])
    for step in steps:
        v, _, color = _read(problem, step)
        if v < len(colors) and not colors[v]:
            colors[v] = color
    return tuple(colors)


def _answer(colors: graphs.Colors) -> str:
    """Return a colouring as text, vertices without a colour left out."""
    return " ".join(f"{LETTERS[v]} {color}" for v, color in enumerate(colors) if color)
