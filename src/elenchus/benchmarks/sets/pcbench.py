"""Premise Critique Bench (arXiv 2505.23715): problems with a flaw put into their premises, and the same without it."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, problem
from elenchus.benchmarks.records import Record

CONFLICTS = ("contra_premise_insert", "contra_infer_insert", "flawed_solution_completion", "irr_query_distraction")
CARD = Card(
    "PCBench",
    "https://huggingface.co/datasets/ALIENS232/PCBench",
    "MIT",
    {"test": ("test.jsonl", "*.jsonl", "data/*.parquet")},
    rows={"test": 1200},
    hub="ALIENS232/PCBench",
    flaws="It has no rate of false alarms on problems without a flaw; measure it on normal_query.",
    tested="a hand-made file of its format",
)


def item(record: Record, place: str) -> Item:
    """Return the item: the prompt is the flawed problem, `meta` holds the one without flaw and where the flaw is."""
    kind = record.text("conflict_type")
    if kind not in CONFLICTS:
        raise record.no("conflict_type", repr(kind), ", ".join(CONFLICTS))
    conflict = record.get("conflict")
    meta = {
        "normal": record.text("normal_query"),
        "type": kind,
        "difficulty": record.text("difficulty"),
        "conflict": conflict.get("conflict_reason", "") if isinstance(conflict, dict) else str(conflict),
    }
    return Item(problem("pcbench", place, record.text("ill_query"), "", **meta), record.text("pid"))
