"""SVAMP (Patel et al. 2021): one-step word problems that vary what models overlook."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record

CARD = Card(
    "SVAMP",
    "https://github.com/arkilpatel/SVAMP",
    "MIT",
    {"test": ("SVAMP.json", "data/test-*.parquet"), "train": ("train.json", "data/train-*.parquet")},
    rows={"test": 1000},
    sha256={"SVAMP.json": ("5be77703a6d891ae476d7c082787ad361392aa02453b132516cdd5f4e7934e3e",)},
    flaws="The repository's file holds all 1,000 challenge problems; the hub's copy divides them into 700 and 300. "
    "The equation of chal-680 is 5, its answer 1.",
)


def item(record: Record, place: str) -> Item:
    """Return the item; the published solution is the equation."""
    body = record.text("Body").strip()
    prompt = f"{body}{'' if body.endswith(('.', '?', '!', ',')) else '.'} {record.text('Question').strip()}"
    answer, equation = record.answer("Answer"), record.text("Equation")
    gold = PublishedSolution("reference", equation, (equation,), answer, True)
    answer = answer.removesuffix(".0")
    return Item(problem("svamp", place, prompt, answer, type=record.text("Type")), record.text("ID"), (gold,))
