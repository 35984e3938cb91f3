"""Preference pairs between critiques of one solution, filtered by whether the better one leads to better revisions.

Sources: MultiCritique (2410.15287), step 6 (the lower accumulated severity is chosen) and step 7 (MARV: multi-agent
revision validation); Critic-V (2411.18203), section 2 (`rule: jaccard`; `judge` is its score without the overlap).

Departures
1. MARV scores a revision by the exact answer checker, in place of a reward model.
2. Critic-V's GPT score is an exact one with noise: 10 (recall - false positive rate / 2) plus Gaussian noise.
3. Critiques that find nothing take part (Critic-V leaves them out, since all its answers hold errors).
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field

from elenchus import conversation, seeds
from elenchus.engines.settings import Sampler
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths

CHUNK = 1024


class Params(Sampler):
    """The ranking rule, and the revisions of the filter."""

    rule: Literal["severity", "jaccard", "judge"] = Field(
        "severity",
        description="MultiCritique's severity; Critic-V's overlap plus alpha times a judge's score; its judge's alone",
    )
    min_margin: float = Field(0.0, ge=0, description="scores must differ by more than this")
    most: int = Field(0, ge=0, description="pairs of one solution at most, widest margins first; 0: all")
    alpha: float = Field(0.1, ge=0, description="jaccard: weight of the judge's score of 0 to 10 (Critic-V: 0.1)")
    judge_noise: float = Field(1.0, ge=0, description="standard deviation of Critic-V's judge's score, in points")
    samples: int = Field(8, ge=1, description="revisions by each reviser under each critique (MultiCritique: 8)")
    temperature: float = Field(1.0, ge=0, description="of the revisions")
    max_tokens: int = Field(64, ge=1, description="tokens of a revision at most")
    batch_size: int = Field(256, ge=1, description="sequences in flight; bounds memory")


INPUTS = {
    "critiques*": "critiques",
    "units?": "units",
    "solutions": "solutions",
    "problems": "problems",
    "revisers*?": "model",
}
OUTPUTS = ("pairs", "pairs.json")
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write all pairs, those that fail the filter with kept = False, and how right their labels are before and after.

    Without revisers there is no filter: gains are NaN and every pair is kept.
    """
    from elenchus.critics import pairs, several
    from elenchus.critics.drafts import drafts

    p = job.params
    said = several.by_solution(c.table("critiques") for c in job.inputs["critiques"])
    found = drafts(job.inputs["solutions"].table("solutions"), job.inputs["problems"].table("problems"))
    scores = _severity_scores(job) if p.rule == "severity" else _rule_scores(job, found, said)
    ranked, exact = [], []
    for draft in found:
        texts = said.get(draft.id, {})
        known = {name: s for name, s in scores.get(draft.id, {}).items() if name in texts}
        truth, critiques = draft.truth(), several.read(draft, texts)
        for pair in pairs.rank(known, texts, p.min_margin, p.most):
            ranked.append((draft, pair, texts[pair.chosen], texts[pair.rejected]))
            exact.append(tuple(pairs.severity(critiques[n], truth) for n in (pair.chosen, pair.rejected)))
    gains = _gains(job, [(d, text) for d, _, *both in ranked for text in both])
    rows = [_row(p.rule, *one, gains) for one in ranked]
    job.write("pairs", rows)
    job.write_json("pairs", _statistics(rows, exact, bool(gains)))


def _severity_scores(job: Job) -> dict[str, dict[str, float]]:
    """Return {solution: {critic: minus its accumulated severity}}, as the meta-judge of the aggregation saw it."""
    if "units" not in job.inputs:
        raise UserError("rule severity needs the input `units`: the judged units of an aggregate stage")
    total = job.inputs["units"].table("units").groupby(["solution_id", "critic"], sort=False)["severity"].sum()
    scores: dict[str, dict[str, float]] = {}
    for (solution, critic), severity in total.items():
        scores.setdefault(solution, {})[critic] = -float(severity)
    return scores


