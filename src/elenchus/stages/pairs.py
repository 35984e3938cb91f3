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
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from typing import Any, Literal

from pydantic import Field

from elenchus import conversation, seeds, slices
from elenchus.engines.settings import Sampler
from elenchus.errors import UserError
from elenchus.job import Cost, Job
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
    from elenchus.critics import pairs

    if job.params.rule == "severity" and "units" not in job.inputs:
        raise UserError("rule severity needs the input `units`: the judged units of an aggregate stage")
    exact = [array("d"), array("d")]  # severities of the chosen and of the rejected
    tried = 0
    for draft in _ranked(job, job.cost):
        tried += len(draft.texts)
        for side, name in zip(exact, ("chosen", "rejected"), strict=True):
            side.extend(pairs.severity(draft.critiques[getattr(pair, name)], draft.truth) for pair in draft.pairs)
    gains = _gains(job, tried)
    sums, kept, done = {"chosen_gain": array("d"), "rejected_gain": array("d")}, array("b"), 0
    with job.writing("pairs") as (add,):
        for draft in _ranked(job, Cost()):
            own = dict(zip(draft.texts, gains[done : done + len(draft.texts)], strict=True)) if gains else {}
            done += len(draft.texts)
            rows = [_row(job.params.rule, draft, pair, own) for pair in draft.pairs]
            kept.extend(row["kept"] for row in rows)
            for name, values in sums.items():
                values.extend(row[name] for row in rows)
            add(rows)
    job.write_json("pairs", _statistics(sums, kept, exact, bool(gains)))


@dataclass(frozen=True)
class _Ranked:
    """A draft with its pairs. texts: what its pairs say, each once, as it comes in them."""

    draft: Any
    truth: list
    said: dict[str, str]
    critiques: dict
    pairs: list

    @property
    def texts(self) -> list[str]:
        return list(dict.fromkeys(self.said[name] for pair in self.pairs for name in (pair.chosen, pair.rejected)))


def _ranked(job: Job, cost: Cost) -> Iterator[_Ranked]:
    """Yield the drafts with pairs, in the solutions' order, always the same; oracle calls are added to `cost`."""
    from elenchus.critics import pairs, several
    from elenchus.critics.drafts import drafts

    p = job.params
    for part in slices.walk(job, INPUTS, "solutions", "problems", "critiques", "units"):
        said, scores = several.by_solution(part["critiques"]), {}
        if p.rule == "severity":
            scores = _severity_scores(part["units"])
        for draft in drafts(part["solutions"], part["problems"]):
            texts, truth = said.get(draft.id, {}), draft.truth()
            critiques = several.read(draft, texts)
            own = scores.get(draft.id, {}) if p.rule == "severity" else _rule_scores(job, draft, truth, critiques, cost)
            known = {name: s for name, s in own.items() if name in texts}
            if found := pairs.rank(known, texts, p.min_margin, p.most):
                yield _Ranked(draft, truth, texts, critiques, found)


def _severity_scores(units) -> dict[str, dict[str, float]]:
    """Return {solution: {critic: minus its accumulated severity}}, as the meta-judge of the aggregation saw it."""
    total = units.groupby(["solution_id", "critic"], sort=False)["severity"].sum()
    scores: dict[str, dict[str, float]] = {}
    for (solution, critic), severity in total.items():
        scores.setdefault(solution, {})[critic] = -float(severity)
    return scores


def _rule_scores(job: Job, draft, truth: list, critiques: dict, cost: Cost) -> dict[str, float]:
    """Return {critic: Jaccard + alpha * judge, or the judge's score} of the readable critiques of a draft."""
    from elenchus.critics import pairs

    p, scores = job.params, {}
    true = [u.step for u in truth if not u.ok]
    for name, critique in critiques.items():
        if critique.parsed:
            flagged = [u.step for u in critique.bad]
            rng = seeds.rng(job.seed, "judge", draft.id, name)
            judged = pairs.judge_score(true, flagged, len(draft.steps), p.judge_noise, rng)
            scores[name] = judged if p.rule == "judge" else pairs.rule_score(true, flagged, judged, p.alpha)
            cost.oracle_calls += len(draft.steps)
    return scores


def _gains(job: Job, tried: int) -> Sequence[float]:
    """Return the mean outcome of each text's revisions over all revisers, in the order of `_ranked`; empty without revisers."""
    if not job.inputs.get("revisers"):
        return ()
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus.critics import revise
    from elenchus.engines import Sampling
    from elenchus.engines.opening import opened, spent

    p, right = job.params, array("l", [0]) * tried
    sampling = Sampling(temperature=p.temperature, max_tokens=p.max_tokens)
    revisers = job.inputs["revisers"]
    for r, reviser in enumerate(revisers):
        engine = opened(job, reviser)
        tasks = ((d.draft, text) for d in _ranked(job, Cost()) for text in d.texts)
        for start in range(0, tried, CHUNK):
            chunk, seed = list(islice(tasks, CHUNK)), seeds.derive(job.derive("revisions"), r, start)
            samples = revise.revise(engine, engine.tokenizer, chunk, sampling, seed, p.samples)
            for i, refinements in enumerate(samples, start):
                right[i] += sum(x.correct for x in refinements)
            job.progress(r * tried + start + len(chunk), len(revisers) * tried, "critiques tried")
        spent(job, engine)
    each = len(revisers) * p.samples
    job.cost.oracle_calls += each * tried
    return array("d", (n / each for n in right))


def _row(rule: str, ranked: _Ranked, pair, gains: dict[str, float]) -> dict:
    """Return the row of one pair. gains: of each text, {} without a filter."""
    from elenchus.critics.pairs import passes

    nan, draft = float("nan"), ranked.draft
    chosen, rejected = ranked.said[pair.chosen], ranked.said[pair.rejected]
    gain, other = gains.get(chosen, nan), gains.get(rejected, nan)
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


def _statistics(gains: dict[str, Sequence[float]], kept: Sequence[int], exact: list, filtered: bool) -> dict:
    """Return how many pairs there are and how right their labels are, and how much the revisers heed critiques."""
    from dataclasses import asdict
    from statistics import fmean

    from elenchus.critics.pairs import label_quality

    found = {
        "filtered": filtered,
        "pairs": len(kept),
        "kept": sum(kept),
        "labels_before": asdict(label_quality(zip(*exact, strict=True))),
        "labels_after": asdict(label_quality(compress(zip(*exact, strict=True), kept))),
    }
    if filtered and kept:
        found |= {f"mean_{name}": fmean(values) for name, values in gains.items()}
        # Revisers that ignore critiques make all pairs look alike, and the filter noise.
        found["share_of_equal_gains"] = fmean(a == b for a, b in zip(*gains.values(), strict=True))
    return found


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: pairs of four critics; where there are revisers, each critique revised `samples` times."""
    critiques = rows.get("critiques", 0) or 4 * rows.get("solutions", 0)
    if "revisers" not in rows:
        return Estimate(rows=2 * critiques)
    written = min(tokens.refinement, params.max_tokens) * critiques * params.samples
    return Estimate(rows=2 * critiques, sampled=written, prompt=tokens.criticised * critiques)
