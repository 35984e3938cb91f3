"""Premise Critique Bench's published judgements: per model and problem, whether the flaw was noticed, and lengths."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedCritique, PublishedSolution, problem
from elenchus.benchmarks.records import Record
from elenchus.metrics.published.pcbench import Judged

CARD = Card(
    "PCBench, judged outputs",
    "https://github.com/MLGroupJLU/Premise_Critique",
    "MIT",
    {"*": ("eval_result/*_eval_result.jsonl",)},
    flaws="'active' is the flawed problem without a hint (the paper's proactive), 'passive' the one with it. Problem texts "
    "are not in these files.",
)
LENGTHS = {"normal": "normal_answer_length", "active": "ill_answer_length", "passive": "ill_with_hint_answer_length"}


def item(record: Record, place: str) -> Item:
    """Return the item without a prompt; its critiques are the judge's grounds, its labels `Judged`'s fields in `meta`."""
    lengths = {f"{key}_length": record.number(f"{field}.all_count") for key, field in LENGTHS.items()}
    said = {key: record.truth(f"GPT_eval_result.{key}.if_find_contradiction") for key in ("active", "passive")}
    grounds = tuple(
        PublishedCritique(
            "judge", record.text(f"GPT_eval_result.{key}.basis", empty=True), labels={"of": key, "noticed": v}
        )
        for key, v in said.items()
    )
    model = place.partition("/")[0]
    made = problem("pcbench_judged", place, "", "", **said, **lengths)
    return Item(made, record.text("pid"), (PublishedSolution(model, "", critiques=grounds),))


def judged(item: Item) -> Judged:
    """Return the item's judgement in the form that `metrics.published.pcbench` scores."""
    keys = ("active", "passive", "normal_length", "active_length", "passive_length")
    return Judged(**{key: item.problem.meta[key] for key in keys})
