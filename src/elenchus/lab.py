"""The words in which recipes are written. Each method describes one stage and returns it; nothing runs.

lab.problems, sample, sft...  one stage each: `elenchus/words/` by theme
lab.arm("b_star")            what follows belongs to this arm
lab.measure(stage, ...)      an evaluation that counts for this arm (round, subject)
lab.compare(...)             a paired comparison of two measured things
lab.claim(...)               a statement of the paper, tested on such a comparison
lab.at(arm, subject, round)  what was measured, as comparisons and claims name it
lab.publish(name, stage)     a data set that lands in data/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from elenchus.claims import Claim
from elenchus.config import Base
from elenchus.errors import UserError, did_you_mean
from elenchus.graph import Stage, make
from elenchus.recipes import Recipe
from elenchus.words.judging import Judging
from elenchus.words.training import Training
from elenchus.words.writing import Writing

SHARED = "shared"  # the arm of stages that no single arm owns


@dataclass(frozen=True)
class Named:
    """A stage under the name by which people find it."""

    stage: Stage
    name: str
    arm: str
    seed: int
    round: int | None = None


@dataclass(frozen=True)
class Measured:
    """An evaluation stage and what it measured: subject is "policy", or the name of a critic."""

    stage: Stage
    arm: str
    seed: int
    round: int
    subject: str


@dataclass(frozen=True)
class Published:
    """A table that lands in data/<name>/."""

    name: str
    stage: Stage
    table: str
    description: str
    seed: int


@dataclass
class Lab(Writing, Judging, Training):
    """What a recipe describes for one seed."""

    config: Base
    recipe: Recipe
    seed: int
    named: list[Named] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    comparisons: list[dict] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    _arm: str = SHARED
    _round: int | None = None

    # -- arms, rounds, names ---------------------------------------------------------------------------------------

    @contextmanager
    def arm(self, name: str) -> Iterator[str]:
        """Count what is described inside for the arm `name`, one of the recipe's."""
        arms = self.recipe.arms
        if name not in arms:
            raise UserError(
                f"recipe {self.recipe.id!r} has no arm {name!r}{did_you_mean(name, arms)}; arms: {', '.join(arms)}"
            )
        before, self._arm = self._arm, name
        try:
            yield name
        finally:
            self._arm = before

    def arms(self, *names: str) -> Iterator[str]:
        """Yield each arm, what the loop's body describes counted for it."""
        for name in names:
            with self.arm(name):
                yield name

    def rounds(self, n: int) -> Iterator[int]:
        """Yield 1..n, what the loop's body describes counted for that round. Round 0 is what was there before."""
        for r in range(1, n + 1):
            self._round = r
            yield r
        self._round = None

    def stage(
        self, kind: str, name: str | None = None, params: dict | None = None, **inputs: Stage | Sequence[Stage] | None
    ) -> Stage:
        """Return a stage of `kind`, filed under `name` (default: the kind)."""
        made = make(kind, params, seed=self.seed, where=f"recipe {self.recipe.id}", **inputs)
        self.named.append(Named(made, name or kind, self._arm, self.seed, self._round))
        return made

    # -- evaluation ------------------------------------------------------------------------------------------------

    def measure(
        self, evaluation: Stage, *, subject: str = "policy", round: int | None = None, arm: str | None = None
    ) -> Stage:
        """Count an `evaluate` stage as a measurement of `subject` in this arm and round."""
        at = self._round if round is None else round
        self.measured.append(Measured(evaluation, arm or self._arm, self.seed, at or 0, subject))
        return evaluation

    def measure_critiques(
        self, said: Stage, reviser: Stage, solutions: Stage, problems: Stage, *, subject: str = "critic", **revision
    ) -> Stage:
        """Measure critiques `said` of `solutions`, as critiques and by what `reviser` makes of them. Returns refinements."""
        revised = self.refine(reviser, said, solutions, problems, **revision)
        given = {"solutions": solutions, "critiques": said}
        self.measure(self.evaluate("critic", problems, **given), subject=subject)
        self.measure(self.evaluate("correction", problems, **given, refinements=revised), subject=subject)
        return revised

    def evaluate(self, which: str, problems: Stage, *, name: str | None = None, **given) -> Stage:
        """Return the metrics of `which`: "policy", "critic", "correction" and so on, as the stage kind lists them.

        given: stages are inputs (solutions, critiques, refinements, scores, ...), everything else is a parameter.
        """
        inputs = {k: v for k, v in given.items() if v is None or isinstance(v, Stage)}
        params = {"which": which, **{k: v for k, v in given.items() if k not in inputs}}
        return self.stage("evaluate", name or f"evaluation-{which}", params, problems=problems, **inputs)

    def at(self, arm: str, subject: str = "policy", round: int = 0) -> dict:
        """Return the name of what was measured, for comparisons and claims."""
        return {"arm": arm, "round": round, "subject": subject}

    def claim(self, statement: str, **facts) -> None:
        """Test a statement of the paper; its first claim is its main one. `facts`: the fields of `elenchus.claims.Claim`.

        lab.claim("online step-level DPO beats instance-level DPO", paper="+2.1 on GSM8K (table 2)", metric="pass@1",
                  better=lab.at("step_online", round=3), than=lab.at("instance", round=3))
        """
        made = Claim.of(statement, f"recipe {self.recipe.id}", facts)
        self.claims.append(made)
        self.compare(made.statement, made.metric, better=facts["better"], than=facts.get("than"))

    def compare(self, name: str, metric: str, *, better: dict, than: dict | None) -> None:
        """Ask for the paired difference of `metric` between two measured things, each {arm, round, subject}.

        than None: the metric of `better` itself, against zero.
        """
        entry = {"name": name, "metric": metric, "better": better, "than": than}
        if entry not in self.comparisons:
            self.comparisons.append(entry)

    def publish(self, name: str, stage: Stage, table: str, description: str) -> None:
        """Let `table` of `stage` land in data/<name>/ with a card."""
        self.published.append(Published(name, stage, table, description, self.seed))
