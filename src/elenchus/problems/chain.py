"""Chains of modular arithmetic: `8 #1 - 7 #2 * 9`, worked from left to right, every result modulo a fixed number.

    question   8 #1 - 7 #2 * 9 #3 + 4
    solution   #1 8 - 7 = 1 #2 1 * 9 = 9 #3 9 + 4 = 2 answer 2

The step's index stands before its operation in question and solution, so that a small model finds what to work on.
Operands are never 0: with a prime modulus every operation is then one-to-one, and one wrong step makes a wrong answer
(two wrong steps can still cancel). A well-formed solution has one step for each operation, and its answer is its last
result; so a well-formed solution with a wrong answer has a wrong step.
"""

from __future__ import annotations

import hashlib
import operator
import random
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from elenchus.critics.format import BAD, GIVES, GOOD, NONE, WORDS
from elenchus.problems import Check, Drill, Problem, Solution

OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
ERRORS = ("result", "carry", "operator", "operand", "format")


class Options(BaseModel):
    """The difficulty of generated chains."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modulus: int = Field(11, ge=3, le=97, description="results are taken modulo this number")
    min_length: int = Field(3, ge=1, le=20, description="fewest operations")
    max_length: int = Field(6, ge=1, le=20, description="most operations")
    operators: tuple[Literal["+", "-", "*"], ...] = Field(("+", "-", "*"), min_length=1, description="operations drawn")

    @model_validator(mode="after")
    def _ordered(self) -> Options:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        return self


def generate(options: Options, rng: random.Random) -> Problem:
    """Return one chain: uniform length, start, operators and operands (1 to modulus - 1)."""
    length = rng.randint(options.min_length, options.max_length)
    start = rng.randrange(options.modulus)
    links = [(rng.choice(options.operators), rng.randrange(1, options.modulus)) for _ in range(length)]
    return build(start, links, options.modulus)


def build(start: int, links: list[tuple[str, int]], modulus: int) -> Problem:
    """Return the problem that starts at `start` and applies `links` (operator, operand) in turn."""
    value = start
    for op, operand in links:
        value = OPERATORS[op](value, operand) % modulus
    prompt = " ".join([str(start), *(f"#{i + 1} {op} {b}" for i, (op, b) in enumerate(links))])
    digest = hashlib.sha256(f"chain {modulus} {prompt}".encode()).hexdigest()
    meta = {"modulus": modulus, "start": start, "links": [list(link) for link in links], "difficulty": len(links)}
    return Problem(f"chain-{digest[:12]}", "chain", prompt, str(value), meta)


def reference(problem: Problem) -> list[str]:
    """Return the steps of the exact solution."""
    return _work(problem, [])


def render(problem: Problem, steps: list[str]) -> str:
    """Return the text of a solution with these steps; its answer is the last result."""
    body = " ".join(f"#{i + 1} {step}" for i, step in enumerate(steps))
    return f"{body} answer {steps[-1].split()[-1]}"


def parse(problem: Problem, text: str) -> Solution:
    """Return the steps and answer of `text`; not ok unless it is `render` of one readable step for each operation."""
    words, steps = text.split(), []
    while words[6 * len(steps) : 6 * len(steps) + 1] == [f"#{len(steps) + 1}"]:
        step = " ".join(words[6 * len(steps) + 1 : 6 * len(steps) + 6])
        if _read(problem, step) is None:
            break
        steps.append(step)
    ok = len(steps) == len(problem.meta["links"]) and " ".join(words) == render(problem, steps)
    return Solution(tuple(steps), words[-1] if ok else "", ok)


def check_answer(problem: Problem, answer: str) -> bool:
    """Return whether `answer` is the chain's value."""
    return answer == problem.answer


def check_steps(problem: Problem, steps: list[str]) -> list[Check]:
    """Return the verdict on each step, judged from the result that the step before it claims.

    Errors are named in reading order: `carry` (the first operand is not what the step before left), `operator`,
    `operand` (not the question's), `result`; `format` for a step that cannot be read or that no operation asks for.
    An unreadable step hands on the result that it should have had.
    """
    modulus, links, value, checks = problem.meta["modulus"], problem.meta["links"], problem.meta["start"], []
    for i, step in enumerate(steps):
        if i >= len(links):
            checks.append(Check(False, "format", NONE, NONE, NONE))
            continue
        op, operand = links[i]
        expected = OPERATORS[op](value, operand) % modulus
        read = _read(problem, step)
        if read is None:
            error, claimed = "format", None
        else:
            a, o, b, claimed = read
            tests = {"carry": a == value, "operator": o == op, "operand": b == operand, "result": claimed == expected}
            error = next((name for name, passed in tests.items() if not passed), "")
        said = NONE if claimed is None else str(claimed)
        checks.append(Check(not error, error, f"{value} {op} {operand}", str(expected), said))
        value = expected if claimed is None else claimed
    return checks


