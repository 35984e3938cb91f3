"""Results of `snakemake bench` in the formats of two evaluation libraries, so that their viewers and scripts can read them.

    lm-eval   <to>/<model>/results_<time>.json, samples_<task>_<time>.jsonl (lm-evaluation-harness 0.4.13)
    inspect   <to>/<time>_<task>_<digest>.json, one log a task (inspect_ai 0.3.285)

A task is one thing measured: a benchmark in a role ("gsm8k solver"). The same results give the same bytes: times are those at
which the stages ended.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elenchus import benchmarks, findings
from elenchus.errors import UserError, did_you_mean
from elenchus.graph import Stage
from elenchus.lab import Measured
from elenchus.metrics import catalogue
from elenchus.plan import Plan, RecipePlan

FORMATS = ("lm-eval", "inspect")
FINISHES = {"end": "stop", "stop": "stop", "length": "max_tokens", "too long": "model_length"}


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


def export(plan: Plan, recipe: RecipePlan, form: str, to: Path, arm: str | None = None) -> list[Path]:
    """Write all that a bench run measured to folder `to`; return the files. UserError for an unknown format or arm."""
    if form not in FORMATS:
        raise UserError(f"--format {form!r}{did_you_mean(form, FORMATS)}; allowed: {', '.join(FORMATS)}")
    arms = findings.arms(recipe)
    if arm and arm not in arms:
        raise UserError(f"--arm {arm!r}{did_you_mean(arm, arms)}; measured: {', '.join(arms)}")
    found = [task(plan, m) for m in recipe.measured if arm in (None, m.arm)]
    return (lm_eval if form == "lm-eval" else inspect)(found, to)


def restricted(recipe: RecipePlan) -> list[str]:
    """Return a sentence for each measured set whose items must not be published."""
    names = {m.stage.params["benchmark"] for m in recipe.measured}
    cards = {n: benchmarks.load(n).CARD for n in sorted(names & set(benchmarks.names()))}
    return [f"{n}: do not publish its items: {c.restricted}" for n, c in cards.items() if c.restricted]


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


# -- lm-evaluation-harness ---------------------------------------------------------------------------------------------


def lm_eval(tasks: list[Task], to: Path) -> list[Path]:
    """Write a results file and the samples of each task for every model; return the files."""
    written = []
    for model in dict.fromkeys(t.model for t in tasks):
        own = [t for t in tasks if t.model == model]
        several = len({t.seed for t in own}) > 1
        names = {t.digest: t.name + (f"_seed{t.seed}" if several else "") for t in own}
        at = max(t.ended for t in own).replace(":", "-").rstrip("Z")
        folder = to / re.sub(r"[\"<>:/|\\?*\[\]]+", "__", model)
        folder.mkdir(parents=True, exist_ok=True)
        for t in own:
            rows = lm_eval_samples(t)
            file = folder / f"samples_{names[t.digest]}_{at}.jsonl"
            file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
            written.append(file)
        results = {
            "results": {
                names[t.digest]: {
                    "name": names[t.digest],
                    "alias": t.title,
                    "sample_len": len({s.about for s in t.samples}),
                    **{f"{k},none": v for k, v in t.metrics.items() if v == v},
                }
                for t in own
            },
            "group_subtasks": {names[t.digest]: [] for t in own},
            "configs": {names[t.digest]: {"task": names[t.digest], "dataset_name": t.benchmark} for t in own},
            "versions": {names[t.digest]: t.digest for t in own},
            "n-shot": {names[t.digest]: t.params.get("draw", 0) for t in own},
            "higher_is_better": {names[t.digest]: {k: better(k) for k in t.metrics} for t in own},
            "n-samples": {
                names[t.digest]: {
                    "original": len({s.about for s in t.samples}),
                    "effective": len({s.about for s in t.samples}),
                }
                for t in own
            },
            "config": {
                "model": model,
                "model_args": None,
                "batch_size": str(own[0].params.get("batch_size", "")),
                "limit": None,
            },
            "model_source": "elenchus",
            "model_name": model,
            "model_name_sanitized": folder.name,
            "task_hashes": {names[t.digest]: hash_of("".join(s.prompt for s in t.samples)) for t in own},
            "total_evaluation_time_seconds": str(sum(t.seconds for t in own)),
        }
        file = folder / f"results_{at}.json"
        file.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
        written.append(file)
    return written


def better(metric: str) -> bool | None:
    """Return whether more of a metric is better, None where neither is."""
    return {"higher": True, "lower": False}.get(catalogue.find(metric).better)


def lm_eval_samples(t: Task) -> list[dict]:
    """Return a row for each item, its replies as repeats of one request."""
    items: dict[str, list[Sample]] = {}
    for s in t.samples:
        items.setdefault(s.about, []).append(s)
    rows = []
    for i, own in enumerate(items.values()):
        first, scores = own[0], [s.score for s in own if s.score is not None]
        rows.append(
            {
                "doc_id": i,
                "doc": {"id": first.id, "question": first.question, "answer": first.target},
                "target": first.target,
                "arguments": {"gen_args_0": {"arg_0": first.prompt, "arg_1": json.dumps(t.params, sort_keys=True)}},
                "resps": [[s.text for s in own]],
                "filtered_resps": [s.said for s in own],
                "filter": "none",
                "metrics": ["correct"] if scores else [],
                "doc_hash": hash_of(first.question),
                "prompt_hash": hash_of(first.prompt),
                "target_hash": hash_of(first.target),
                **({"correct": sum(scores) / len(scores)} if scores else {}),
            }
        )
    return rows


def hash_of(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal, as the harness hashes documents."""
    return hashlib.sha256(text.encode()).hexdigest()


