r"""MATH (Hendrycks et al. 2021), from files of your own: problem, solution with \boxed{answer}, level, type."""

from __future__ import annotations

from elenchus.answers import boxed
from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record

CARD = Card(
    "MATH",
    "https://github.com/hendrycks/math",
    "MIT by its authors; disputed, see the warning",
    {
        "train": ("train.jsonl", "train.parquet", "*/train-*.parquet", "train/*/*.json"),
        "test": ("test.jsonl", "test.parquet", "*/test-*.parquet", "test/*/*.json"),
    },
    rows={"train": 7500, "test": 5000},
    restricted="the publisher of the competitions' problems had the data set taken down from the hub in January 2025; "
    "do not publish items or anything derived from them",
    tested="a hand-made file of its format",
)


def item(record: Record, place: str) -> Item:
    """Return the item; the answer is the field "answer" (MATH-500 has it), else what the solution boxes."""
    solution = record.text("solution")
    answer = record.answer("answer") if record.has("answer") else boxed(solution)
    if not answer:
        raise record.no("solution", r"no \boxed{...} in it and no field 'answer'", r"a solution with \boxed{answer}")
    meta = {key: record.text(key) for key in ("level", "type", "subject") if record.has(key)}
    gold = PublishedSolution("reference", solution, tuple(solution.split("\n")), answer, True)
    return Item(
        problem("math", place, record.text("problem"), answer, **meta),
        record.text("unique_id") if record.has("unique_id") else "",
        (gold,),
    )
