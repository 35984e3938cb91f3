"""BIG-Bench-Mistake (arXiv 2311.08516): chains of PaLM-2 on five symbolic tasks with the place of the first mistake."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record

CARD = Card(
    "BIG-Bench-Mistake",
    "https://github.com/WHGTyen/BIG-Bench-Mistake",
    "Apache-2.0",
    {"*": ("*.jsonl",)},
    canary="BIG-bench's canary string stands in the files that they come from; training on them is not intended",
    flaws="Solutions are PaLM-2's: the provider's terms may restrict training on them.",
    tested="a hand-made file of its format",
)


def item(record: Record, place: str) -> Item:
    """Return the item; mistake_index is 0-based, null for none."""
    steps, answer, target = record.texts("steps"), record.text("answer", empty=True), record.answer("target")
    first = -1 if record.get("mistake_index") is None else record.whole("mistake_index", 0)
    if first >= len(steps):
        raise record.no(
            "mistake_index", f"{first}, and there are {len(steps)} steps", f"0 to {len(steps) - 1}, or null"
        )
    right = answer.strip() == target
    solution = PublishedSolution("PaLM-2", "\n".join(steps), steps, answer, right, first)
    return Item(problem("bigbench_mistake", place, record.text("input"), target), solutions=(solution,))
