"""Step by step under a critic's eye: a solver writes one step, a critic judges it, and a rejected step is sampled again.

Source: SPC (arXiv 2504.19162), test-time search.  All solutions of a call go through the engines together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from elenchus import seeds, solutions
from elenchus.critics import step as step_critic
from elenchus.engines import Engine, Sampling
from elenchus.problems import Problem
from elenchus.search.mcts import read_step
from elenchus.search.tree import Node, mark


@dataclass
class Walk:
    """One solution under way. tries: steps sampled in the place that is open; tokens: all that was sampled for it."""

    problem: Problem
    node: Node
    tries: int = 0
    tokens: int = 0


def walk(
    solver: Engine,
    critic: Engine,
    problems: Sequence[Problem],
    *,
    step: Sampling,
    judgement: Sampling,
    tries: int,
    max_steps: int,
    seed: int,
) -> list[Walk]:
    """Return a finished walk for each entry of `problems` (one may stand there several times).

    A step that the critic calls good stands; any other is sampled again, and the last of `tries` stands whatever the
    critic says. A solution's end that cannot be read as a step stands: there is nothing to judge.
    """
    walks = [Walk(problem, Node(parent=-1, depth=0, step="", text=mark(1))) for problem in problems]
    prompts = {problem.id: solutions.prompt(solver.tokenizer, problem) for problem in problems}
    for r in range(tries * max_steps):
        live = [w for w in walks if not w.node.terminal]
        if not live:
            break
        asked = [prompts[w.problem.id] + w.node.text for w in live]
        drawn = solver.sample(asked, step, seeds.derive(seed, "step", r), 1)
        found = [(w, read_step(w.problem, w.node, c, max_steps)) for w, (c,) in zip(live, drawn, strict=True)]
        judged = [(w, node) for w, node in found if node.readable]
        cases = [
            step_critic.Case(str(i), w.problem, tuple(node.steps[:-1]), node.step, "", "solver")
            for i, (w, node) in enumerate(judged)
        ]
        said = step_critic.ask(critic, critic.tokenizer, cases, judgement, seeds.derive(seed, "judgement", r))
        good = {id(node): unit is not None and unit.ok for (_, node), (unit, _) in zip(judged, said, strict=True)}
        for (w, node), (c,) in zip(found, drawn):
            w.tries, w.tokens = w.tries + 1, w.tokens + len(c.logprobs)
            if good.get(id(node), True) or w.tries == tries:
                w.node, w.tries = node, 0
    return walks
