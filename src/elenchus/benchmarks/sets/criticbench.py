"""CriticBench of Lin et al. (arXiv 2402.14809): responses with labels, from fifteen data sets in five domains."""

from __future__ import annotations

from elenchus import answers
from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record
from elenchus.problems import Problem

CARD = Card(
    "CriticBench (Lin et al.)",
    "https://huggingface.co/datasets/llm-agents/CriticBench",
    "MIT",
    {"test": ("test.jsonl", "data/test-*.parquet", "*.parquet")},
    rows={"test": 3825},
    hub="llm-agents/CriticBench",
    flaws="Two other benchmarks have the same name (Luo et al., and Lan et al., now CriticEval).",
    restricted="some items are derived from MATH",
    tested="a hand-made file of its format",
)


def item(record: Record, place: str) -> Item:
    """Return the item; several reference answers are all kept, the first is the problem's answer."""
    gold = record.get("answer")
    gold = [str(g) for g in gold] if isinstance(gold, list) else [record.text("answer")]
    if not gold or not gold[0].strip():
        raise record.no("answer", "it is empty", "a text, or a list of texts")
    text = record.text("response", empty=True)
    solution = PublishedSolution("", text, tuple(text.split("\n")), correct=record.truth("response_label"))
    meta = {"type": record.text("question_type"), "source": record.text("question_source"), "answers": gold}
    return Item(problem("criticbench", place, record.text("question"), gold[0], **meta), record.text("id"), (solution,))


def check(problem: Problem, answer: str) -> bool:
    """Return whether `answer` is one of the references; for code, whether its test program passes."""
    if problem.meta["type"] == "code":
        from elenchus import sandbox

        return sandbox.run(f"{answer}\n\n{problem.answer}\n").ok
    return any(answers.grade(answer, gold) for gold in problem.meta["answers"])
