"""Tree search over many problems at once: every round, the chosen leaves of all trees go through the engine together.

One round (simulation) of a tree: select a leaf, sample steps below it, value them, look ahead from the best, back up.
`elenchus.stages.search` lists the departures from the papers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from elenchus import problems, seeds, solutions
from elenchus.engines import Completion, Engine
from elenchus.problems import Problem
from elenchus.search.settings import Search
from elenchus.search.tree import Node, Tree, mark

# Values in [0, 1] of partial solutions, given as (problem, steps without marks).
Evaluator = Callable[[list[tuple[Problem, list[str]]]], list[float]]


class Searcher:
    """Grows trees with an engine. Counter: `oracle_calls`, exact outcome checks that the search has used."""

    def __init__(self, engine: Engine, tokenizer, search: Search, evaluate: Evaluator | None = None):
        if (evaluate is not None) != search.evaluated:
            raise ValueError(f"value {search.value!r} {'needs an' if search.evaluated else 'takes no'} evaluator")
        if not search.evaluated and (search.lookahead or not search.exact):
            raise ValueError("look-ahead, and finished nodes' values without outcomes, need an evaluator")
        if search.backup == "rewards" and (search.value == "rollouts" or search.lookahead):
            raise ValueError("back-up of rewards knows neither roll-outs nor look-ahead")
        if search.commit and (search.token_budget or search.end_gate):
            raise ValueError("roots that move end a tree: token_budget and end_gate cannot")
        self.engine, self.tokenizer, self.search, self.evaluate = engine, tokenizer, search, evaluate
        self.oracle_calls = 0

    def run(self, asked: Sequence[Problem], seed: int) -> list[Tree]:
        """Return the grown tree of each problem. A tree depends on its problem and the seed, not on the others."""
        trees = [
            Tree(problem, solutions.prompt(self.tokenizer, problem), seeds.rng(seed, problem.id, "ties"))
            for problem in asked
        ]
        grow = self._commit if self.search.commit else self._simulate
        grow(trees, seed)
        return trees

    def _simulate(self, trees: list[Tree], seed: int) -> None:
        """Grow the trees from their roots, `simulations` rounds."""
        for r in range(self.search.simulations):
            live = [tree for tree in trees if not tree.done]
            if not live:
                break
            self._round(live, seeds.derive(seed, r))

    def _commit(self, trees: list[Tree], seed: int) -> None:
        """Grow the trees from roots that move down, one step after every `commit` rounds, until they are finished."""
        for depth in range(self.search.max_depth):
            live = [tree for tree in trees if not tree.done]
            if not live:
                break
            for r in range(self.search.commit * (1 if depth else self.search.commit_first)):
                self._round(live, seeds.derive(seed, depth, r))
            for tree in live:
                tree.committed = tree.commit(tree.committed)
                tree.done = tree.nodes[tree.committed].terminal

    # -- one round -----------------------------------------------------------------------------------------------------

    def _round(self, trees: list[Tree], seed: int) -> None:
        s = self.search
        leaves = [(tree, node) for tree in trees for node in self._leaves(tree)]
        visited = self._descend(leaves, seed)
        step = 1
        while s.forward and any(not tree.nodes[n].terminal for tree, n in visited):
            visited = self._descend(visited, seeds.derive(seed, "forward", step))
            step += 1
        for (tree, node), value in zip(visited, self._values(visited, seed)):
            tree.back_up(node, value, s.backup)
        for tree, leaf in leaves:
            tree.hold(leaf, -1)
        for tree in trees:
            gated = s.end_gate > 0 and any(n.terminal and n.value >= s.end_gate for n in tree.nodes)
            tree.done = gated or 0 < s.token_budget <= tree.sampled

    def _descend(self, leaves: list[tuple[Tree, int]], seed: int) -> list[tuple[Tree, int]]:
        """Expand the leaves and return their best children; finished leaves stay."""
        s = self.search
        self._expand([(t, n) for t, n in leaves if not t.nodes[n].terminal], seed)
        return [(t, t.best_child(n, s.select, s.c, s.unvisited) if t.nodes[n].children else n) for t, n in leaves]

    def _leaves(self, tree: Tree) -> list[int]:
        """Return up to `leaves_per_round` different leaves, held by virtual visits."""
        found: list[int] = []
        for _ in range(self.search.leaves_per_round):
            leaf = tree.select(self.search.select, self.search.c, self.search.unvisited, tree.committed)
            if leaf in found:
                break
            tree.hold(leaf, 1)
            found.append(leaf)
        return found

    def _expand(self, leaves: list[tuple[Tree, int]], seed: int) -> None:
        """Sample steps below the leaves, and value those that can be valued at once."""
        s, new = self.search, []
        roots = [leaf for leaf in leaves if leaf[1] == 0]
        for group, n in ((roots, s.root_breadth or s.breadth), ([x for x in leaves if x[1] != 0], s.breadth)):
            for (tree, leaf), samples in zip(group, self._continue([(t, t.nodes[i]) for t, i in group], seed, n)):
                new += [(tree, i) for i in self._grow(tree, leaf, samples)]
        if self.evaluate is not None:
            self._judge([(tree.problem, tree.nodes[i]) for tree, i in new])
        if s.backup == "rewards":
            for tree, i in new:
                tree.credit(i, s.exact)
            self.oracle_calls += sum(tree.nodes[i].terminal for tree, i in new) if s.exact else 0
        elif s.exact:
            for node in (tree.nodes[i] for tree, i in new):
                if node.terminal:
                    node.value = float(node.correct)
                    self.oracle_calls += 1

    def _continue(self, leaves: list[tuple[Tree, Node]], seed: int, n: int, whole: bool = False) -> list:
        """Return n continuations of each partial solution, a step long or to the end, and count their tokens."""
        if not leaves:
            return []
        prompts = [tree.prompt + node.text for tree, node in leaves]
        found = self.engine.sample(prompts, self.search.sampling(whole), seed, n)
        for (tree, _), samples in zip(leaves, found):
            tree.sampled += sum(len(c.logprobs) for c in samples)
        return found

    def _grow(self, tree: Tree, leaf: int, samples: list[Completion]) -> list[int]:
        """Add the different steps among `samples` below `leaf`, with their priors, and return their numbers."""
        s, kinds = self.search, {}
        for completion in samples:
            kinds.setdefault(completion.text.strip(), []).append(completion)
        if s.prior == "count":
            weights = [float(len(same)) for same in kinds.values()]
        else:
            weights = [
                math.exp(sum(same[0].logprobs) / len(same[0].logprobs) ** s.prior_length) for same in kinds.values()
            ]
        numbers = []
        for same, weight in zip(kinds.values(), weights):
            node = read_step(tree.problem, tree.nodes[leaf], same[0], s.max_depth)
            node.parent = leaf
            node.prior = weight / sum(weights) if sum(weights) else 1 / len(weights)
            node.tokens = sum(len(c.logprobs) for c in same)
            numbers.append(tree.add(leaf, node))
        return numbers

    def _judge(self, nodes: list[tuple[Problem, Node]]) -> None:
        """Set the nodes' values to the evaluator's; it sees terminal nodes too, and knows no outcomes."""
        readable = [(problem, node) for problem, node in nodes if node.readable]
        scores = self.evaluate([(problem, list(node.steps)) for problem, node in readable]) if readable else []
        for (_, node), value in zip(readable, scores, strict=True):
            node.model_value = node.value = float(value)

    # -- values --------------------------------------------------------------------------------------------------------

    def _values(self, visited: list[tuple[Tree, int]], seed: int) -> list[float]:
        """Return what a visit of each node finds."""
        s = self.search
        nodes = [(tree, tree.nodes[i]) for tree, i in visited]
        values = [node.value for _, node in nodes]
        growing = [k for k, (_, node) in enumerate(nodes) if not node.terminal]
        if s.value == "rollouts":
            rest = self._continue([nodes[k] for k in growing], seeds.derive(seed, "rollouts"), s.rollouts, whole=True)
            for k, samples in zip(growing, rest):
                tree, node = nodes[k]
                right = [outcome(tree.problem, f"{node.text} {c.text}") for c in samples]
                self.oracle_calls += len(right)
                values[k] = sum(right) / len(right)
        elif s.lookahead:
            seen = self._look_ahead([nodes[k] for k in growing], seed)
            for k, best in zip(growing, seen):
                values[k] = (1 - s.alpha) * values[k] + s.alpha * best
        return values

    def _look_ahead(self, starts: list[tuple[Tree, Node]], seed: int) -> list[float]:
        """Return the best value seen on the greedy path of up to m steps from each node, its own included.

        The path's steps are no nodes of the tree (as in ReST-MCTS*'s code).
        """
        s, now, best = self.search, [node for _, node in starts], [node.value for _, node in starts]
        for m in range(s.lookahead):
            going = [k for k, node in enumerate(now) if not node.terminal]
            open_ends = [(starts[k][0], now[k]) for k in going]
            found = self._continue(open_ends, seeds.derive(seed, "ahead", m), s.roll_branch)
            branches = [
                [read_step(tree.problem, node, c, s.max_depth) for c in samples]
                for (tree, node), samples in zip(open_ends, found)
            ]
            self._judge([(tree.problem, node) for (tree, _), nodes in zip(open_ends, branches) for node in nodes])
            for k, nodes in zip(going, branches):
                now[k] = max(nodes, key=lambda node: node.value)
                best[k] = max(best[k], now[k].value)
        return best


def read_step(problem: Problem, above: Node, completion: Completion, max_depth: int) -> Node:
    """Return the node that a sampled continuation of `above` makes.

    It is open where the text ends on the next step's mark. Else it is terminal: right or wrong where it ended as a
    readable solution, wrong and unreadable otherwise.
    """
    written = completion.text.strip()
    step, _, last = written.rpartition(" ")
    node = Node(
        parent=-1,
        depth=above.depth + 1,
        step=step,
        text=f"{above.text} {written}",
        steps=(*above.steps, step),
        length=above.length + len(completion.tokens),
        logprob=above.logprob + sum(completion.logprobs),
    )
    if completion.finish == "stop" and last == mark(node.depth + 1) and step and node.depth < max_depth:
        return node
    node.terminal, node.finish, node.correct = True, completion.finish, False
    family = problems.load(problem.family)
    solution = family.parse(problem, node.text)
    if completion.finish == "end" and solution.ok and len(solution.steps) == node.depth:
        node.step, node.steps = solution.steps[-1], solution.steps
        node.correct = bool(family.check_answer(problem, solution.answer))
    else:
        node.step, node.steps = written, above.steps
    return node


def outcome(problem: Problem, text: str) -> bool:
    """Return whether `text` is a solution with the right answer."""
    family = problems.load(problem.family)
    solution = family.parse(problem, text)
    return bool(solution.ok and family.check_answer(problem, solution.answer))
