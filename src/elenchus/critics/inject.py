"""Errors put into right solutions on purpose, so that where they are is known without a person.

Source: Critic-V (arXiv 2411.18203), vision error insertion: a true answer is rewritten with one to five false details.

A family says what an error looks like (`corrupt`). What it draws is taken only where the exact checker finds as many
wrong steps as were asked for, of the types asked for, and the answer is wrong: no injected error is without effect.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from elenchus import problems
from elenchus.errors import UserError, did_you_mean
from elenchus.problems import Problem

TRIES = 20_000  # draws for one solution


def check_types(types: Sequence[str], known: Sequence[str]) -> None:
    """Raise UserError where a type to inject is none of the family's."""
    for name in types:
        if name not in known:
            raise UserError(
                f"no error type {name!r} in this family{did_you_mean(name, known)}; types: {', '.join(known)}"
            )


def inject(
    problem: Problem, rng: random.Random, errors: int, types: Sequence[str] = (), source: Sequence[str] | None = None
) -> list[str] | None:
    """Return a solution with exactly `errors` wrong steps, None where no such one was drawn.

    types: those that the errors may have, empty for all. source: the steps of a sound solution; what is returned keeps
    them up to its first wrong step. Without it the family's exact solution is corrupted.
    """
    family = problems.load(problem.family)
    length = len(source if source is not None else family.reference(problem))
    for _ in range(TRIES):
        steps = family.corrupt(problem, rng, errors / length)
        checks = family.check_steps(problem, steps)
        wrong = [i for i, check in enumerate(checks) if not check.ok]
        if len(wrong) != errors or (types and any(checks[i].error not in types for i in wrong)):
            continue
        if source is not None and steps[: wrong[0]] != list(source[: wrong[0]]):
            continue
        solution = family.parse(problem, family.render(problem, steps))
        if solution.ok and not family.check_answer(problem, solution.answer):
            return steps
    return None
