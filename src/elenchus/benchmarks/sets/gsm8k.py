"""GSM8K (Cobbe et al. 2021): grade-school word problems; the last line of an answer is "#### number"."""

from __future__ import annotations

import re

from elenchus.answers import final
from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record

CARD = Card(
    "GSM8K",
    "https://github.com/openai/grade-school-math",
    "MIT",
    {"train": ("train.jsonl", "main/train-*.parquet"), "test": ("test.jsonl", "main/test-*.parquet")},
    rows={"train": 7473, "test": 1319},
    sha256={
        "train.jsonl": ("17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",),
        "test.jsonl": ("3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",),
    },
    hub="openai/gsm8k",
    revision="740312add88f781978c0658806c59bc2815b9866",
    flaws="About 1 to 2 % of the test references are wrong or ambiguous. Calculator annotations <<a=b>> stand in the "
    "solutions; one of the test's 4,282 is not exact.",
)


def item(record: Record, place: str) -> Item:
    """Return the item; the published solution is the reference, without calculator annotations and last line."""
    text = record.text("answer")
    answer = final(text)
    if "####" not in text or not answer:
        raise record.no("answer", "no line '#### number' ends it", "a solution, then '#### ' and its answer")
    steps = tuple(re.sub(r"<<[^<>]*>>", "", text.rpartition("####")[0]).strip().split("\n"))
    gold = PublishedSolution("reference", text, steps, answer, True)
    return Item(problem("gsm8k", place, record.text("question"), answer.replace(",", "")), solutions=(gold,))
