"""Step labels for value models: from search trees as ReST-MCTS* extracts them, from roll-outs, from exact checkers.

ReST-MCTS* (2406.03816), section 3.1 and released code: with d the number of steps to a right answer plus one (m + 1),
v_0 = 0 and v_k = max(0, v_{k-1} + (1 - v_{k-1}) / d_k * h_k), h_k = 1 on a way to a right answer and -1 off it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from elenchus.problems import Check, Problem

NOTHING = math.nan


@dataclass(frozen=True)
class Branch:
    """What labels need to know of a node. Node 0 is the root; parents come before their children."""

    parent: int
    step: str
    terminal: bool
    correct: bool
    value: float = 0.0
    visits: int = 0


def reasoning_distances(tree: Sequence[Branch]) -> tuple[list[int | None], list[bool]]:
    """Return (d, h) of each node: ReST-MCTS*'s "full" extraction; all d None where no leaf is right.

    Right leaf: d = 1. Above it: d = least d of the children + 1, h. A wrong terminal leaf, and what lies between it and
    the nearest ancestor with a known d: that ancestor's d, not h. Nodes that no terminal leaf lies under: d None.
    """
    d: list[int | None] = [None] * len(tree)
    right = [False] * len(tree)
    for i in reversed(range(len(tree))):  # children first
        node = tree[i]
        if node.terminal and node.correct:
            d[i], right[i] = 1, True
        above = node.parent
        if right[i] and above >= 0:
            d[above] = d[i] + 1 if d[above] is None else min(d[above], d[i] + 1)
            right[above] = True
    if not right[0]:
        return d, right
    for i, node in enumerate(tree):
        if node.terminal and not node.correct:
            branch = [i]
            while d[tree[branch[-1]].parent] is None:
                branch.append(tree[branch[-1]].parent)
            for j in branch:
                d[j] = d[tree[branch[-1]].parent]
    return d, right


def step_value(before: float, d: int, right: bool) -> float:
    """Return v_k, in [0, 1], from v_{k-1}, d_k and h_k."""
    return max(0.0, before + (1.0 - before) * (1.0 if right else -1.0) / d)


def full(tree: Sequence[Branch]) -> list[float]:
    """Return ReST-MCTS*'s value label of each node, NaN where there is none (all of a tree without a right leaf)."""
    d, right = reasoning_distances(tree)
    found = [NOTHING] * len(tree)
    if not right[0]:
        return found
    found[0] = 0.0
    for i, node in enumerate(tree[1:], start=1):
        if d[i] is not None:
            found[i] = step_value(found[node.parent], d[i], right[i])
    return found


def route(tree: Sequence[Branch]) -> list[float]:
    """Return ReST-MCTS*'s simpler labels: of one right route of length K, and of the siblings of its nodes.

    On the route at depth k: k / K. A sibling: max((its parent's depth - 1) / K, 0). The route is the first found.
    """
    found = [NOTHING] * len(tree)
    leaf = next((i for i, node in enumerate(tree) if node.terminal and node.correct), None)
    if leaf is None:
        return found
    path = [leaf]
    while tree[path[-1]].parent >= 0:
        path.append(tree[path[-1]].parent)
    depth = {i: k for k, i in enumerate(reversed(path))}
    length = depth[leaf]
    for i, node in enumerate(tree):
        if i in depth:
            found[i] = depth[i] / length
        elif node.parent in depth:
            found[i] = max((depth[node.parent] - 1) / length, 0.0)
    return found


def backed_up(tree: Sequence[Branch]) -> list[float]:
    """Return the search's own values of the visited nodes (its Monte-Carlo estimates), NaN for the others."""
    return [node.value if node.visits else NOTHING for node in tree]


def paths(tree: Sequence[Branch], values: Sequence[float]) -> list[tuple[list[str], list[float]]]:
    """Return (steps, labels) from the root to each leaf, every node's label on one path only: none counts twice.

    A node that lies on several paths has its label on the first, NaN on the others. Paths without a label are left out.
    """
    inner = {node.parent for node in tree}
    told = {0}
    found = []
    for leaf in (i for i in range(len(tree)) if i not in inner):
        line = []
        while leaf > 0:
            line.append(leaf)
            leaf = tree[leaf].parent
        line.reverse()
        labels = [NOTHING if i in told else values[i] for i in line]
        if not all(map(math.isnan, labels)):
            told.update(line)
            found.append(([tree[i].step for i in line], labels))
    return found


def from_checks(checks: Sequence[Check], after_error: str) -> list[float]:
    """Return 1 for right steps and 0 for wrong ones, by the exact checker.

    after_error, for the steps behind the first wrong one: "skip" NaN (PRM800K stops there), "zero" (no way back), "own"
    (each judged from the step before it).
    """
    found, failed = [], False
    for check in checks:
        later = {"skip": NOTHING, "zero": 0.0, "own": float(check.ok)}[after_error]
        found.append(later if failed else float(check.ok))
        failed = failed or not check.ok
    return found


def by_distance(family, problem: Problem, steps: Sequence[str]) -> list[float]:
    """Return ReST-MCTS*'s labels with the true reasoning distance in place of the tree's estimate of it.

    A step after which no right answer can be reached takes the d of the last prefix from which one can.
    """
    found, before, d = [], 0.0, (family.distance(problem, []) or 0) + 1
    for k in range(1, len(steps) + 1):
        left = family.distance(problem, list(steps[:k]))
        if left is not None:
            d = left + 1
        before = step_value(before, d, left is not None)
        found.append(before)
    return found
