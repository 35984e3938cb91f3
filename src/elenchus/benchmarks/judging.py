"""From critics' replies to verdicts, parts of metrics, and the metrics as papers publish them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from elenchus import problems
from elenchus.benchmarks import reading
from elenchus.benchmarks.interviews import rows_of
from elenchus.errors import UserError
from elenchus.metrics import catalogue, critique, measure
from elenchus.metrics.calibration import bin_of
from elenchus.metrics.published import criticbench, processbench

if TYPE_CHECKING:
    import pandas as pd

    from elenchus.job import Job


def verdicts(job: Job) -> tuple[list[dict], pd.DataFrame, dict]:
    """Return (rows of `verdicts`, the `items` table, what published.json says) of a `grade_critic` stage."""
    p = job.params
    asked = {row["problem_id"]: problems.from_row(row) for row in rows_of(job.inputs["problems"], "problems")}
    attempts = {a["attempt_id"]: a for a in rows_of(job.inputs["attempts"], "attempts")}
    replies = rows_of(job.inputs["replies"], "replies")
    rows = []
    for reply in replies:
        attempt = attempts.get(reply["about"])
        if attempt is None:
            raise UserError(
                f"{p.benchmark}: a critique of {reply['about']}, which is not among the {len(attempts)} solutions given"
            )
        problem = asked[attempt["problem_id"]]
        if p.reader == "scores":
            said = reading.scored(list(reply["scores"]), p.threshold)
            if attempt["first_error"] is None and said.parsed:  # one score, of the whole
                said = reading.Verdict(said.right)
        else:
            said = reading.verdict(p.reader, problem, tuple(attempt["steps"]), reply["text"])
        rows.append(
            {
                "reply_id": reply["reply_id"],
                "attempt_id": attempt["attempt_id"],
                "problem_id": problem.id,
                "sample": reply["sample"],
                "parsed": said.parsed,
                "verdict": {True: "right", False: "wrong", None: ""}[said.right],
                "first_error": said.first_error,
                "label": attempt["first_error"],
                "correct": attempt["correct"],
                "scores": list(reply["scores"]),
            }
        )
    tokens = [r["tokens"] for r in replies]
    items = parts(rows, tokens, sorted(asked), p.reader)
    about = {"benchmark": p.benchmark, "role": "critic", "reader": p.reader, "items": len(asked), "replies": len(rows)}
    splits = {name: problem.meta.get("split", "all") for name, problem in asked.items()}
    return rows, items, {**about, **published(rows, [r["text"] for r in replies], splits, p)}


def truth(row: dict, reader: str) -> bool | None:
    """Return what the verdict is held against: whether no step is wrong, where steps are labelled and judged; else the outcome."""
    stepwise = row["label"] is not None and reader in ("boxed_index", "scores")
    return row["label"] == -1 if stepwise else row["correct"]


def parts(rows: list[dict], tokens: list[int | None], names: list[str], reader: str) -> pd.DataFrame:
    """Return the parts of a critic: verdicts, first errors where steps are labelled, votes, calibration of scores."""
    made = measure.Parts(names)
    codes = made.codes([r["problem_id"] for r in rows])
    held = [truth(r, reader) for r in rows]
    known, right = np.array([t is not None for t in held], dtype=bool), np.array([t is True for t in held], dtype=bool)
    hit = np.array([r["verdict"] == ("right" if t else "wrong") for r, t in zip(rows, held)], dtype=bool)
    made.ratio("critiques_parsed", codes, np.array([r["parsed"] for r in rows], dtype=bool))
    if all(t is not None for t in tokens) and reader != "scores":
        made.ratio("critique_tokens", codes, np.array(tokens))
    made.ratio("verdict_accuracy", codes, hit, known)
    made.ratio("verdict_accuracy_right", codes, hit, known & right)
    made.ratio("verdict_accuracy_wrong", codes, hit, known & ~right)
    labelled = np.array([r["label"] is not None for r in rows], dtype=bool)
    names_steps = any(r["first_error"] is not None for r in rows) or reader in ("boxed_index", "family")
    if labelled.any() and names_steps:
        label = np.array([-2 if r["label"] is None else r["label"] for r in rows])
        found = np.array([critique.first_error_hit(y, r["first_error"]) for y, r in zip(label, rows)], dtype=bool)
        made.ratio("acc_error", codes, found, labelled & (label != -1))
        made.ratio("acc_correct", codes, found, labelled & (label == -1))
        votes(made, rows)
    sure = np.array([max(min(r["scores"]), 1 - min(r["scores"])) if r["scores"] else np.nan for r in rows])
    if reader == "scores" and (known & ~np.isnan(sure)).any():
        at = known & ~np.isnan(sure)
        gap = np.where(at, sure, 0.0) - hit
        made.ratio("brier", codes, gap**2, at)
        bins = bin_of(np.where(at, sure, 0.0))
        for b, name in enumerate(catalogue.GAPS):
            made.ratio(name, codes, np.where(bins == b, gap, 0.0), at)
    return made.rows()


def votes(made: measure.Parts, rows: list[dict]) -> None:
    """Add the accuracies of the majority of several critiques of one solution, where there are several."""
    of: dict[str, list[dict]] = {}
    for r in rows:
        if r["label"] is not None:
            of.setdefault(r["attempt_id"], []).append(r)
    if all(len(v) == 1 for v in of.values()):
        return
    codes = made.codes([v[0]["problem_id"] for v in of.values()])
    label = np.array([v[0]["label"] for v in of.values()])
    found = [critique.first_error_hit(v[0]["label"], critique.vote([r["first_error"] for r in v])) for v in of.values()]
    made.ratio("vote_acc_error", codes, np.array(found), label != -1)
    made.ratio("vote_acc_correct", codes, np.array(found), label == -1)


def published(rows: list[dict], texts: list[str], splits: dict[str, str], p) -> dict:
    """Return the metrics as papers publish them: ProcessBench's by subset, the CriticBenches' over all verdicts."""
    found: dict = {}
    stepwise = [i for i, r in enumerate(rows) if r["label"] is not None]
    if stepwise and p.reader in ("boxed_index", "family", "scores"):
        labels: dict[str, dict[str, int]] = {}
        said: dict[str, dict[str, list]] = {}
        for i in stepwise:
            split, attempt = splits[rows[i]["problem_id"]], rows[i]["attempt_id"]
            labels.setdefault(split, {})[attempt] = rows[i]["label"]
            said.setdefault(split, {}).setdefault(attempt, []).append(i)

        def prediction(at: list[int]) -> int | None:
            if len(at) == 1:
                return rows[at[0]]["first_error"]
            if p.reader == "boxed_index":
                return processbench.vote([texts[i] for i in at])
            return critique.vote([rows[i]["first_error"] for i in at])

        order = sorted(labels)
        report = processbench.report(
            {s: list(labels[s].values()) for s in order},
            {s: [prediction(said[s][a]) for a in labels[s]] for s in order},
        )
        found["processbench"] = {
            "subsets": {s: asdict(score) for s, score in report["subsets"].items()},
            "average_f1": report["average_f1"],
        }
        if p.reader == "scores":
            all_labels = [rows[i]["label"] for i in stepwise]
            threshold, score = processbench.best_threshold(all_labels, [rows[i]["scores"] for i in stepwise])
            found["processbench"]["best_threshold"] = {
                "threshold": threshold,
                **asdict(score),
                "tuned_on": "these items",
            }
    judged = [r for r in rows if truth(r, p.reader) is not None]
    if judged:
        held = [truth(r, p.reader) for r in judged]
        says = [{"right": True, "wrong": False}.get(r["verdict"]) for r in judged]
        found["criticbench_lin_f1"] = criticbench.critique_f1(held, says)
        found["criticbench_luo_accuracy"] = criticbench.accuracy(held, says)
    return found
