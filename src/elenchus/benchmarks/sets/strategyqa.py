"""StrategyQA (Geva et al. 2021): yes-or-no questions whose steps are implicit, with facts and a decomposition."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record

CARD = Card(
    "StrategyQA",
    "https://github.com/eladsegal/strategyqa",
    "MIT",
    {"train": ("train.json",), "dev": ("dev.json",)},
    rows={"train": 2061, "dev": 229},
    sha256={
        "dev.json": ("0d94842ffb022db8fd5ecd2168b785d5cf67f6faf64f665476bad544a3eb9dde",),
        "train.json": ("0f72560b8a6fad3db847d2f1a7524fb087297843bb45a8d3245ffd68cbe0de12",),
    },
    flaws="The official test has no public answers; train and dev divide the 2,290 public questions.",
)


def item(record: Record, place: str) -> Item:
    """Return the item; the published solution is the decomposition into questions, the facts stand in `meta`."""
    answer = "yes" if record.truth("answer") else "no"
    steps = record.texts("decomposition")
    made = problem("strategyqa", place, record.text("question"), answer, facts=list(record.texts("facts")))
    return Item(made, record.text("qid"), (PublishedSolution("reference", "\n".join(steps), steps, answer, True),))
