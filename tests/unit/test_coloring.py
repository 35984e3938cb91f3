"""Graph colouring on graphs made by hand: steps, dead ends, answers; and against all colourings of small graphs."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections import Counter

import networkx
import pytest
from pydantic import ValidationError

from elenchus import problems
from elenchus.errors import UserError
from elenchus.problems import Check, coloring

# A triangle a b c, and d beside a: three colours.
TRIANGLE = coloring.build(4, [(0, 1), (0, 2), (1, 2), (0, 3)])
# A square a b c d with a diagonal a c: b and d must be alike, which no edge says.
SQUARE = coloring.build(4, [(0, 1), (1, 2), (2, 3), (0, 3), (0, 2)])


def errors(problem, steps):
    return [check.error for check in coloring.check_steps(problem, steps)]


def proper(graph, k):
    """Return all colourings without equal ends, by trying all."""
    found = itertools.product(range(1, k + 1), repeat=len(graph))
    return [c for c in found if all(c[u] != c[v] for v, joined in enumerate(graph) for u in joined)]


def test_coloring_by_hand():
    assert TRIANGLE.prompt == "colors 1 2 3 #1 a #2 b to a #3 c to a b #4 d to a" and TRIANGLE.answer == ""
    solution = coloring.parse(TRIANGLE, "#1 a = 2 #2 b a 2 = 1 #3 c a 2 b 1 = 3 #4 d a 2 = 1")
    assert solution.ok and solution.answer == "a 2 b 1 c 3 d 1" and coloring.check_answer(TRIANGLE, solution.answer)
    assert coloring.build(4, [(0, 3), (1, 2), (0, 1), (0, 2)]) == TRIANGLE  # in any order of edges


def test_any_order_of_vertices_will_do():
    solution = coloring.parse(TRIANGLE, "#1 d = 1 #2 c = 3 #3 a c 3 d 1 = 2 #4 b a 2 c 3 = 1")
    assert solution.ok and solution.answer == "a 2 b 1 c 3 d 1"  # the same colouring is the same answer
    assert errors(TRIANGLE, list(solution.steps)) == [""] * 4


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("a 1 b 2 c 3 d 2", True),
        ("a 1 b 2 c 3 d 3", True),
        ("a 1 b 2 c 3 d 1", False),  # a and d
        ("a 1 b 2 c 3", False),  # d has none
        ("a 1 b 2 c 3 d 4", False),  # no such colour
        ("b 2 a 1 c 3 d 2", False),  # not the form that parse gives
        ("a 1 b 2 c 3 d 2 e 1", False),
        ("a 1 b 2 c 3 d", False),
        ("", False),
    ],
)
def test_coloring_answers(answer, right):
    assert coloring.check_answer(TRIANGLE, answer) is right


@pytest.mark.parametrize(
    ("step", "check"),
    [
        ("c a 1 b 2 = 3", Check(True, "", "c a 1 b 2", "3", "3")),
        ("c a 1 b 2 = 2", Check(False, "conflict", "c a 1 b 2", "3", "2")),
        ("c a 1 = 3", Check(False, "neighbor", "c a 1 b 2", "3", "3")),  # b is passed over
        ("c a 1 b 3 = 2", Check(False, "neighbor", "c a 1 b 2", "3", "2")),  # and so there is a conflict
        ("c b 2 a 1 = 3", Check(False, "neighbor", "c a 1 b 2", "3", "3")),  # not in the question's order
        ("d a 1 = 2", Check(True, "", "d a 1", "2", "2")),
        ("d a 1 = 1", Check(False, "conflict", "d a 1", "2", "1")),
        ("b a 1 = 3", Check(False, "vertex", "c a 1 b 2", "3", "3")),  # b has its colour
        ("x = 1", Check(False, "vertex", "c a 1 b 2", "3", "1")),  # no vertex of this graph
        ("c a 1 b 2 = 4", Check(False, "format", "c a 1 b 2", "3", "none")),
        ("c a 1 b 2 is 3", Check(False, "format", "c a 1 b 2", "3", "none")),
        ("c a b 2 = 3", Check(False, "format", "c a 1 b 2", "3", "none")),
        ("c a 1 b 2 = 03", Check(False, "format", "c a 1 b 2", "3", "none")),
    ],
)
def test_coloring_step_errors(step, check):
    assert coloring.check_steps(TRIANGLE, ["a = 1", "b a 1 = 2", step])[2] == check


def test_a_dead_end_is_the_step_that_makes_it():
    assert errors(SQUARE, ["b = 1", "d = 1", "a b 1 d 1 = 2", "c a 2 b 1 d 1 = 3"]) == [""] * 4
    # b and d differ: a takes the third colour, and none is left for c
    checks = coloring.check_steps(SQUARE, ["b = 1", "d = 2", "a b 1 d 2 = 3", "c a 3 b 1 d 2 = 3"])
    assert [check.error for check in checks] == ["", "dead", "", "conflict"]
    assert checks[1] == Check(False, "dead", "d", "1", "2") and checks[3].expected == "none"
    assert coloring.distance(SQUARE, ["b = 1"]) == 3 and coloring.distance(SQUARE, ["b = 1", "d = 2"]) is None


def test_steps_are_judged_from_the_colours_before_them():
    steps = ["a = 1", "b a 1 = 1", "c a 1 b 1 = 2", "d a 1 = 3"]
    assert errors(TRIANGLE, steps) == ["", "conflict", "", ""]
    # b's first colour stays, and c, never coloured, leaves the answer wrong
    steps = ["a = 1", "b a 1 = 2", "b a 1 = 3", "d a 1 = 2"]
    solution = coloring.parse(TRIANGLE, coloring.render(TRIANGLE, steps))
    assert errors(TRIANGLE, steps) == ["", "", "vertex", ""]
    assert solution.ok and solution.answer == "a 1 b 2 d 2" and not coloring.check_answer(TRIANGLE, solution.answer)
    steps = ["a = 1", "b a 1 = 2", "c a 1 b 2 = 3", "d a 1 = 2"]
    assert errors(TRIANGLE, [*steps, "d a 1 = 2"])[4] == "format"  # nothing is left to colour


def test_misread_neighbours_can_end_right():
    steps = ["a = 1", "b = 2", "c a 1 b 2 = 3", "d a 1 = 2"]
    assert errors(TRIANGLE, steps) == ["", "neighbor", "", ""] and coloring.distance(TRIANGLE, steps) == 0
    assert coloring.check_answer(TRIANGLE, coloring.parse(TRIANGLE, coloring.render(TRIANGLE, steps)).answer)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#1 a = 2 #2 b a 2 = 1 #3 c a 2 b 1 = 3",  # a vertex is missing
        "#1 a = 2 #2 b a 2 = 1 #3 c a 2 b 1 = 3 #4 d a 2 = 1 #5 d a 2 = 1",
        "#1 a = 2 #2 b a 2 = 1 #4 c a 2 b 1 = 3 #3 d a 2 = 1",
        "#1 a = 2 #2 b a 2 = 1 #3 c a 2 b 1 = 3 #4 d a 2 = 4",
        "#1 a = 2 #2 b a 2 = 1 #3 c a 2 b 1 = 3 #4 d a 2 = 1 done",
        "#1 a = 2 #2 b a 2 = 1 #3 c a 2 b 1 = 3 #4 d a a = 1",
        "#1 a = 2 #2 b a 2 = 1 #3 c a 2 b 1 = 3 #4 = 1",
        "so #1 a = 2 #2 b a 2 = 1 #3 c a 2 b 1 = 3 #4 d a 2 = 1",
    ],
)
def test_coloring_refuses_other_forms(text):
    solution = coloring.parse(TRIANGLE, text)
    assert not solution.ok and solution.answer == ""


def test_checks_agree_with_trying_all_colourings():
    rng, seen = random.Random(2), Counter()
    options = coloring.Options(min_vertices=3, max_vertices=6, edge_probability=0.5, min_colors=2, connected=False)
    for _ in range(60):
        problem = coloring.generate(options, rng)
        graph, k = [tuple(joined) for joined in problem.meta["graph"]], problem.meta["colors"]
        right = proper(graph, k)
        assert right and not proper(graph, k - 1)  # the chromatic number
        assert all(set(c) == set(range(1, k + 1)) for c in right)
        for _ in range(8):
            order = rng.sample(range(len(graph)), len(graph))
            colors = [rng.randint(1, k) for _ in graph]
            steps, given = [], {}
            for v in order:
                joined = [f"{coloring.LETTERS[u]} {given[u]}" for u in graph[v] if u in given]
                steps.append(" ".join([coloring.LETTERS[v], *joined, "=", str(colors[v])]))
                before = [c for c in right if all(c[u] == given[u] for u in given)]
                given[v] = colors[v]
                after = [c for c in before if c[v] == colors[v]]
                conflict = any(given.get(u) == colors[v] for u in graph[v])
                check = coloring.check_steps(problem, steps)[-1]
                if before:  # on a way that can be finished, all is decided by what is left of the right colourings
                    assert check.error == ("conflict" if conflict else "" if after else "dead")
                    assert check.ok or check.expected in {str(c[v]) for c in before}
                assert coloring.distance(problem, steps) == (len(graph) - len(steps) if after else None)
                seen[check.error] += 1
            solution = coloring.parse(problem, coloring.render(problem, steps))
            assert coloring.check_answer(problem, solution.answer) == (tuple(colors) in right)
            first = problems.first_error(coloring.check_steps(problem, steps))
            assert (first == -1) == (tuple(colors) in right)
    assert min(seen[error] for error in ("", "conflict", "dead")) > 10


def test_generated_graphs_are_as_asked():
    rng = random.Random(4)
    for _ in range(60):
        problem = coloring.generate(coloring.Options(edge_probability=0.5), rng)
        edges = [(u, v) for v, joined in enumerate(problem.meta["graph"]) for u in joined if u < v]
        graph = networkx.Graph(edges)
        assert networkx.is_connected(graph) and networkx.check_planarity(graph)[0]
        assert 5 <= len(graph) == problem.meta["difficulty"] <= 8 and problem.meta["colors"] == 3
    dense = coloring.Options(
        min_vertices=5, max_vertices=5, edge_probability=1.0, min_colors=5, max_colors=5, planar=False
    )
    assert coloring.generate(dense, rng).meta["colors"] == 5


def test_references_show_that_there_are_many_ways():
    rng = random.Random(0)
    made = [coloring.generate(coloring.Options(), rng) for _ in range(90)]
    first = Counter(coloring.reference(problem)[0].split()[-1] for problem in made)
    assert min(first[color] for color in "123") > 15
    assert all(coloring.reference(problem) == coloring.reference(problem) for problem in made)


def test_large_graphs_are_colored_quickly():
    options = coloring.Options(min_vertices=26, max_vertices=26, edge_probability=0.12, max_colors=4)
    problem = coloring.generate(options, random.Random(1))
    checks = coloring.check_steps(problem, coloring.reference(problem))
    assert len(checks) == 26 and all(check.ok for check in checks)


def test_impossible_options_are_said_plainly():
    with pytest.raises(ValidationError, match="four colours suffice"):
        coloring.Options(min_vertices=6, min_colors=5, max_colors=5)
    with pytest.raises(ValidationError, match="min_vertices 9 is above max_vertices 8"):
        coloring.Options(min_vertices=9)
    with pytest.raises(ValidationError, match="min_colors 4 is above max_colors 3"):
        coloring.Options(min_colors=4)
    with pytest.raises(UserError, match="no graph of 8 vertices in 20000 fits"):
        coloring.generate(coloring.Options(min_vertices=8, edge_probability=1.0), random.Random(0))
    with pytest.raises(ValueError, match="no edge of a graph of 2 vertices"):
        coloring.build(2, [(0, 2)])


def test_the_same_problems_in_another_process():
    code = (
        "import random; from elenchus.problems import coloring as c; rng = random.Random(7);"
        "p = [c.generate(c.Options(), rng) for _ in range(3)];"
        "print([(q.id, c.reference(q), c.corrupt(q, rng, 0.5)) for q in p])"
    )
    said = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in "ab"
    }
    assert len(said) == 1
