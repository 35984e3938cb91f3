"""RealCritic (arXiv 2501.14492): solutions to criticise and correct, balanced between right and wrong, by task."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record

ROWS = {
    "arc-challenge": 263,
    "college_math": 279,
    "gpqa": 190,
    "gsm8k": 273,
    "math": 268,
    "minerva_math": 261,
    "mmlu_stem": 292,
    "olympiadbench": 267,
}
CARD = Card(
    "RealCritic",
    "https://github.com/tangzhy/RealCritic",
    "MIT; its ARC part CC-BY-SA-4.0",
    {task: (f"{task}/test.jsonl", f"data/mix_data/{task}/test.jsonl") for task in ROWS},
    rows=ROWS,
    flaws="References of college_math lost their units and some text; previous_score comes from a lenient grader that "
    "takes one of several answers for all of them and rounds to four digits. Tasks of odd size are not quite balanced.",
    restricted="the task math is derived from MATH, gpqa must not be shown in plain text",
)


def item(record: Record, place: str) -> Item:
    """Return the item; its one published solution is what is to be criticised."""
    score = record.get("previous_score")
    if not isinstance(score, list) or len(score) != 1 or not isinstance(score[0], bool):
        raise record.no("previous_score", f"{score!r}", "[true] or [false]")
    text = record.text("reasoning")
    solution = PublishedSolution(
        record.text("model"), text, tuple(text.split("\n\n")), record.text("pred", empty=True), score[0]
    )
    made = problem("realcritic", place, record.text("question"), record.text("gt").strip())
    return Item(made, str(record.whole("idx", 0)), (solution,))