def corrupt(problem: Problem, rng: random.Random, rate: float) -> list[str]:
    """Return a solution in which each step is wrong with probability `rate`; the steps after it go on from its result.

    Seven in ten of the errors are wrong results, half of those off by one; the rest are carry, operator and operand
    errors, after which the result is right for what the step says.
    """
    modulus, value, steps = problem.meta["modulus"], problem.meta["start"], []
    for op, operand in problem.meta["links"]:
        kind = (
            rng.choices(("result", "carry", "operator", "operand"), (70, 10, 10, 10))[0] if rng.random() < rate else ""
        )
        a, o, b = value, op, operand
        if kind == "carry":
            a = _other(value, range(modulus), rng)
        elif kind == "operator":
            o = _other(op, OPERATORS, rng)
        elif kind == "operand":
            b = _other(operand, range(1, modulus), rng)
        result = OPERATORS[o](a, b) % modulus
        if kind == "result":
            near = (result + rng.choice((-1, 1))) % modulus
            result = near if rng.random() < 0.5 else _other(result, range(modulus), rng)
        steps.append(f"{a} {o} {b} = {result}")
        value = result
    return steps


def error_types() -> tuple[str, ...]:
    """Return the names that Check.error can take."""
    return ERRORS


def distance(problem: Problem, steps: list[str]) -> int | None:
    """Return how many right steps lead from `steps` to the right answer; None where they lead elsewhere.

    A prefix with errors that cancel still has a distance.
    """
    left = len(problem.meta["links"]) - len(steps)
    if left < 0 or any(_read(problem, step) is None for step in steps):
        return None
    last = [*steps, *_work(problem, steps)][-1]
    return left if last.split()[-1] == problem.answer else None


def vocabulary(options: Options) -> list[str]:
    """Return the words of prompts, solutions and critiques."""
    marks = [f"#{i + 1}" for i in range(options.max_length)]
    return [*map(str, range(options.modulus)), *OPERATORS, "=", "answer", *marks, *WORDS, *ERRORS]


def drills(options: Options, rng: random.Random) -> Drill:
    """Return eight single facts (`#3 8 - 7 = 1`) and single comparisons (`#3 8 - 7 -> 1 4 bad result`), mixed.

    What is asked for (the operation, what was claimed) cannot be predicted; the result and the verdict can.
    """
    words: list[str] = []
    known: list[bool] = []
    for _ in range(8):
        a, b, op = rng.randrange(options.modulus), rng.randrange(1, options.modulus), rng.choice(options.operators)
        result = OPERATORS[op](a, b) % options.modulus
        unit = [f"#{rng.randint(1, options.max_length)}", str(a), op, str(b)]
        if rng.random() < 0.5:
            unit += ["=", str(result)]
            predictable = [False] * 5 + [True]
        else:
            same = rng.random() < 0.5
            claimed = result if same else _other(result, range(options.modulus), rng)
            unit += [GIVES, str(result), str(claimed), *([GOOD] if same else [BAD, "result"])]
            predictable = [False] * 5 + [True, False] + [True] * (len(unit) - 7)
        words += unit
        known += predictable
    return Drill("", " ".join(words), tuple(known))


def _work(problem: Problem, steps: list[str]) -> list[str]:
    """Return the right steps that follow `steps`."""
    modulus = problem.meta["modulus"]
    value = int(steps[-1].split()[-1]) if steps else problem.meta["start"]
    rest = []
    for op, operand in problem.meta["links"][len(steps) :]:
        result = OPERATORS[op](value, operand) % modulus
        rest.append(f"{value} {op} {operand} = {result}")
        value = result
    return rest


def _read(problem: Problem, step: str) -> tuple[int, str, int, int] | None:
    """Return (first operand, operator, second operand, result) of a step's text, None where it does not say so."""
    words = step.split(" ")
    if len(words) != 5 or words[1] not in OPERATORS or words[3] != "=":
        return None
    numbers = [_number(word, problem.meta["modulus"]) for word in (words[0], words[2], words[4])]
    return None if None in numbers else (numbers[0], words[1], numbers[1], numbers[2])


def _number(word: str, modulus: int) -> int | None:
    """Return the value of a word that writes one of 0 .. modulus - 1, else None."""
    value = int(word) if word.isascii() and word.isdigit() else modulus
    return value if value < modulus and str(value) == word else None


def _other(value, choices, rng: random.Random):
    """Return one of `choices` that is not `value`."""
    return rng.choice([choice for choice in choices if choice != value])