# -- inspect -----------------------------------------------------------------------------------------------------------


def inspect(tasks: list[Task], to: Path) -> list[Path]:
    """Write a log for each task; return the files."""
    to.mkdir(parents=True, exist_ok=True)
    written = []
    for t in tasks:
        at = t.ended.rstrip("Z") + "+00:00"
        file = to / f"{at.replace(':', '-')}_{t.name}_{t.digest}.json"
        file.write_text(json.dumps(inspect_log(t, at), indent=1, ensure_ascii=False) + "\n")
        written.append(file)
    return written


def inspect_log(t: Task, at: str) -> dict:
    """Return the log of one task: specification, results, usage, samples."""
    ids = list(dict.fromkeys(s.id for s in t.samples))
    epochs = 1 + max((s.sample for s in t.samples), default=0)
    usage = {"input_tokens": sum(s.prompt_tokens for s in t.samples), "output_tokens": sum(s.tokens for s in t.samples)}
    usage["total_tokens"] = sum(usage.values())
    scored = sum(s.score is not None for s in t.samples)
    metrics = {k: {"name": k, "value": v} for k, v in t.metrics.items() if v == v}
    score = {"name": "elenchus", "scorer": "elenchus", "scored_samples": scored, "metrics": metrics}
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": t.digest,
            "run_id": t.digest,
            "created": at,
            "task": t.title,
            "task_id": t.digest,
            "dataset": {"name": t.benchmark, "samples": len(ids), "sample_ids": ids, "shuffled": False},
            "model": t.model,
            "config": {"epochs": epochs},
            "packages": {},
            "metadata": {"seed": t.seed, "stage": t.digest, "parameters": t.params},
        },
        "plan": {"name": "plan", "steps": []},
        "results": {"total_samples": len(t.samples), "completed_samples": len(t.samples), "scores": [score]},
        "stats": {"started_at": at, "completed_at": at, "model_usage": {t.model: usage}},
        "samples": [inspect_sample(s, t.model) for s in t.samples],
    }


def inspect_sample(s: Sample, model: str) -> dict:
    """Return one sample of a log; what was asked is the prompt as the model read it."""
    reply = {"role": "assistant", "content": s.text, "source": "generate"}
    usage = {"input_tokens": s.prompt_tokens, "output_tokens": s.tokens, "total_tokens": s.prompt_tokens + s.tokens}
    grade = (
        {}
        if s.score is None
        else {"elenchus": {"value": "C" if s.score else "I", "answer": s.said, "explanation": s.text}}
    )
    return {
        "id": s.id,
        "epoch": s.sample + 1,
        "input": s.prompt or s.question,
        "target": s.target,
        "messages": [{"role": "user", "content": s.prompt or s.question}, reply],
        "output": {
            "model": model,
            "choices": [{"message": reply, "stop_reason": FINISHES.get(s.finish, "unknown")}],
            "completion": s.text,
            "usage": usage,
        },
        "scores": grade,
        "metadata": {"question": s.question, "about": s.about, "finish": s.finish},
    }
