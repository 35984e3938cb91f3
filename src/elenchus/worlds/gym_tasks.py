"""The library Reasoning Gym (arXiv 2505.24760): its tasks, their entries by seed, and its verifiers.

An entry is drawn with a seed of its own, from a data set of size one: the library seeds entry i of a data set with seed + i, so
that data sets of neighbouring seeds overlap. Nine tasks cannot be had: their verifier runs the answer as a Python
expression, and answers are a model's text.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from functools import lru_cache
from typing import Any

from elenchus import pieces, seeds
from elenchus.errors import UserError, did_you_mean

SAMPLED, RECURS = 128, 3  # entries whose words are looked at, and in how many of them a run of letters is one piece

# Their verifiers hand the answer to Python's eval, or to sympy's parser, which does.
EVALUATES = (
    "binary_matrix",
    "countdown",
    "intermediate_integration",
    "n_queens",
    "polynomial_multiplication",
    "puzzle24",
    "simple_integration",
    "spiral_matrix",
    "string_insertion",
)

# Tasks at sizes that the seed model learns in minutes (docs/families.md says how far).
SMALL: dict[str, dict[str, Any]] = {
    "basic_arithmetic": {
        "min_terms": 2,
        "max_terms": 3,
        "max_digits": 1,
        "operators": ["+", "-"],
        "allow_parentheses": False,
        "allow_negation": False,
    },
    "chain_sum": {"min_terms": 3, "max_terms": 3, "max_digits": 1},
    "gcd": {"max_value": 60},
    "lcm": {"min_value": 1, "max_value": 30},
    "number_filtering": {
        "min_numbers": 3,
        "max_numbers": 3,
        "min_decimals": 0,
        "max_decimals": 0,
        "min_value": 0,
        "max_value": 20,
    },
    "number_sorting": {
        "min_numbers": 2,
        "max_numbers": 3,
        "min_decimals": 0,
        "max_decimals": 0,
        "min_value": 0,
        "max_value": 9,
    },
    "products": {"max_digits": 2},
    "rotate_matrix": {"min_n": 2, "max_n": 2},
    "simple_equations": {"max_terms": 2, "max_value": 9},
    "spell_backward": {"min_word_len": 3, "max_word_len": 3},
}


def library():
    """Return the library's table of tasks: name -> (class of data sets, class of configurations)."""
    try:
        from reasoning_gym.factory import DATASETS
    except ModuleNotFoundError as e:
        raise UserError(
            f"the family gym needs the package reasoning-gym, which is not installed ({e}). Install it: make gym\n"
            "outside a clone of this project: pip install 'elenchus[gym]'"
        ) from None
    return DATASETS


@lru_cache(maxsize=64)
def made(task: str, settings: str):
    """Return (class of data sets, configuration of size 1 without a seed); ValueError where one of them is not allowed."""
    tasks = library()
    if task not in tasks:
        raise ValueError(
            f"no task {task!r} in Reasoning Gym{did_you_mean(task, tasks)}; tasks: {', '.join(sorted(tasks))}"
        )
    if task in EVALUATES:
        raise ValueError(
            f"the task {task!r} is left out: its verifier would run a model's answer as a Python expression"
        )
    datasets, configs = tasks[task]
    given = json.loads(settings)
    fields = {f.name: f.default for f in dataclasses.fields(configs) if f.name not in ("seed", "size")}
    for key in given:
        if key not in fields:
            own = ", ".join(fields)
            raise ValueError(
                f"the task {task!r} has no configuration key {key!r}{did_you_mean(key, fields)}; its keys: {own}"
            )
    try:
        config = configs(**{key: typed(fields[key], value) for key, value in given.items()}, size=1)
        if hasattr(config, "validate"):
            config.validate()
    except (AssertionError, TypeError, ValueError) as e:
        raise ValueError(
            f"the configuration {settings} of the task {task!r} is refused: {e or type(e).__name__}"
        ) from None
    return datasets, config


def typed(default: Any, value: Any) -> Any:
    """Return a value as YAML can say it in the type that a configuration's default has."""
    if isinstance(default, enum.Enum):
        return type(default)(value)
    return tuple(value) if isinstance(default, tuple) else value


@lru_cache(maxsize=16)  # few: some data sets hold a book of words
def drawn(task: str, settings: str, seed: int):
    """Return the data set of size 1 of `seed`, and its entry; UserError where the task cannot make one."""
    datasets, config = made(task, settings)
    try:
        dataset = datasets(config=dataclasses.replace(config, seed=seed))
        return dataset, dataset[0]
    except Exception as e:  # the library checks configurations only in part
        raise UserError(
            f"the task {task!r} makes no entry of seed {seed} under the configuration {settings}: {type(e).__name__}: {e}"
        ) from e


def entry_of(task: str, settings: str, seed: int) -> dict:
    """Return the entry of `seed`."""
    entry = drawn(task, settings, seed)[1]
    if not isinstance(entry["answer"], str):
        raise UserError(
            f"the task {task!r} gives no reference answers, which references and critiques are made of; take another"
        )
    return entry


@lru_cache(maxsize=100_000)
def right(task: str, settings: str, seed: int, answer: str) -> bool:
    """Return whether the task gives `answer` to the entry of `seed` its full score."""
    dataset, entry = drawn(task, settings, seed)
    try:
        return float(dataset.score_answer(answer, entry)) >= 1.0
    except Exception:  # verifiers are a hundred people's code: what they cannot read is wrong
        return False


@lru_cache(maxsize=64)
def sample(task: str, settings: str) -> tuple[dict, ...]:
    """Return the entries from which the task's words and wrong answers are taken, always the same ones."""
    rng = seeds.rng("gym", task, settings)
    return tuple(entry_of(task, settings, rng.getrandbits(31)) for _ in range(SAMPLED))


@lru_cache(maxsize=64)
def known(task: str, settings: str) -> frozenset[str]:
    """Return what is one piece in the task's texts."""
    return pieces.recurring((f"{entry['question']} {entry['answer']}" for entry in sample(task, settings)), RECURS)
