"""PRMBench (arXiv 2501.03124): processes with planted errors of nine kinds, for process reward models."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedCritique, PublishedSolution, problem
from elenchus.benchmarks.records import Record

CARD = Card(
    "PRMBench",
    "https://github.com/ssmisya/PRMBench",
    "Apache-2.0",
    {"test": ("prmtest.jsonl", "prm_test.jsonl", "*.jsonl")},
    hub="hitsmy/PRMBench_Preview",
    revision="5cc7683d0ae5797f84d7aeac0607966f277c39e1",
    flaws="100 of its error steps lie beyond the process they are said to be in: kept in meta as out_of_range. Modified "
    "processes are GPT-4o's: the provider's terms may restrict training on them.",
    restricted="its problems come from PRM800K, that is from MATH",
    tested="a hand-made file of its format",
)


def item(record: Record, place: str) -> Item:
    """Return the item; steps are counted from 1 in the set, from 0 here; ratings are 1 and 0 (wrong)."""
    steps = record.texts("modified_process")
    wrong = record.get("error_steps")
    if not isinstance(wrong, list) or not all(type(i) is int for i in wrong):
        raise record.no("error_steps", f"{wrong!r}", "a list of whole numbers")
    at = sorted({i - 1 for i in wrong if 1 <= i <= len(steps)})
    beyond = [i for i in wrong if not 1 <= i <= len(steps)]
    ratings = tuple(0.0 if i in at else 1.0 for i in range(len(steps)))
    first = at[0] if at else -1
    reason = str(record.fields.get("reason") or "")
    critiques = (PublishedCritique("author", reason, first),) if reason else ()
    solution = PublishedSolution("GPT-4o", "\n".join(steps), steps, "", None, first, ratings, critiques)
    kind = record.text("classification") if record.has("classification") else ""
    made = problem("prmbench", place, record.text("modified_question"), "", kind=kind, out_of_range=beyond)
    return Item(made, record.text("idx") if record.has("idx") else "", (solution,))