def _rule_scores(job: Job, found: list, said: dict[str, dict[str, str]]) -> dict[str, dict[str, float]]:
    """Return {solution: {critic: Jaccard + alpha * judge, or the judge's score}} of readable critiques."""
    from elenchus.critics import pairs, several

    p, scores = job.params, {}
    for draft in found:
        true = [u.step for u in draft.truth() if not u.ok]
        for name, critique in several.read(draft, said.get(draft.id, {})).items():
            if critique.parsed:
                flagged = [u.step for u in critique.bad]
                rng = seeds.rng(job.seed, "judge", draft.id, name)
                judged = pairs.judge_score(true, flagged, len(draft.steps), p.judge_noise, rng)
                score = judged if p.rule == "judge" else pairs.rule_score(true, flagged, judged, p.alpha)
                scores.setdefault(draft.id, {})[name] = score
                job.cost.oracle_calls += len(draft.steps)
    return scores


def _gains(job: Job, tasks: list) -> dict[tuple[str, str], float]:
    """Return {(solution, critique text): mean outcome of its revisions over all revisers}; {} without revisers."""
    if not job.inputs.get("revisers"):
        return {}
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus.critics import revise
    from elenchus.engines import Sampling
    from elenchus.engines.opening import opened, spent

    p, distinct = job.params, list({(d.id, text): (d, text) for d, text in tasks}.values())
    sampling = Sampling(temperature=p.temperature, max_tokens=p.max_tokens)
    right = dict.fromkeys(((d.id, text) for d, text in distinct), 0)
    revisers = job.inputs["revisers"]
    for r, reviser in enumerate(revisers):
        engine = opened(job, reviser)
        for start in range(0, len(distinct), CHUNK):
            chunk, seed = distinct[start : start + CHUNK], seeds.derive(job.derive("revisions"), r, start)
            samples = revise.revise(engine, engine.tokenizer, chunk, sampling, seed, p.samples)
            for (draft, text), refinements in zip(chunk, samples, strict=True):
                right[draft.id, text] += sum(x.correct for x in refinements)
            job.progress(r * len(distinct) + start + len(chunk), len(revisers) * len(distinct), "critiques tried")
        spent(job, engine)
    tried = len(revisers) * p.samples
    job.cost.oracle_calls += tried * len(distinct)
    return {key: n / tried for key, n in right.items()}


def _row(rule: str, draft, pair, chosen: str, rejected: str, gains: dict) -> dict:
    """Return the row of one pair."""
    from elenchus.critics.pairs import passes

    nan = float("nan")
    gain, other = (gains.get((draft.id, text), nan) for text in (chosen, rejected))
    return {
        "pair_id": f"{draft.id}~{pair.chosen}>{pair.rejected}",
        "problem_id": draft.problem.id,
        "solution_id": draft.id,
        "prompt": json.dumps(conversation.critique(draft.problem.prompt, draft.text), ensure_ascii=False),
        "reply": "critic",
        "chosen": chosen,
        "rejected": rejected,
        "chosen_critic": pair.chosen,
        "rejected_critic": pair.rejected,
        "reason": rule,
        "margin": pair.margin,
        "chosen_gain": gain,
        "rejected_gain": other,
        "kept": passes(gain, other) if gains else True,
    }


def _statistics(rows: list[dict], exact: list[tuple[float, float]], filtered: bool) -> dict:
    """Return how many pairs there are and how right their labels are, and how much the revisers heed critiques."""
    from dataclasses import asdict
    from statistics import fmean

    from elenchus.critics.pairs import label_quality

    found = {
        "filtered": filtered,
        "pairs": len(rows),
        "kept": sum(r["kept"] for r in rows),
        "labels_before": asdict(label_quality(exact)),
        "labels_after": asdict(label_quality([e for e, r in zip(exact, rows, strict=True) if r["kept"]])),
    }
    if filtered and rows:
        found["mean_chosen_gain"] = fmean(r["chosen_gain"] for r in rows)
        found["mean_rejected_gain"] = fmean(r["rejected_gain"] for r in rows)
        # Revisers that ignore critiques make all pairs look alike, and the filter noise.
        found["share_of_equal_gains"] = fmean(r["chosen_gain"] == r["rejected_gain"] for r in rows)
    return found


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: pairs of four critics; where there are revisers, each critique revised `samples` times."""
    critiques = rows.get("critiques", 0) or 4 * rows.get("solutions", 0)
    if "revisers" not in rows:
        return Estimate(rows=2 * critiques)
    written = min(tokens.refinement, params.max_tokens) * critiques * params.samples
    return Estimate(rows=2 * critiques, sampled=written, prompt=tokens.criticised * critiques)
