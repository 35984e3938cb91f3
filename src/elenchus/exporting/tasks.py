"""What is exported: each thing measured by a bench run, with its replies and their grades."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from elenchus import findings
from elenchus.graph import Stage
from elenchus.lab import Measured
from elenchus.plan import Plan


@dataclass(frozen=True)
class Sample:
    """One reply. id: the published one where there is one; about: ours. score: 1 right, 0 wrong, None not graded."""

    id: str
    about: str
    sample: int
    question: str
    target: str
    prompt: str
    text: str
    said: str
    score: float | None
    finish: str
    prompt_tokens: int
    tokens: int


@dataclass(frozen=True)
class Task:
    """One thing measured: its name in files, the model, its metrics, its samples in order."""

    name: str
    title: str
    model: str
    benchmark: str
    seed: int
    digest: str
    ended: str  # 2026-01-31T12:00:00Z
    seconds: float
    metrics: dict[str, float]
    params: dict
    samples: tuple[Sample, ...]


def task(plan: Plan, m: Measured) -> Task:
    """Return what was measured by one evaluation, with its samples."""
    stage, replies = m.stage, m.stage.inputs["replies"]
    result = findings.result(plan.root, stage)
    metrics = {r["metric"]: r["value"] for r in findings.rows(result, "metrics")}
    cost = findings.cost(plan.root, replies)
    params = {k: v for k, v in replies.params.items() if k not in ("prompt", "shots")}
    return Task(
        re.sub(r"\W+", "_", m.subject).strip("_"),
        m.subject,
        m.arm,
        stage.params["benchmark"],
        m.seed,
        stage.digest,
        findings.cost(plan.root, stage).get("ended", "1970-01-01T00:00:00Z"),
        float(cost.get("seconds", 0.0)),
        metrics,
        params,
        tuple(samples(plan, stage)),
    )


def samples(plan: Plan, stage: Stage) -> Iterator[Sample]:
    """Yield the replies that a stage graded, with their grades."""
    asked = {
        r["problem_id"]: r for r in findings.rows(findings.result(plan.root, stage.inputs["problems"]), "problems")
    }
    replies = findings.rows(findings.result(plan.root, stage.inputs["replies"]), "replies")
    critic = stage.kind == "grade_critic"
    table = findings.rows(findings.result(plan.root, stage), "verdicts" if critic else "attempts")
    grades = {r["reply_id" if critic else "attempt_id"]: r for r in table}
    for r in replies:
        if r["reply_id"] not in grades:  # a sample that did not vote
            continue
        problem, grade = asked[r["problem_id"]], grades[r["reply_id"]]
        key = json.loads(problem["meta"]).get("key", problem["problem_id"])
        target, said, score = judged(grade) if critic else (problem["answer"], grade["answer"], float(grade["correct"]))
        yield Sample(
            str(key) if r["about"] == r["problem_id"] else r["about"],
            r["about"],
            r["sample"],
            problem["prompt"],
            target,
            r["prompt"],
            r["text"],
            said,
            score,
            r["finish"],
            r["prompt_tokens"] or 0,
            r["tokens"] or 0,
        )


def judged(row: dict) -> tuple[str, str, float | None]:
    """Return (label, what was said, 1 or 0) of a verdict: the place of the first error where steps are labelled."""
    if row["label"] is not None and (row["first_error"] is not None or not row["parsed"]):
        return (
            str(row["label"]),
            "" if row["first_error"] is None else str(row["first_error"]),
            float(row["label"] == row["first_error"]),
        )
    if row["correct"] is None:
        return "", row["verdict"], None
    target = "right" if row["correct"] else "wrong"
    return target, row["verdict"], float(row["verdict"] == target)
