"""MR-GSM8K (arXiv 2312.17080): solutions of GSM8K problems and of two variations, with first error and its reason."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedCritique, PublishedSolution, problem
from elenchus.benchmarks.records import Record

CARD = Card(
    "MR-GSM8K",
    "https://github.com/dvlab-research/MR-GSM8K",
    "MIT",
    {"test": ("MR-GSM8K.json", "MR-GSM8k.json", "dataset/MR-GSM8K.json", "dataset/MR-GSM8k.json")},
    flaws="Program-of-thought variations (question_type POT) have code for steps.",
    tested="a hand-made file of its format",
)


def item(record: Record, place: str) -> Item:
    """Return the item; the set counts steps from 1, the item from 0. The human reason is the published critique."""
    steps = record.texts("model_output_steps")
    right = record.truth("model_output_solution_correctness")
    label = record.get("model_output_solution_first_error_step")
    first = -1 if right or label in (None, "", "N/A") else record.whole("model_output_solution_first_error_step", 1) - 1
    if first >= len(steps):
        raise record.no(
            "model_output_solution_first_error_step", f"{first + 1}, and there are {len(steps)}", f"1 to {len(steps)}"
        )
    reason = str(record.fields.get("model_output_solution_first_error_reason") or "")
    critique = PublishedCritique("human", "" if reason == "N/A" else reason, first)
    outcome = record.truth("model_output_answer_correctness")
    solution = PublishedSolution("", "\n".join(steps), steps, "", outcome, first, critiques=(critique,))
    made = problem("mr_gsm8k", place, record.text("question"), record.answer("ground_truth_answer"))
    made.meta["type"] = record.text("question_type")
    return Item(made, record.text("uuid"), (solution,))
