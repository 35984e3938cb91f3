"""The critics' table: how well each finds the first error, how honest it is, and whether its critiques help."""

from __future__ import annotations

from elenchus.metrics import catalogue
from elenchus.report.charts import number

COLUMNS = {  # metric -> heading; the two halves of F1 stand beside it
    "first_error_f1": "first-error F1",
    "acc_error": "on wrong",
    "acc_correct": "on right",
    "vote_first_error_f1": "F1 by vote",
    "verdict_accuracy": "verdict",
    "unit_f1": "unit F1",
    "fix_accuracy": "fixes",
    "ece": "calibration error",
    "brier": "Brier",
    "critiques_parsed": "readable",
    "critique_tokens": "tokens",
    "acc1": "accuracy before",
    "acc2": "after refinement",
    "delta": "gain",
    "wrong_to_right": "wrong→right",
    "right_to_wrong": "right→wrong",
    "cl": "CL",
    "cs": "CS",
    "rss": "RSS",
    "error_repaired": "error mended",
    "prefix_kept": "prefix kept",
}
MARKS_A_CRITIC = ("first_error_f1", "acc_error", "verdict_accuracy", "acc2")
REFINEMENT = "acc1"  # where the second table begins


def tables(pooled: list[dict]) -> list[dict]:
    """Return the tables of all critics, of finding errors and of refinement, those that were measured.

    Each is {"title", "columns": [(metric, heading, what it says)], "rows": [...]}. A row: label, cells of {text,
    interval, share, best}; share in [0, 1] is the bar below the number.
    """
    subjects: dict[tuple, dict[str, dict]] = {}
    for m in pooled:
        subjects.setdefault((m["arm"], m["round"], m["subject"]), {})[m["metric"]] = m
    subjects = {k: v for k, v in subjects.items() if any(x in v for x in MARKS_A_CRITIC)}
    if not subjects:
        return []
    columns = [c for c in COLUMNS if any(c in v for v in subjects.values())]
    best = {
        c: best_of(c, [v[c]["value"] for v in subjects.values() if c in v and v[c]["value"] is not None])
        for c in columns
    }
    several_arms = len({a for a, _, _ in subjects}) > 1
    labels = {
        (arm, r, subject): subject + (f" ({arm})" if several_arms else "") + (f", round {r}" if r else "")
        for arm, r, subject in subjects
    }
    split = list(COLUMNS).index(REFINEMENT)
    made = []
    for title, metrics in (
        ("Finding errors", list(COLUMNS)[:split]),
        ("Refinement under each critic", list(COLUMNS)[split:]),
    ):
        own = [c for c in metrics if c in columns]
        shown = {k: v for k, v in subjects.items() if any(c in v for c in own)}
        if own:
            rows = [{"label": labels[k], "cells": [cell(v.get(c), best[c]) for c in own]} for k, v in shown.items()]
            says = [(c, COLUMNS[c], catalogue.find(c).says) for c in own]
            made.append({"title": title, "columns": says, "rows": rows})
    return made


def best_of(metric: str, values: list[float]) -> float | None:
    """Return the best of several critics' values, None where there is nothing to choose."""
    way = catalogue.find(metric).better
    if len(set(values)) < 2 or not way or metric in ("acc1", "critique_tokens"):
        return None
    return max(values) if way == "higher" else min(values)


def cell(m: dict | None, best: float | None) -> dict:
    """Return one cell of the table."""
    if m is None or m["value"] is None:
        return {"text": "–", "interval": "", "share": 0, "best": False}
    interval = f"{number(m['low'], 2)}–{number(m['high'], 2)}" if m["low"] is not None and m["high"] is not None else ""
    return {
        "text": number(m["value"]),
        "interval": interval,
        "share": max(0.0, min(1.0, m["value"])) if catalogue.find(m["metric"]).bounds == catalogue.UNIT else 0,
        "best": m["value"] == best,
    }
