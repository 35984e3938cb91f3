"""Problem families. A family is one module in this folder; nothing else has to know of it.

A family module defines these names (`chain.py` is the model to copy):

    Options                                    pydantic model of the difficulty knobs, unknown keys refused
    generate(options, rng) -> Problem          one problem drawn with `rng` (random.Random)
    reference(problem) -> list[str]            the steps of an exact solution
    parse(problem, text) -> Solution           strict reading of what a model wrote
    render(problem, steps) -> str              the text of a solution with these steps; parse(render(x)) == x
    check_answer(problem, answer) -> bool      the outcome verifier
    check_steps(problem, steps) -> list[Check] the step verifier: each step judged from the prefix that precedes it
    corrupt(problem, rng, rate) -> list[str]   an exact solution with injected step errors (for critics' training)
    error_types() -> tuple[str, ...]           the names that Check.error can take
    distance(problem, steps) -> int | None     fewest further steps to a right answer; None: no way from here
    vocabulary(options) -> list[str]           the words that prompts, solutions and critiques can hold
    drills(options, rng) -> Drill              one small exercise for the seed model's first phase

An interactive family (`crafting.py`), whose steps are actions with a world's answers, defines these too:

    environment(problem, actions, limited)     the world after `actions`: an `engines.rollout.Environment` with `over`
    written(problem, actions, limited)         the steps that actions make; limited: by the episode's number of actions
    messages(problem, steps) -> list[Message]  the dialogue of agent and world so far
    step(action, answer), action_of(step)      put a step together, and take it apart
    readable(action) -> bool                   whether a text is an action
    score(problem, steps) -> float             what an episode is worth, 0 to 1
    WAIT                                       the action that says that a mistake was made
    MUMBLE                                     the action that stands for one that cannot be read
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import random
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType

from elenchus.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Problem:
    """One task instance."""

    id: str  # "<family>-<12 hex digits of the content>"
    family: str
    prompt: str  # the question as the model reads it
    answer: str  # the reference answer ("" where a family has many right answers)
    meta: dict = field(default_factory=dict)  # what the verifier needs: operands, target, modulus ...


@dataclass(frozen=True)
class Solution:
    """What a solution's text says: its steps (without step marks) and its final answer.

    `ok` is False where the text breaks the family's format; steps then hold what could be read, answer is "".
    """

    steps: tuple[str, ...]
    answer: str
    ok: bool


@dataclass(frozen=True)
class Check:
    """The exact verdict on one step, judged as a continuation of the steps before it.

    working: the operation the step ought to carry out ("1 * 9"); expected: its true result ("9"); claimed: the result
    that the step states; error: "" or one of the family's error types.
    """

    ok: bool
    error: str
    working: str
    expected: str
    claimed: str


@dataclass(frozen=True)
class Drill:
    """A prompt and its completion as plain words; `predictable` marks the completion words that can be predicted."""

    prompt: str
    completion: str
    predictable: tuple[bool, ...]


def names() -> list[str]:
    """Return the names of all families: the modules of this package."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


@cache
def load(family: str) -> ModuleType:
    """Return the module of `family`; raise UserError with the nearest name where there is none."""
    if family not in names():
        raise UserError(
            f"unknown problem family {family!r}{did_you_mean(family, names())}; families: {', '.join(names())}"
        )
    return importlib.import_module(f"elenchus.problems.{family}")


def full_options(family: str, given: dict) -> dict:
    """Return the family's options as plain data, defaults filled in; ValueError (pydantic's) where `given` is wrong."""
    return load(family).Options.model_validate(given).model_dump(mode="json")


def split_of(problem_id: str) -> str:
    """Return the split that a problem belongs to, for ever and for everyone, by the first byte of its content digest.

    Three quarters train, an eighth validation, an eighth test: disjoint by construction, whatever is drawn.
    """
    byte = int(problem_id.rpartition("-")[2][:2], 16)
    return "train" if byte < 192 else "validation" if byte < 224 else "test"


def draw(family: ModuleType, options, split: str, rng: random.Random) -> Problem:
    """Return one problem of `split`; UserError where the options leave the split (nearly) empty."""
    for _ in range(10_000):
        problem = family.generate(options, rng)
        if split_of(problem.id) == split:
            return problem
    name = family.__name__.rpartition(".")[2]
    raise UserError(
        f"empty split: none of 10000 generated {name} problems belongs to {split!r}; widen the options ({options})"
    )


def first_error(checks: list[Check]) -> int:
    """Return the 0-based index of the first wrong step, -1 where all are right (ProcessBench's label)."""
    return next((i for i, check in enumerate(checks) if not check.ok), -1)


def from_row(row: dict) -> Problem:
    """Return the Problem of one row of a problems table (its `meta` is JSON there)."""
    return Problem(row["problem_id"], row["family"], row["prompt"], row["answer"], json.loads(row["meta"]))
