"""ProntoQA (Saparov and He 2023) as llm-reasoners ships it: true-or-false deductions of three to five hops."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record

CARD = Card(
    "ProntoQA",
    "https://github.com/asaparov/prontoqa, https://github.com/maitrix-org/llm-reasoners",
    "Apache-2.0",
    {"test": ("345hop_random_true.json",)},
    rows={"test": 500},
    sha256={"345hop_random_true.json": ("f72eaf608740f69b2115f967150b864677ea94b08b7b17a935dc81781147aae7",)},
    flaws="Each record brings its own eight examples; they are not part of the item. All 500 answers are true or false by "
    "deduction, so a guess is right half the time.",
)


def item(record: Record, place: str) -> Item:
    """Return the item; the published solution is the chain of deductions."""
    steps = record.texts("test_example.chain_of_thought")
    answer = "true" if record.truth("test_example.answer") else "false"
    prompt = f"{record.text('test_example.question')} {record.text('test_example.query')}"
    gold = PublishedSolution("reference", " ".join(steps), steps, answer, True)
    return Item(problem("prontoqa", place, prompt, answer), record.text("_name"), (gold,))
