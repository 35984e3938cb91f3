"""From replies of solvers and correctors to graded answers, parts of metrics, and the metrics as papers publish them."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from elenchus import problems
from elenchus.benchmarks import reading
from elenchus.benchmarks.interviews import rows_of
from elenchus.errors import UserError
from elenchus.metrics import measure, passk
from elenchus.metrics.published import realcritic
from elenchus.problems import Problem

if TYPE_CHECKING:
    import pandas as pd

    from elenchus.job import Job


def answers(job: Job) -> tuple[list[dict], pd.DataFrame, dict]:
    """Return (rows of `attempts`, the `items` table, what published.json says) of a `grade` stage."""
    p = job.params
    asked = {row["problem_id"]: problems.from_row(row) for row in rows_of(job.inputs["problems"], "problems")}
    replies = rows_of(job.inputs["replies"], "replies")
    if p.reader == "code":
        from elenchus import sandbox

        for lacking in filter(None, [sandbox.missing()]):
            print(f"  {p.benchmark}: programs of the model run here: {lacking}", file=sys.stderr, flush=True)
    before = {}
    if p.role == "corrector":
        before = {a["attempt_id"]: a for a in rows_of(job.inputs["attempts"], "attempts")}
    graded = []
    for done, reply in enumerate(replies, 1):
        graded.append(grade(p.reader, asked[reply["problem_id"]], reply, before.get(reply["about"])))
        job.progress(done, len(replies), "answers graded")
    names = sorted(asked)
    if p.role == "solver":
        items = solver(graded, names, p, job.derive("majority"))
        published = accuracy(graded, asked)
    elif p.role == "corrector":
        pairs = [(before[r["about"]], g) for r, g in zip(replies, graded, strict=True)]
        items, published = corrector(pairs, names, asked, p.benchmark)
    else:
        spent = [row for given in job.inputs["spent"] for row in rows_of(given, "replies")]
        graded, items, published = vote(graded, names, spent, p.reader, job.derive("majority"))
    about = {"benchmark": p.benchmark, "role": p.role, "reader": p.reader, "items": len(names), "replies": len(replies)}
    return graded, items, {**about, **published}


def grade(reader: str, problem: Problem, reply: dict, before: dict | None = None) -> dict:
    """Return a reply as an attempt. What was `kept` has the grade of the solution `before` it."""
    if reply["finish"] == "kept" and before is not None:
        said = reading.Answer(
            before["answer"], tuple(before["steps"]), before["parsed"], bool(before["correct"]), before["first_error"]
        )
    else:
        said = reading.answer(reader, problem, reply["text"])
    return {
        "attempt_id": reply["reply_id"],
        "problem_id": problem.id,
        "author": "",
        "sample": reply["sample"],
        "text": reply["text"],
        "steps": list(said.steps),
        "answer": said.answer,
        "parsed": said.parsed,
        "correct": said.correct,
        "first_error": said.first_error,
        "tokens": reply["tokens"],
    }


def solver(graded: list[dict], names: list[str], p, seed: int) -> pd.DataFrame:
    """Return the parts of a solver: accuracy, pass@k, majority@k over answers that are equal however they are written."""
    import pandas as pd

    rows = [{**g, "answer": reading.key(p.reader, g["answer"]), "tokens": g["tokens"] or 0} for g in graded]
    frame = pd.DataFrame(rows)
    frame["first_error"] = [-1 if g["first_error"] is None else g["first_error"] for g in graded]
    items = measure.policy(frame, names, ks=p.ks, s=(), seed=seed)
    without = set() if p.reader == "family" else {"sound", "diversity"}  # nobody checked these steps
    without |= {"tokens"} if any(g["tokens"] is None for g in graded) else set()
    return items[~items["metric"].isin(without)].reset_index(drop=True)


def accuracy(graded: list[dict], asked: dict[str, Problem]) -> dict:
    """Return the published metric of questions with answers: the share of right ones, by sample and by split."""
    by_sample: dict[int, list[bool]] = {}
    by_split: dict[str, list[bool]] = {}
    for g in graded:
        by_sample.setdefault(g["sample"], []).append(g["correct"])
        by_split.setdefault(asked[g["problem_id"]].meta.get("split", "all"), []).append(g["correct"])
    return {
        "accuracy": share([g["correct"] for g in graded]),
        "right": sum(g["correct"] for g in graded),
        "by_sample": {str(k): share(v) for k, v in sorted(by_sample.items())},
        "by_split": {k: share(v) for k, v in sorted(by_split.items())},
    }


def share(hits: list[bool]) -> float:
    """Return the share of true entries, 0 for none."""
    return sum(map(bool, hits)) / len(hits) if hits else 0.0


def corrector(pairs: list[tuple[dict, dict]], names: list[str], asked: dict[str, Problem], benchmark: str):
    """Return (parts, published metrics) of corrections: (attempt before, attempt after); flips, CL, CS, gain.

    UserError where an attempt before has no outcome.
    """
    unlabelled = [a["attempt_id"] for a, _ in pairs if a["correct"] is None]
    if unlabelled:
        raise UserError(f"{benchmark}: {len(unlabelled)} solutions have no outcome, the first: {unlabelled[0]}")
    parts = measure.Parts(names)
    codes = parts.codes([b["problem_id"] for _, b in pairs])
    before, after = (np.array([bool(pair[i]["correct"]) for pair in pairs]) for i in (0, 1))
    parts.ratio("accuracy", codes, after)
    parts.ratio("acc1", codes, before)
    parts.ratio("acc2", codes, after)
    parts.ratio("cl", codes, after, before)
    parts.ratio("cs", codes, after, ~before)
    for name, hits in (
        ("right_to_right", before & after),
        ("right_to_wrong", before & ~after),
        ("wrong_to_right", ~before & after),
        ("wrong_to_wrong", ~before & ~after),
    ):
        parts.ratio(name, codes, hits)
    parts.ratio("refinements_parsed", codes, np.array([b["parsed"] for _, b in pairs]))
    if all(b["tokens"] is not None for _, b in pairs):
        parts.ratio("refinement_tokens", codes, np.array([b["tokens"] for _, b in pairs]))
    by_task: dict[str, list[int]] = {}
    for i, (_, b) in enumerate(pairs):
        by_task.setdefault(asked[b["problem_id"]].meta.get("split", "all"), []).append(i)
    tasks = {
        t: realcritic.closed_loop([before[i] for i in at], [after[i] for i in at]) for t, at in sorted(by_task.items())
    }
    plain = {t: {k: None if v != v else v for k, v in asdict(score).items()} for t, score in tasks.items()}
    return parts.rows(), {"closed_loop": plain, "average": realcritic.average(tasks)}


def vote(graded: list[dict], names: list[str], spent: list[dict], reader: str, seed: int):
    """Return (the samples that voted, parts, published metrics) of a majority vote at the tokens that `spent` took.

    A solver's replies count with their first sample only: it is what was corrected. At least one sample votes.
    """
    if any(r["tokens"] is None for r in (*spent, *graded)):
        raise UserError("a vote at equal tokens needs replies whose tokens were counted; imported ones have none")
    budget: dict[str, int] = {}
    for r in spent:
        if r["about"] != r["problem_id"] or r["sample"] == 0:
            budget[r["problem_id"]] = budget.get(r["problem_id"], 0) + r["tokens"]
    pools: dict[str, list[dict]] = {}
    for g in graded:
        pools.setdefault(g["problem_id"], []).append(g)
    parts, voters, ran_out, value = measure.Parts(names), [], 0, []
    used = []
    for name in names:
        pool, took, total = sorted(pools[name], key=lambda g: g["sample"]), [], 0
        for g in pool:
            if took and total + g["tokens"] > budget.get(name, 0):
                break
            took.append(g)
            total += g["tokens"]
        ran_out += len(took) == len(pool) and total < budget.get(name, 0)
        keys = [reading.key(reader, g["answer"]) if g["parsed"] else None for g in took]
        value.append(passk.majority_at_k(keys, [g["correct"] for g in took], len(took), seed) if any(keys) else 0.0)
        used.append(total)
        voters += took
    parts.add("accuracy", np.array(value, dtype=float))
    parts.add("tokens", np.array(used, dtype=float))
    allowed, n = sum(budget.get(name, 0) for name in names), len(names)
    return (
        voters,
        parts.rows(),
        {
            "accuracy": float(np.mean(value)),
            "tokens_allowed": allowed / n,
            "tokens_used": sum(used) / n,
            "samples_used": len(voters) / n,
            "problems_out_of_samples": ran_out,
        },
    )
