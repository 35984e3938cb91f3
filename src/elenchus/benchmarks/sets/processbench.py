"""ProcessBench (arXiv 2412.06559): solutions of twelve models with the label of the earliest wrong step."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record

SUBSETS = ("gsm8k", "math", "olympiadbench", "omnimath")
CARD = Card(
    "ProcessBench",
    "https://huggingface.co/datasets/Qwen/ProcessBench",
    "Apache-2.0",
    {s: (f"{s}.json", f"{s}.jsonl", f"data/{s}-*.parquet") for s in SUBSETS},
    rows={"gsm8k": 400, "math": 1000, "olympiadbench": 1000, "omnimath": 1000},
    hub="Qwen/ProcessBench",
    revision="3bdcd5371ed567559a78f559c01c13a6deee7604",
    sha256={
        "gsm8k.json": ("fb1c59dfd1e83e1c5a48dbe598db27e4bc0b8bc524a09445f2d4b69178f61349",),
        "math.json": ("60cb0d7a69cbec98d43cf50855b9b7e7294599c3c9a24bdd031abd18c3b6b136",),
        "olympiadbench.json": ("e9d801c9f3c03f949adbfa08e90cb21ad85c0b9224bc5e98326f8215c218aa55",),
        "omnimath.json": ("e8d7cf4512c82168dae2fe48b1718069a3002e7910af1d180a27ee0d9948ba47",),
    },
    flaws="Outcome labels are a model's. Solutions with a right answer and a wrong step: 7, 94, 161 and 259 by subset.",
    restricted="the subset math is derived from MATH",
)


def item(record: Record, place: str) -> Item:
    """Return the item; it has no reference answer, for the set judges steps."""
    steps, label = record.texts("steps"), record.whole("label", -1)
    if label >= len(steps):
        raise record.no("label", f"{label}, and there are {len(steps)} steps", f"-1 to {len(steps) - 1}")
    right = record.truth("final_answer_correct")
    if label == -1 and not right:
        raise record.no("label", "-1 (no wrong step) although the final answer is wrong", "the earliest wrong step")
    solution = PublishedSolution(record.text("generator"), "\n\n".join(steps), steps, "", right, label)
    return Item(problem("processbench", place, record.text("problem"), ""), record.text("id"), (solution,))
