"""Roll-outs of interactive families: an agent's actions with the world's answers between them, as solutions' steps.

Back-tracking is by reset and replay, as in Agent-R's search (2501.11425): an episode may start after actions already
taken, so that several share a prefix.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from elenchus import problems, solutions
from elenchus.engines import Engine, Sampling
from elenchus.engines.rollout import Episode, Played, Turn, rollout
from elenchus.errors import UserError
from elenchus.problems import Problem

TURN_ENDS = ("<user>",)  # the role word by which the seed model's template goes on; other models end with an end token


@dataclass(frozen=True)
class Start:
    """Where an episode begins: a problem, and the actions that are replayed first."""

    problem: Problem
    taken: tuple[str, ...] = ()


def check_interactive(problem: Problem) -> None:
    """Raise UserError where the problem's family has no world to act in."""
    if not hasattr(problems.load(problem.family), "environment"):
        raise UserError(
            f"problem family {problem.family!r} is not interactive: it defines no `environment` (`crafting` does)"
        )


def attempt(start: Start) -> Episode:
    """Play: role "actor" acts until the world says that it is over. Returns the steps.

    What cannot be read is the family's MUMBLE, an action like others: an agent may recover from it.
    """
    family = problems.load(start.problem.family)
    world, steps = family.environment(start.problem, start.taken), family.written(start.problem, start.taken)
    while not world.over:
        completion = yield Turn("actor", tuple(family.messages(start.problem, steps)))
        action = completion.text.strip()
        for end in TURN_ENDS:
            action = action.removesuffix(end).strip()
        action = action if family.readable(action) else family.MUMBLE
        steps.append(family.step(action, world.step(action)[0]))
    return steps


def row(start: Start, played: Played, sample: int, temperature: float, tag: str) -> dict:
    """Return the `solutions` row of an episode. tokens, logprob: of what was sampled, not of what was replayed."""
    steps = played.result
    family = problems.load(start.problem.family)
    replies = [completion for _, completion in played.turns]
    facts = {
        "finish": "end",
        "tokens": sum(len(reply.tokens) for reply in replies),
        "logprob": sum(sum(reply.logprobs) for reply in replies),
        "temperature": float(temperature),
    }
    return solutions.read(start.problem, family.render(start.problem, steps), sample, tag, **facts)


def play(
    engine: Engine, starts: Sequence[Start], sampling: Sampling, seed: int, tag: str, first: int, n: int
) -> list[dict]:
    """Return the rows of one episode for each start, `n` starts of a problem together, numbered from `first`."""
    played = rollout([attempt(start) for start in starts], {"actor": engine}, sampling, seed)
    return [
        row(start, one, first + i % n, sampling.temperature, tag)
        for i, (start, one) in enumerate(zip(starts, played, strict=True))
    ]


def branches(problem: Problem, rows: Sequence[dict], n: int, rng: random.Random) -> list[Start]:
    """Return `n` starts inside earlier episodes of a problem: one that failed where there is one, cut at random.

    At least one action is replayed, and at least one is left to take.
    """
    family = problems.load(problem.family)
    longer = [row for row in rows if len(row["steps"]) > 1]
    pool = [row for row in longer if not row["correct"]] or longer
    starts = []
    for _ in range(n):
        steps = rng.choice(pool)["steps"] if pool else []
        cut = rng.randint(1, len(steps) - 1) if steps else 0
        starts.append(Start(problem, tuple(family.action_of(step) for step in steps[:cut])))
    return starts
