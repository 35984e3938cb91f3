"""The words in which recipes are written. Each method describes one stage and returns it; nothing runs.

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

from elenchus import seeds
from elenchus.claims import Claim
from elenchus.config import Base
from elenchus.errors import UserError, did_you_mean
from elenchus.graph import Stage, make
from elenchus.recipes import Recipe

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
class Lab:
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

    # -- problems and models ---------------------------------------------------------------------------------------

    def problems(self, split: str, n: int | None = None, *, draw: int = 0) -> Stage:
        """Return the problems of a split ("train", "validation", "test"); n defaults to params.yaml's number.

        draw: another number, other problems of the split (a few may be the same).
        """
        p = self.config.problems
        seed = seeds.derive("draw", p.seed, draw) if draw else p.seed
        params = {"family": p.family, "options": p.options, "split": split, "n": n or getattr(p, split), "seed": seed}
        return self.stage("problems", f"problems-{split}", params)

    def disjoint(self, *splits: Stage) -> Stage:
        """Return the stage that proves that no problem is in two of `splits`."""
        return self.stage("disjoint", "disjoint", problems=splits)

    def seed_model(self) -> Stage:
        """Return the model that everything starts from: solves, criticises and refines, each imperfectly.

        Trained from nothing by the workflow, or pretrained where params.yaml names a base_model.
        """
        base = self.config.base_model
        if base.name:
            return self.stage("pretrained", "base-model", {"name": base.name, "revision": base.revision})
        p = self.config.problems
        return self.stage(
            "seed_model", "seed-model", {"family": p.family, "options": p.options, **self.config.seed_model}
        )

    # -- sampling and search ---------------------------------------------------------------------------------------

    def _sampling(self, params: dict) -> dict:
        e = self.config.engine
        return {"batch_size": e.batch_size, "max_tokens": e.max_tokens, **params}

    def sample(
        self, actor: Stage, problems: Stage, *, setting: Stage | None = None, name: str = "solutions", **params
    ) -> Stage:
        """Return n solutions per problem by `actor`; `setting` (a balance stage) overrides the temperature."""
        return self.stage("sample", name, self._sampling(params), actor=actor, problems=problems, setting=setting)

    def act(self, actor: Stage, problems: Stage, *, name: str = "episodes", **params) -> Stage:
        """Return solutions that `actor` acts out in the problems' worlds, n per problem and branches off failed ones."""
        params = {"batch_size": self.config.engine.batch_size, **params}
        return self.stage("act", name, params, actor=actor, problems=problems)

    def search(
        self, actor: Stage, problems: Stage, *, value_model: Stage | None = None, name: str = "trees", **params
    ) -> Stage:
        """Return search trees over partial solutions."""
        e = self.config.engine
        return self.stage(
            "search",
            name,
            {"batch_size": e.batch_size, **params},
            actor=actor,
            problems=problems,
            value_model=value_model,
        )

    def label(
        self,
        source: str,
        problems: Stage,
        *,
        trees: Stage | None = None,
        solutions: Stage | None = None,
        actor: Stage | None = None,
        name: str = "step-labels",
        **params,
    ) -> Stage:
        """Return step labels from the exact checker, from search trees or from roll-outs."""
        return self.stage(
            "label",
            name,
            {"source": source, **params},
            problems=problems,
            trees=trees,
            solutions=solutions,
            actor=actor,
        )

    def inject(
        self, problems: Stage, *, solutions: Stage | None = None, name: str = "injected-errors", **params
    ) -> Stage:
        """Return solutions with errors put in on purpose: exact ones, or the sound ones of `solutions`; and step labels."""
        return self.stage("inject", name, params, problems=problems, solutions=solutions)

    def step_pairs(
        self,
        problems: Stage,
        *,
        trees: Stage | None = None,
        solutions: Stage | None = None,
        name="step-pairs",
        **params,
    ) -> Stage:
        """Return preference pairs: of sibling steps of `trees` whose root moved, or of right and wrong `solutions`."""
        return self.stage(
            "step_pairs", name, params, problems=problems, trees=trees, solutions=trees if trees else solutions
        )

    def answer(
        self, solutions: Stage, problems: Stage, *, scores: Stage | None = None, name: str = "answers", **params
    ) -> Stage:
        """Return one solution per problem, chosen of `solutions` without a look at the outcome."""
        return self.stage("answer", name, params, solutions=solutions, problems=problems, scores=scores)

    # -- critiques -------------------------------------------------------------------------------------------------

    def oracle_critique(
        self, critic: str, solutions: Stage, problems: Stage, name: str | None = None, **dials
    ) -> Stage:
        """Return critiques by an exact checker with dials (miss rate, false alarms, blind spots, wrong fixes)."""
        params = {"source": "oracle", "critic": critic, **dials}
        return self.stage("critique", name or f"critiques-{critic}", params, solutions=solutions, problems=problems)

    def critique(
        self, critic: Stage, solutions: Stage, problems: Stage, *, label: str, name: str | None = None, **params
    ) -> Stage:
        """Return critiques of `solutions` written by a model; `label` is the critic's name in tables."""
        params = self._sampling(
            {"source": "model", "critic": label, "max_tokens": 2 * self.config.engine.max_tokens, **params}
        )
        return self.stage(
            "critique", name or f"critiques-{label}", params, critic=critic, solutions=solutions, problems=problems
        )

    def refine(
        self, reviser: Stage, critiques: Stage, solutions: Stage, problems: Stage, name: str = "refinements", **params
    ) -> Stage:
        """Return refinements of `solutions` by `reviser` under `critiques`."""
        return self.stage(
            "refine",
            name,
            self._sampling(params),
            reviser=reviser,
            critiques=critiques,
            solutions=solutions,
            problems=problems,
        )

    def revised(self, refinements: Stage, solutions: Stage, problems: Stage, name: str = "revised") -> Stage:
        """Return the solutions that stand after a turn of refinement, for another turn or a measurement."""
        return self.stage("revised", name, refinements=refinements, solutions=solutions, problems=problems)

    def contrast(
        self, solutions: Stage, problems: Stage, *, trees: Stage | None = None, name: str = "contrasts", **params
    ) -> Stage:
        """Return critiques of wrong paths beside right ones: of the same tree where `trees` are given."""
        return self.stage("contrast", name, params, trees=trees, solutions=solutions, problems=problems)

    def aggregate(
        self, critiques: Sequence[Stage], solutions: Stage, problems: Stage, name: str = "aggregated", **params
    ) -> Stage:
        """Return one critique per solution, merged in units from several critics."""
        return self.stage("aggregate", name, params, critiques=critiques, solutions=solutions, problems=problems)

    def pairs(
        self,
        critiques: Sequence[Stage],
        units: Stage | None,
        solutions: Stage,
        problems: Stage,
        revisers: Sequence[Stage],
        name: str = "pairs",
        **params,
    ) -> Stage:
        """Return preference pairs between critiques, filtered by whether the better one leads to better refinements."""
        params = self._sampling(params)
        return self.stage(
            "pairs",
            name,
            params,
            critiques=critiques,
            units=units,
            solutions=solutions,
            problems=problems,
            revisers=revisers,
        )

    # -- training --------------------------------------------------------------------------------------------------

    def sft(
        self, model: Stage, examples: Sequence[Stage], *, previous: Stage | None = None, name: str = "sft", **params
    ) -> Stage:
        """Return `model` fine-tuned on examples; `previous` hands on its optimizer (B-STaR's online RFT)."""
        return self.stage("sft", name, params, model=model, examples=examples, previous=previous)

    def splice(
        self, solutions: Stage, problems: Stage, *, critiques: Stage | None = None, name: str = "dialogues", **params
    ) -> Stage:
        """Return dialogues to learn, of episodes: good ones, and revision trajectories cut where `critiques` say."""
        return self.stage("splice", name, params, solutions=solutions, problems=problems, critiques=critiques)

    def sft_turns(
        self, model: Stage, examples: Sequence[Stage], *, previous: Stage | None = None, name: str = "sft", **params
    ) -> Stage:
        """Return `model` fine-tuned on dialogues, the loss on their learned turns only."""
        return self.stage("sft_turns", name, params, model=model, examples=examples, previous=previous)

    def dpo(self, model: Stage, pairs: Stage, name: str = "dpo", **params) -> Stage:
        """Return `model` trained by DPO on preference pairs."""
        return self.stage("dpo", name, params, model=model, pairs=pairs)

    def step_dpo(
        self, model: Stage, pairs: Stage, *, reference: Stage | None = None, name: str = "step-dpo", **params
    ) -> Stage:
        """Return `model` trained by conservative DPO on step pairs; `reference`: None for the model at the start."""
        return self.stage("step_dpo", name, params, model=model, pairs=pairs, reference=reference)

    def grpo(
        self,
        critic: Stage,
        solutions: Stage,
        problems: Stage,
        *,
        actor: Stage | None = None,
        validation: tuple[Stage, Stage] | None = None,
        name: str = "grpo",
        **params,
    ) -> Stage:
        """Return the critic trained by GRPO on composed rewards; `validation` is (solutions, their problems)."""
        solved, asked = validation or (None, None)
        inputs = {"critic": critic, "actor": actor, "solutions": solutions, "problems": problems}
        return self.stage("grpo", name, params, **inputs, validation=solved, validation_problems=asked)

    def process_head(self, model: Stage, labels: Stage, problems: Stage, name: str = "process-head", **params) -> Stage:
        """Return a process-reward / value head trained on step labels."""
        return self.stage("process_head", name, params, model=model, labels=labels, problems=problems)

    # -- single steps ----------------------------------------------------------------------------------------------

    def cases(self, solutions: Stage, problems: Stage, name: str = "cases", **params) -> Stage:
        """Return single steps to judge, as many wrong as right, and the lessons that they are for either player."""
        return self.stage("cases", name, params, solutions=solutions, problems=problems)

    def games(
        self,
        generator: Stage | None,
        critic: Stage,
        solutions: Stage,
        problems: Stage,
        *,
        solver: Stage | None = None,
        name: str = "games",
        **params,
    ) -> Stage:
        """Return the paid moves of a generator that spoils right steps and a critic; generator None: by program."""
        given = {"generator": generator, "critic": critic, "solver": solver}
        params = {"batch_size": self.config.engine.batch_size, **params}
        return self.stage("games", name, params, solutions=solutions, problems=problems, **given)

    def offline_rl(
        self, model: Stage, moves: Sequence[Stage], examples: Sequence[Stage], name: str = "offline-rl", **params
    ) -> Stage:
        """Return a player trained on the moves of games, with round-0 examples mixed in."""
        return self.stage("offline_rl", name, params, model=model, moves=moves, examples=examples)

    def judge(
        self, critic: Stage, cases: Sequence[Stage], problems: Stage, name: str = "judgements", **params
    ) -> Stage:
        """Return a step critic's judgements of single steps, measured."""
        params = {"batch_size": self.config.engine.batch_size, **params}
        return self.stage("judge", name, params, critic=critic, cases=cases, problems=problems)

    def guided_search(
        self, actor: Stage, critic: Stage, problems: Stage, name: str = "guided-solutions", **params
    ) -> Stage:
        """Return solutions written step by step, a step that the critic rejects sampled again."""
        params = {"batch_size": self.config.engine.batch_size, **params}
        return self.stage("guided_search", name, params, actor=actor, critic=critic, problems=problems)

    # -- rounds ----------------------------------------------------------------------------------------------------

    def score(
        self,
        solutions: Stage,
        problems: Stage,
        *,
        process_head: Stage | None = None,
        critic: Stage | None = None,
        name: str = "scores",
        **params,
    ) -> Stage:
        """Return step scores of solutions by a process head or a critic."""
        return self.stage(
            "score",
            name,
            {"batch_size": self.config.engine.batch_size, **params},
            solutions=solutions,
            problems=problems,
            process_head=process_head,
            critic=critic,
        )

    def balance(self, solutions: Stage, scores: Stage | None, name: str = "balance", **params) -> Stage:
        """Return B-STaR's setting (temperature, threshold): the one with the highest balance score on the grid."""
        return self.stage("balance", name, params, solutions=solutions, scores=scores)

    def select(
        self,
        solutions: Stage,
        problems: Stage,
        *,
        scores: Stage | None = None,
        setting: Stage | None = None,
        name: str = "selected",
        **params,
    ) -> Stage:
        """Return the training examples that pass the reward threshold."""
        return self.stage(
            "select", name, params, solutions=solutions, problems=problems, scores=scores, setting=setting
        )

    def examples(
        self,
        problems: Stage,
        *,
        name: str = "examples",
        solutions: Stage | None = None,
        critiques: Stage | None = None,
        refinements: Stage | None = None,
        pairs: Stage | None = None,
        **params,
    ) -> Stage:
        """Return training examples made of solutions, critiques, refinements, pairs, or exact solutions."""
        given = {"solutions": solutions, "critiques": critiques, "refinements": refinements, "pairs": pairs}
        return self.stage("examples", name, params, problems=problems, **given)

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
