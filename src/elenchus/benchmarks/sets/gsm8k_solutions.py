"""GSM8K's published model solutions: four columns of GPT-3 outputs on the test split, with outcome labels."""

from __future__ import annotations

from elenchus.answers import final
from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record

COLUMNS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
CARD = Card(
    "GSM8K, example model solutions",
    "https://github.com/openai/grade-school-math",
    "MIT",
    {"test": ("example_model_solutions.jsonl",)},
    rows={"test": 1319},
    sha256={"example_model_solutions.jsonl": ("4bc62db838f8418365d51c627bd66294cbdca9fb7f01519cb13f0dce8c51580b",)},
    flaws="Eleven solutions state no answer. Labels compare numbers, thousands' commas aside.",
)


def item(record: Record, place: str) -> Item:
    """Return the item with its four solutions."""
    gold = final(record.text("ground_truth"))
    if not gold:
        raise record.no("ground_truth", "no line 'A: answer' ends it", "a solution, then 'A: ' and its answer")
    solutions = []
    for column in COLUMNS:
        text = record.text(f"{column}.solution", empty=True)
        right = record.truth(f"{column}.is_correct")
        solutions.append(PublishedSolution(column, text, tuple(text.split("\n")), final(text) or "", right))
    return Item(problem("gsm8k_solutions", place, record.text("question"), gold), solutions=tuple(solutions))
