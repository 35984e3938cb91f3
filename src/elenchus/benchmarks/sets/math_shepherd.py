"""Math-Shepherd (arXiv 2312.08935): solutions whose steps carry labels from rollouts, "+" or "-" in place of a tag."""

from __future__ import annotations

import re

from elenchus.answers import final
from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record

TAG = "ки"
CARD = Card(
    "Math-Shepherd",
    "https://huggingface.co/datasets/peiyi9979/Math-Shepherd",
    "none stated",
    {"train": ("math-shepherd.jsonl",), "samples": ("samples_math-shepherd.jsonl",)},
    rows={"train": 444655},
    hub="peiyi9979/Math-Shepherd",
    flaws="A step is '+' where any of eight rollouts from it reached the answer, so wrong steps pass that can be mended.",
    restricted="a part is derived from MATH",
    tested="seven published records, and a hand-made file of its format",
)


def item(record: Record, place: str) -> Item:
    """Return the item; ratings are 1 and 0, first_error the first "-". The reference answer is not part of the format."""
    text, label = record.text("input"), record.text("label")
    question, mark, _ = text.partition("Step 1:")
    parts = [p.strip() for p in (mark + text[len(question) + len(mark) :]).split(TAG)]
    steps, rest = parts[:-1], parts[-1]
    if not mark or rest or not steps:
        raise record.no("input", "no steps 'Step 1: ...' that each end on the tag", f"steps that end on {TAG!r}")
    ratings, at = [], len(question)
    for step in steps:  # the label is the input with every tag replaced, so its marks stand where the tags stand
        found = re.compile(re.escape(step) + r"\s*([+-])").match(label, at) or re.compile(
            r"\s*" + re.escape(step) + r"\s*([+-])"
        ).match(label, at)
        if not found:
            raise record.no("label", f"no + or - behind step {len(ratings) + 1}", "the input with + or - for every tag")
        ratings.append(1.0 if found[1] == "+" else 0.0)
        at = found.end()
    steps = tuple(re.sub(r"^Step \d+:\s*", "", s) for s in steps)
    first = next((i for i, r in enumerate(ratings) if r == 0), -1)
    stated = final(steps[-1]) or ""
    solution = PublishedSolution("", "\n".join(steps), steps, stated, ratings[-1] == 1, first, tuple(ratings))
    task = record.text("task") if record.has("task") else ""
    return Item(problem("math_shepherd", place, question.strip(), "", task=task), solutions=(solution,))
