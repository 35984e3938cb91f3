"""AIME and AMC as small files: a problem and a short answer, under the field names that the usual copies have."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record

CARD = Card(
    "AIME, AMC and the like",
    "https://huggingface.co/datasets/HuggingFaceH4/aime_2024, https://huggingface.co/datasets/math-ai/amc23",
    "unclear: the problems belong to the Mathematical Association of America",
    {"*": ("*.jsonl", "data/*.parquet", "*.parquet", "*.csv", "*.json")},
    flaws="Thirty problems a year: an accuracy has a standard error of up to nine points. Older years are in training data.",
    restricted="the problems' owner has not licensed them",
    tested="a hand-made file of its format",
)


def item(record: Record, place: str) -> Item:
    """Return the item; fields problem or question, answer, and where there are solution, id, in any case of letters."""
    fields = {str(k).lower(): v for k, v in record.fields.items()}
    low = Record(fields, record.file, record.row)
    answer = low.answer("answer").removesuffix(".0")
    key = low.has("id", "idx", "url")
    gold = ()
    if low.has("solution") and low.text("solution", empty=True).strip():
        text = low.text("solution")
        gold = (PublishedSolution("reference", text, tuple(text.split("\n")), answer, True),)
    prompt = low.text(low.has("problem", "question") or "problem")
    return Item(problem("competition", place, prompt, answer), low.text(key) if key else "", gold)
