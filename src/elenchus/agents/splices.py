"""Revision trajectories: the bad part of one episode, an admission of the mistake, the good part of another.

Agent-R (2501.11425): a pair is (good, bad) where reward(good) - reward(bad) > beta and reward(good) reaches alpha; the
bad trajectory is cut after its transition point t', and the revision trajectory is

    bad actions up to t' (not learned)  +  revision signal  +  good actions from where the good one departs

A splice ignores that the bad actions have changed the world, so each is played again: it is `consistent` where every
good action gets the answer that it got before and the goal is made.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from elenchus import problems
from elenchus.critics.format import RIGHT, WRONG, parse
from elenchus.examples import example
from elenchus.problems import Problem


@dataclass(frozen=True)
class Path:
    """One episode. judged: steps kept up to and with the first that the judge calls bad, None where it calls none so."""

    id: str
    steps: tuple[str, ...]
    score: float
    judged: int | None = None


@dataclass(frozen=True)
class Splice:
    """A revision trajectory: its steps as played again, of which the first `kept` are the bad path's."""

    problem: Problem
    bad: str
    good: str
    steps: tuple[str, ...]
    kept: int
    consistent: bool


def first_bad(judgement: str, error_types: Sequence[str]) -> int | None:
    """Return the 0-based step that a critique's text first calls bad; None where it calls none so, or cannot be read.

    What it says after that step is not asked for: Agent-R's judge walks on from the first action and stops there.
    """
    units = re.split(r"\s+(?=#\d+ )", judgement.strip())
    for k in range(len(units)):
        said = " ".join(units[: k + 1]).removesuffix(f" {WRONG}").removesuffix(f" {RIGHT}")
        if parse(f"{said} {WRONG}", k + 1, error_types).parsed:
            return k
        if not parse(f"{said} {RIGHT}", k + 1, error_types).parsed:
            return None
    return None


def distinct(paths: Sequence[Path]) -> list[Path]:
    """Return the first of each group of paths with the same steps."""
    first: dict[tuple[str, ...], Path] = {}
    for path in paths:
        first.setdefault(path.steps, path)
    return list(first.values())


def good_paths(paths: Sequence[Path], alpha: float) -> list[Path]:
    """Return the paths whose score is at least alpha (and above 0)."""
    return [path for path in paths if path.score > 0 and path.score >= alpha]


def pairs(paths: Sequence[Path], alpha: float, beta: float) -> list[tuple[Path, Path]]:
    """Return every ordered pair (good, bad) of a problem's paths with a score gap above beta, the good one's alpha met."""
    return [(g, b) for g in good_paths(paths, alpha) for b in paths if g.score - b.score > beta]


def departure(kept: Sequence[str], good: Sequence[str]) -> int:
    """Return how many first steps `good` shares with `kept`."""
    same = (a == b for a, b in zip(kept, good))
    return next((i for i, equal in enumerate(same) if not equal), min(len(kept), len(good)))


def splice(problem: Problem, bad: Path, good: Path, kept: int) -> Splice:
    """Return the revision trajectory that keeps `kept` steps of `bad`, played again without a limit of actions."""
    family = problems.load(problem.family)
    keep = bad.steps[:kept]
    rest = good.steps[departure(keep, good.steps) :]
    actions = [family.action_of(step) for step in (*keep, *rest)]
    actions.insert(kept, family.WAIT)
    steps = tuple(family.written(problem, actions, limited=False))
    consistent = steps[kept + 1 :] == rest and family.score(problem, steps) > 0
    return Splice(problem, bad.id, good.id, steps, kept, consistent)


def as_example(name: str, problem: Problem, steps: Sequence[str], masked: int = 0) -> dict:
    """Return the `examples` row of a dialogue in which all actions but the first `masked` ones are learned.

    The learned actions before the last carry `weight: 1` in the prompt's messages; the last one is the completion.
    """
    family = problems.load(problem.family)
    messages = family.messages(problem, steps)
    acts = [m for m in messages if m["role"] == "assistant"]
    for i, message in enumerate(acts):
        message["weight"] = int(i >= masked)
    last = max(i for i, m in enumerate(messages) if m["role"] == "assistant")
    return example(name, problem.id, messages[:last], "assistant", messages[last]["content"])


def draw(found: Sequence, n: int, rng: random.Random) -> list:
    """Return at most n of `found`, drawn at random, in their order."""
    return [found[i] for i in sorted(rng.sample(range(len(found)), min(n, len(found))))]
