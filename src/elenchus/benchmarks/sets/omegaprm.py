"""OmegaPRM-style step values as OpenR writes them: prefixes of solutions with the share of rollouts that succeed."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record

CARD = Card(
    "OmegaPRM (MATH-APS)",
    "https://huggingface.co/datasets/openreasoner/MATH-APS, https://github.com/openreasoner/openr",
    "MIT",
    {"train": ("*math-aps.jsonl", "train.jsonl"), "trees": ("*math-aps-tree.jsonl",)},
    hub="openreasoner/MATH-APS",
    flaws="Values are means of few rollouts of one model. question_id is not unique.",
    restricted="its problems are MATH's",
    tested="three published records, and a hand-made file of its format",
)


def item(record: Record, place: str) -> Item:
    """Return the item: each prefix is a solution whose last rating is its value; trees come as paths from their root."""
    question = record.text("question")
    found = record.get("reasoning_steps")
    if isinstance(found, dict):
        prefixes = list(_paths(found, ""))
    elif isinstance(found, list):
        prefixes = [(p["solution_prefix"], p["mc_value"]) for p in found]
    else:
        raise record.no("reasoning_steps", f"{type(found).__name__}", "a list of prefixes, or a tree")
    solutions = []
    for prefix, value in prefixes:
        text = prefix.removeprefix(question).strip()
        if text:
            value = float("nan") if value is None else float(value)
            solutions.append(PublishedSolution("rollouts", text, (text,), ratings=(value,)))
    return Item(problem("omegaprm", place, question, record.answer("final_answer")), solutions=tuple(solutions))


def _paths(node: dict, before: str):
    """Yield (text from the root to each node, its value)."""
    text = before + node["text"]
    yield text, node.get("mc_value")
    for child in node.get("children") or ():
        yield from _paths(child, text)
