"""Search trees over partial solutions: growth, selection, back-up. Pure bookkeeping; no model is known here.

A node is a partial solution. Step k is written after its mark `#k`, and a step's text is sampled up to the next mark,
which is kept: a node's text is what a continuation is asked for. Sources: UCT (Kocsis and Szepesvari, 2006), PUCT as in
MCTS-DPO (2405.00451), unvisited bonus and visit-weighted back-up as in ReST-MCTS* (2406.03816, its released code).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from elenchus.problems import Problem


def mark(k: int) -> str:
    """Return the word that stands before step k (1-based)."""
    return f"#{k}"


def written(steps: Sequence[str]) -> str:
    """Return the text of a partial solution's steps, as families render them."""
    return " ".join(f"{mark(k)} {step}" for k, step in enumerate(steps, start=1))


@dataclass
class Node:
    """A partial solution. value is backed up; before the first visit it is the evaluator's, or 0."""

    parent: int
    depth: int
    step: str  # without marks; with all that was written where the step cannot be read
    text: str  # from the first mark to the mark of the next step
    prior: float = 1.0
    value: float = 0.0
    visits: int = 0
    virtual: int = 0  # leaves under it that are being worked on
    model_value: float | None = None
    terminal: bool = False
    correct: bool | None = None
    steps: tuple[str, ...] = ()  # from the root
    tokens: int = 0  # sampled to make it, duplicates included
    length: int = 0  # tokens of its text, from the root
    logprob: float = 0.0  # of its text, from the root
    worth: float = 0.0  # R, back-up "rewards" only, as the next two: of the state
    reward: float = 0.0  # r: its worth less its parent's
    below: float = 0.0  # V: what its children are worth beyond it
    finish: str = ""  # terminal nodes: how the last step ended
    children: list[int] = field(default_factory=list)

    @property
    def readable(self) -> bool:
        """Return whether all of it can be read as steps."""
        return len(self.steps) == self.depth


class Tree:
    """The tree of one problem; node 0 is the root. `prompt` asks for a solution; `sampled` counts tokens spent."""

    def __init__(self, problem: Problem, prompt: str, rng: random.Random):
        self.problem, self.prompt, self.rng, self.sampled, self.done = problem, prompt, rng, 0, False
        self.committed = 0  # the present root, where roots move
        self.nodes = [Node(parent=-1, depth=0, step="", text=mark(1))]

    def add(self, parent: int, node: Node) -> int:
        """Append `node` below `parent` and return its number."""
        self.nodes.append(node)
        self.nodes[parent].children.append(len(self.nodes) - 1)
        return len(self.nodes) - 1

    def path(self, node: int) -> list[int]:
        """Return the numbers from the root to `node`."""
        found = [node]
        while self.nodes[found[-1]].parent >= 0:
            found.append(self.nodes[found[-1]].parent)
        return found[::-1]

    def select(self, rule: str, c: float, unvisited: float, start: int = 0) -> int:
        """Return the leaf that the rule ("uct" or "puct") leads to from `start`."""
        node = start
        while self.nodes[node].children:
            node = self.best_child(node, rule, c, unvisited)
        return node

    def best_child(self, node: int, rule: str, c: float, unvisited: float) -> int:
        """Return the child with the highest score, ties at random."""
        children = self.nodes[node].children
        scores = self.scores(node, rule, c, unvisited)
        top = max(scores)
        best = [child for child, score in zip(children, scores) if score == top]
        return best[0] if len(best) == 1 else self.rng.choice(best)

    def scores(self, node: int, rule: str, c: float, unvisited: float) -> list[float]:
        """Return the selection score of each child.

        uct: V + c sqrt(2 ln N_parent / N), V + `unvisited` where N = 0. puct: V + c P sqrt(N_parent) / (1 + N).
        A leaf being worked on counts as a visit of value 0 (virtual loss).
        """
        above = self.nodes[node].visits + self.nodes[node].virtual
        found = []
        for child in (self.nodes[i] for i in self.nodes[node].children):
            n = child.visits + child.virtual
            value = child.value * child.visits / n if child.virtual else child.value
            if rule == "puct":
                found.append(value + c * child.prior * math.sqrt(above) / (1 + n))
            elif n == 0:
                found.append(value + unvisited)
            else:
                found.append(value + c * math.sqrt(2 * math.log(max(above, 1)) / n))
        return found

    def hold(self, node: int, by: int) -> None:
        """Add `by` virtual visits on the path to `node`."""
        for i in self.path(node):
            self.nodes[i].virtual += by

    def credit(self, node: int, exact: bool) -> None:
        """Give a new node its reward (MCTS-DPO, equation 3 and code): R = O + C, r = R less the parent's R.

        O is 1 for a finished node with the right answer, -1 for one with a wrong answer, 0 else and where not `exact`;
        C is what the evaluator said, 0 where there is none. Its first value is Q = V(parent) + r.
        """
        new, above = self.nodes[node], self.nodes[self.nodes[node].parent]
        outcome = (1.0 if new.correct else -1.0) if new.terminal and exact else 0.0
        new.worth = outcome + (new.model_value or 0.0)
        new.reward = new.worth - above.worth
        new.value = above.below + new.reward

    def commit(self, root: int) -> int:
        """Return the child that the root moves to (MCTS-DPO's code): most N (1 + gap), ties by value, then the first.

        gap is that of the most and the least visited of the child's own children.
        """

        def claim(child: int) -> tuple[float, float]:
            node = self.nodes[child]
            visits = [self.nodes[i].visits for i in node.children] or [0]
            return node.visits * (1 + max(visits) - min(visits)), node.value

        return max(self.nodes[root].children, key=claim)

    def back_up(self, node: int, value: float, rule: str) -> None:
        """Count a visit of `node` that found `value`, and carry it to the root.

        mean: every value is the mean of what its visits found. max: the best of the visited children's values.
        weighted: sum of N_c V_c over sum of N_c (ReST-MCTS*). rewards: Q = r + V with V = sum of max(1, N_c) Q_c over
        sum of max(1, N_c), over all children (MCTS-DPO, equations 5 and 6); `value` is not used, nodes have rewards.
        """
        path = [self.nodes[i] for i in self.path(node)]
        for above in path:
            above.visits += 1
        if rule == "mean":
            for above in path:
                above.value += (value - above.value) / above.visits
            return
        if rule == "rewards":
            for above in reversed(path):
                below = [self.nodes[i] for i in above.children]
                if below:
                    weights = [max(1, child.visits) for child in below]
                    above.below = sum(w * child.value for w, child in zip(weights, below)) / sum(weights)
                above.value = above.reward + above.below
            return
        path[-1].value = value
        for above in reversed(path[:-1]):
            visited = [child for child in (self.nodes[i] for i in above.children) if child.visits]
            if rule == "max":
                above.value = max(child.value for child in visited)
            else:
                above.value = sum(child.visits * child.value for child in visited) / sum(c.visits for c in visited)

    def rows(self) -> list[dict]:
        """Return the rows of the `nodes` table."""
        names = ("parent", "depth", "step", "visits", "value", "prior", "model_value", "terminal", "correct", "tokens")
        return [
            {"problem_id": self.problem.id, "node": i} | {name: getattr(node, name) for name in names}
            for i, node in enumerate(self.nodes)
        ]
