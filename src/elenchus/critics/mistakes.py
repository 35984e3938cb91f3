"""Wrong steps on purpose: five named types of error, put into a right step of a chain by program.

Source: SPC (arXiv 2504.19162), whose generator first names one of five types of error.  They stand where the paper has a
strong model's rewritings; except for the arithmetic slip, the result is right for what the step says, as in slips of
models.
"""

from __future__ import annotations

import random

from elenchus.critics.format import NONE
from elenchus.errors import UserError
from elenchus.problems import Problem
from elenchus.problems.chain import OPERATORS

# Type of error: the word that names it. The vocabulary has no word for a step that is left out.
TYPES = {"result": "result", "carry": "carry", "operator": "operator", "operand": "operand", "skip": NONE}


def spoil(problem: Problem, prefix: tuple[str, ...], right: str, kind: str, rng: random.Random) -> str | None:
    """Return the step `right`, which follows `prefix`, with one error of type `kind`; None where it allows none.

    result: another result, half of them off by one. carry: another first operand than the last result. operator,
    operand: another than the question's. skip: the operation of the next step.
    """
    if problem.family != "chain":
        raise UserError(f"errors by program are known for family chain only, not for {problem.family!r}")
    modulus, links = problem.meta["modulus"], problem.meta["links"]
    words = right.split(" ")
    a, op, b, result = int(words[0]), words[1], int(words[2]), int(words[4])
    if kind == "result":
        near = (result + rng.choice((-1, 1))) % modulus
        return f"{a} {op} {b} = {near if rng.random() < 0.5 else _other(result, range(modulus), rng)}"
    if kind == "carry":
        a = _other(a, range(modulus), rng)
    elif kind == "operator":
        op = _other(op, OPERATORS, rng)
    elif kind == "operand":
        b = _other(b, range(1, modulus), rng)
    elif kind == "skip":
        if len(prefix) + 1 >= len(links) or list(links[len(prefix) + 1]) == [op, b]:
            return None
        op, b = links[len(prefix) + 1]
    else:
        raise ValueError(f"error type {kind!r} is none of {', '.join(TYPES)}")
    return f"{a} {op} {b} = {OPERATORS[op](a, b) % modulus}"


def draw(problem: Problem, prefix: tuple[str, ...], right: str, rng: random.Random) -> tuple[str, str]:
    """Return (type, wrong step), the type drawn evenly from those that the step allows."""
    kinds = list(TYPES)
    rng.shuffle(kinds)
    for kind in kinds:
        step = spoil(problem, prefix, right, kind, rng)
        if step is not None:
            return kind, step
    raise ValueError(f"no type of error fits step {right!r}")


def announce(kind: str, step: str) -> str:
    """Return the generator's text: the type's word, then the wrong step."""
    return f"{TYPES[kind]} {step}"


def read(text: str) -> str | None:
    """Return the step that a generator's text proposes, None where it names no type or no step."""
    word, _, step = text.strip().partition(" ")
    return step if step and word in TYPES.values() else None


def _other(value, choices, rng: random.Random):
    """Return one of `choices` that is not `value`."""
    return rng.choice([choice for choice in choices if choice != value])
