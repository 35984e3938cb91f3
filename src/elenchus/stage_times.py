"""Measured times of the evidence's stages, evidence/stage-times.csv: what the simulated scheduler runs on.

A line a stage: its identity (the digest without code, so that a refactoring keeps it), its kind, seconds and processor
seconds. Above them, as comments, where they come from and what starting a stage's process takes on the same machine.
"""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from elenchus.errors import UserError
from elenchus.graph import Stage
from elenchus.plan import Plan

FILE = Path("evidence/stage-times.csv")
HEAD = ["identity", "kind", "seconds", "cpu_seconds"]


@dataclass(frozen=True)
class Times:
    """Processor seconds of stages by identity and their medians by kind; starts: seconds to start a process, by work."""

    of: dict[str, float]
    of_kind: dict[str, float]
    starts: dict[str, float]
    about: str

    def seconds(self, stage: Stage) -> float:
        """Return a stage's processor seconds; its kind's median where it was not measured, 1 where none of its kind was."""
        return self.of.get(stage.identity, self.of_kind.get(stage.kind, 1.0))


def stages_of_evidence(plan: Plan) -> list[Stage]:
    """Return the stages of all recipes that make claims, over the seeds of evidence, each once, parents first."""
    found: dict[str, Stage] = {}
    for name in plan.recipes:
        if plan.recipe(name).claims:
            found |= {s.digest: s for s in plan.evidence(name).stages}
    return list(found.values())


def collect(plan: Plan, results: Path, starts: dict[str, float]) -> str:
    """Return the file's text from the cost.json files below `results`; UserError where none is of the evidence's stages.

    starts: {work: seconds} as measured on the same machine.
    """
    kinds = {s.identity: s.kind for s in stages_of_evidence(plan)}
    rows, machines, ended = [], set(), set()
    for path in sorted(results.glob("[!._]*/*/stage.json")):
        identity = json.loads(path.read_text()).get("identity")
        if identity in kinds:
            cost = json.loads((path.parent / "cost.json").read_text())
            rows.append([identity, kinds.pop(identity), cost["seconds"], cost["cpu_seconds"]])
            machines.add(cost["machine"])
            ended.add(cost["ended"][:10])
    if not rows:
        raise UserError(
            f"{results}: no result is of the evidence's stages; make them with\n  elenchus run <recipe> --evidence"
        )
    days = " to ".join(sorted({min(ended), max(ended)}))
    about = f"{len(rows)} stages of `elenchus run --evidence`, {days}, {'; '.join(sorted(machines))}"
    lines = [f"# {about}", "# " + ", ".join(f"start {name} {seconds:.2f}" for name, seconds in starts.items())]
    return "\n".join([*lines, ",".join(HEAD), *(",".join(map(str, row)) for row in sorted(rows))]) + "\n"


def read(path: Path) -> Times:
    """Return the times at `path`; UserError where the file is not what `collect` writes."""
    lines = path.read_text().splitlines()
    try:
        about, starts = (line.removeprefix("# ") for line in lines[:2])
        begun = {name: float(seconds) for _, name, seconds in (part.split() for part in starts.split(", "))}
        rows = [(r["identity"], r["kind"], float(r["cpu_seconds"])) for r in csv.DictReader(lines[2:])]
    except (KeyError, ValueError, TypeError) as e:
        raise UserError(
            f"{path}: not a table of stage times ({e}); python benchmarks/stage_times.py makes it"
        ) from None
    return Times({i: s for i, _, s in rows}, medians((kind, s) for _, kind, s in rows), begun, about)


def medians(rows: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return {kind: median of its seconds}."""
    found: dict[str, list[float]] = {}
    for kind, seconds in rows:
        found.setdefault(kind, []).append(seconds)
    return {kind: statistics.median(seconds) for kind, seconds in found.items()}
