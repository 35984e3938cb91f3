"""All measurements of a recipe over its seeds, and its comparisons: paired over problems and seeds, with intervals.

Every comparison says its effect size and the difference that it could have found (`metrics/bootstrap.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Subject(_Entry):
    """What was measured: one subject of one arm in one round."""

    arm: str = Field(description="the arm")
    round: int = Field(0, ge=0, description="the round, 0 before any")
    subject: str = Field("policy", description="what was measured in it")

    def __str__(self) -> str:
        return f"{self.subject} of {self.arm}, round {self.round}"


class Label(Subject):
    """Which of the evaluations is which: in their order."""

    seed: int = Field(description="the seed axis")

    @property
    def of(self) -> Subject:
        """Return the label without its seed."""
        return Subject(arm=self.arm, round=self.round, subject=self.subject)


class Comparison(_Entry):
    """A difference that is asked for: metric(better) - metric(than), or metric(better) itself where `than` is null."""

    name: str = Field(description="what the comparison is called")
    metric: str = Field(description="a metric of `metrics/catalogue.py`")
    better: Subject = Field(description="what is claimed to be better")
    than: Subject | None = Field(None, description="than what; null: than zero")


class Params(StageParams):
    """What the evaluations are, and what is compared."""

    labels: tuple[Label, ...] = Field(min_length=1, description="one for each evaluation, in order")
    comparisons: tuple[Comparison, ...] = Field((), description="differences asked for")


INPUTS = {"evaluations*": "items"}
OUTPUTS = ("summary", "summary.json")
SEEDED = False
THREADS = 1


def run(job: Job) -> None:
    """Write every metric of every subject, over all seeds and by seed, and the comparisons (summary.json)."""
    p = job.params
    if len(p.labels) != len(job.inputs["evaluations"]):
        raise UserError(f"{len(p.labels)} labels for {len(job.inputs['evaluations'])} evaluations; give one for each")
    given = _given(p.labels, job.inputs["evaluations"])
    rows = []
    for done, (subject, by_seed) in enumerate(given.items(), 1):
        rows += _measure(subject, by_seed, job.derive("bootstrap"))
        job.progress(done, len(given), "subjects measured")
    job.write("summary", rows)
    compared = [_compare(c, given, job.derive("bootstrap")) for c in p.comparisons]
    job.write_json("summary", {"comparisons": compared, "seeds": sorted({label.seed for label in p.labels})})


def _given(labels: tuple[Label, ...], evaluations: list) -> dict[Subject, dict[int, list]]:
    """Return {subject: {seed: its evaluations}}; a subject may have several (as critic, as corrector)."""
    grouped: dict[Subject, dict[int, list]] = {}
    for label, result in zip(labels, evaluations, strict=True):
        grouped.setdefault(label.of, {}).setdefault(label.seed, []).append(result)
    return {subject: dict(sorted(by_seed.items())) for subject, by_seed in grouped.items()}


def _stack(seeds: Iterable[list], parts: Iterable[str] | None = None):
    """Return the stack of the items of each seed's evaluations."""
    from elenchus.metrics import items

    return items.stack([(piece for e in several for piece in e.pieces("items")) for several in seeds], parts)


def _measure(subject: Subject, by_seed: dict, seed: int) -> list[dict]:
    """Return the rows of one subject: every metric over all seeds (seed null), and its value in each seed."""
    from elenchus.metrics import items

    try:
        of = _stack(by_seed.values())
    except ValueError as e:
        raise UserError(f"{subject}: {e}; give evaluations of different things different subjects") from None
    rows = []
    for metric in items.measured(of):
        whole = items.interval(of, metric, seed)
        about = {**subject.model_dump(), "metric": metric, "items": whole.items}
        rows.append(
            {**about, "seed": None, "value": whole.value, "low": whole.low, "high": whole.high, "seeds": whole.seeds}
        )
        for i, s in enumerate(by_seed):
            one = items.interval(of.of_seeds(slice(i, i + 1)), metric, seed)
            rows.append({**about, "seed": s, "value": one.value, "low": one.low, "high": one.high, "seeds": 1})
    return [r for r in rows if r["value"] == r["value"]]


def _compare(c: Comparison, given: dict[Subject, dict[int, list]], seed: int) -> dict:
    """Return a comparison's numbers over the seeds that both sides have; null where there is no number."""
    from dataclasses import asdict

    from elenchus.metrics import catalogue, items

    parts = catalogue.parts_of(c.metric)
    asked = {name: of for name in ("better", "than") if (of := getattr(c, name)) is not None}
    for subject in asked.values():
        if subject not in given:
            known = "; ".join(map(str, given))
            raise UserError(f"comparison {c.name!r}: nothing was measured of {subject}. Measured: {known}")
    both = sorted(set.intersection(*(set(given[subject]) for subject in asked.values())))
    if not both:
        raise UserError(f"comparison {c.name!r}: {c.better} and {c.than} share no seed")
    sides = {name: _stack([given[subject][s] for s in both], parts) for name, subject in asked.items()}
    values = {"than_value": 0.0}
    for name, of in sides.items():
        if c.metric not in catalogue.computable(of.values):  # measured, but of nothing (no step flagged): no number
            has = items.measured(_stack([given[asked[name]][s] for s in both]))
            raise UserError(f"comparison {c.name!r}: {asked[name]} has no {c.metric}; it has {', '.join(has)}")
        values[f"{name}_value"] = items.interval(of, c.metric, seed).value
    try:
        found = asdict(items.difference(sides["better"], sides.get("than"), c.metric, seed))
    except ValueError as e:
        raise UserError(f"comparison {c.name!r}: {e}") from None
    numbers = {k: None if v != v else v for k, v in {**values, **found}.items()}
    return {**c.model_dump(mode="json"), **numbers, "wanted": catalogue.find(c.metric).better, "paired_seeds": both}


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return about twenty metrics of each evaluation; no tokens."""
    return Estimate(rows=20 * len(params.labels))
