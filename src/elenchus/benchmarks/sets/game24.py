"""Game of 24: make 24 of four numbers, each used once. Puzzles by rank; the usual test is ranks 901 to 1000."""

from __future__ import annotations

import re

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, problem
from elenchus.benchmarks.records import Record
from elenchus.benchmarks.sets import countdown_puzzles
from elenchus.problems import Problem

CARD = Card(
    "Game of 24",
    "https://github.com/princeton-nlp/tree-of-thought-llm",
    "MIT by the host; the table comes from the site 4nums.com",
    {"all": ("24.csv",)},
    rows={"all": 1362},
    sha256={"24.csv": ("b9f12b3e36d987a3c714c4cef17d89a137d7c59da26532fcfb93b4821d8111b5",)},
    flaws="Solved rates are people's, of those who chose to play.",
)


def item(record: Record, place: str) -> Item:
    """Return the item."""
    numbers = [int(n) for n in re.findall(r"\d+", record.text("Puzzles"))]
    if len(numbers) != 4:
        raise record.no("Puzzles", f"{record.text('Puzzles')!r}", "four whole numbers")
    rank = record.whole("Rank", 1)
    made = problem("game24", place, f"make 24 from {' '.join(map(str, numbers))}", "")
    made.meta.update(numbers=numbers, target=24, rank=rank, solved=record.text("Solved rate"))
    return Item(made, str(rank))


def check(problem: Problem, answer: str) -> bool:
    """Return whether the expression (before any "=") makes 24, exactly, from each given number once."""
    return countdown_puzzles.check(problem, answer)
