"""Countdown puzzles in TinyZero's Parquet form (also UFT's, whose "hint" solves each): reach a target from numbers."""

from __future__ import annotations

import re

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record
from elenchus.problems import Problem, countdown

CARD = Card(
    "Countdown (TinyZero, UFT)",
    "https://github.com/Jiayi-Pan/TinyZero, https://github.com/liumy2010/UFT",
    "Apache-2.0",
    {"train": ("train.parquet",), "test": ("test.parquet",)},
    flaws="TinyZero's puzzles are not all said to be solvable by whole numbers alone; UFT's come with a solution.",
)


def item(record: Record, place: str) -> Item:
    """Return the item; with a hint, its steps and its last expression are the published solution."""
    numbers = record.get("nums")
    if not isinstance(numbers, list) or not all(type(n) is int and n > 0 for n in numbers) or not numbers:
        raise record.no("nums", f"{numbers!r}", "a list of whole numbers from 1")
    target = record.whole("target", 0)
    made = problem("countdown_puzzles", place, f"make {target} from {' '.join(map(str, numbers))}", "")
    made.meta.update(numbers=numbers, target=target)
    if not record.has("hint"):
        return Item(made)
    *steps, last = (line.strip() for line in record.texts("hint"))
    found = re.search(r"equation is (.+)$", last)
    if not found:
        raise record.no("hint", f"its last line is {last!r}", "'... the final equation is <expression>'")
    return Item(made, solutions=(PublishedSolution("reference", "\n".join(steps), tuple(steps), found[1], True),))


def check(problem: Problem, answer: str) -> bool:
    """Return whether the expression makes the target, exactly, from each given number once."""
    expression = answer.partition("=")[0].strip()
    used = sorted(map(int, re.findall(r"\d+", expression)))
    return used == sorted(problem.meta["numbers"]) and countdown.check_answer(problem, expression)
