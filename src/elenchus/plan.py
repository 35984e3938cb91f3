"""The plan: params.yaml and recipes in, the stage graph and the targets out. What Snakemake and the command line share."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from elenchus import config as configuration
from elenchus import stages
from elenchus.claims import Claim
from elenchus.code_digest import code_digest
from elenchus.config import Base
from elenchus.errors import UserError
from elenchus.graph import RESULTS, Stage, digest_of, make, walk
from elenchus.lab import Lab, Measured, Named, Published
from elenchus.recipes import Recipe, load_all, pick

LAST_BENCH = RESULTS / "bench.json"  # the section `bench` as it was run last, from the command line mostly


@dataclass(frozen=True)
class RecipePlan:
    """One recipe over all its seeds: its stages by name, its measurements, its summary."""

    recipe: Recipe
    named: tuple[Named, ...]
    measured: tuple[Measured, ...]
    published: tuple[Published, ...]
    summary: Stage
    claims: tuple[Claim, ...] = ()
    page: str = ""  # digest of the templates in workflow/report
    at_hand: tuple[str, ...] = ()  # published test sets on this machine, which training is held against

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """Return every stage that the recipe needs, parents first, the summary last."""
        return tuple(walk([*(n.stage for n in self.named), self.summary]))

    @cached_property
    def digest(self) -> str:
        """Return the digest of the whole: what names the recipe's records (its views' code included)."""
        names = [[n.name, n.arm, n.seed, n.round, n.stage.digest] for n in self.named]
        views = [code_digest(f"elenchus.{m}") for m in ("views", "report", "tracking", "contamination")]
        texts = [self.recipe.title, self.recipe.summary, self.recipe.departures]
        texts += [c.model_dump(mode="json") for c in self.claims]
        published = [[p.name, p.stage.digest, p.table, p.description] for p in self.published]
        return digest_of([self.recipe.id, names, self.summary.digest, views, self.page, texts, published, self.at_hand])

    def record(self, what: str) -> Path:
        """Return the path of a record of this recipe: its report, its tracking stamp, its view stamp."""
        suffix = "html" if what == "report" else "json"
        return RESULTS / what / self.recipe.id / f"{self.digest}.{suffix}"


@dataclass(frozen=True)
class Plan:
    """All recipes of a project under one configuration."""

    root: Path
    config: Base
    recipes: dict[str, Recipe]

    def recipe(self, name: str) -> RecipePlan:
        """Return the plan of one recipe (cached: a recipe is wired once)."""
        chosen = pick(self.recipes, name)
        if chosen.id not in self._plans:
            self._plans[chosen.id] = replace(plan_recipe(self.config, chosen), page=self._page, at_hand=self._at_hand)
        return self._plans[chosen.id]

    def evidence(self, name: str) -> RecipePlan:
        """Return the plan of one recipe over the seeds of its evidence."""
        chosen = pick(self.recipes, name)
        if chosen.id not in self._evidence:
            config = self.config.model_copy(update={"seeds": self.config.evidence.seeds})
            self._evidence[chosen.id] = replace(plan_recipe(config, chosen), page=self._page, at_hand=self._at_hand)
        return self._evidence[chosen.id]

    def evidence_of(self, digest: str) -> RecipePlan:
        """Return the plan whose evidence has this digest; KeyError where there is none."""
        return {self.evidence(name).digest: self.evidence(name) for name in self.recipes}[digest]

    @cached_property
    def _evidence(self) -> dict[str, RecipePlan]:
        return {}

    def stage(self, digest: str) -> Stage:
        """Return the stage of a digest, of the recipes or of their evidence; KeyError where there is none."""
        if digest not in self.by_digest:
            for name in self.recipes:
                for s in self.evidence(name).stages:
                    self._more.setdefault(s.digest, s)
            return self._more[digest]
        return self.by_digest[digest]

    def job(self, digest: str, shard: tuple[int, int] | None = None) -> dict:
        """Return all that a job needs to run the stage of a digest: its specification, and what the machine is like.

        shard: (i, n) where the job is the i-th of n that share the stage's parts.
        """
        stage = self.stage(digest)
        known = {**stage.spec(), "machine": self.config.machine(stage.pretrained)}
        if shard:
            return {**known, "shard": list(shard)}
        return {**known, "joins": True} if self.shards(digest) > 1 else known

    def shards(self, digest: str) -> int:
        """Return the jobs that share the parts of a stage: params.yaml's `shards`, at most as many as there are parts."""
        from elenchus.estimates import expectations, parts_of

        stage = self.stage(digest)
        if self.config.shards == 1 or not hasattr(stages.load(stage.kind), "shares"):
            return 1
        if digest not in self._shares:
            self._shares[digest] = parts_of(stage, expectations(walk([stage])))
        return max(1, min(self.config.shards, self._shares[digest]))

    @cached_property
    def _shares(self) -> dict[str, int]:
        return {}

    @cached_property
    def _more(self) -> dict[str, Stage]:
        return {}

    @cached_property
    def _page(self) -> str:
        return digest_of([[p.name, p.read_text()] for p in sorted((self.root / "workflow" / "report").glob("*.j2"))])

    @cached_property
    def _at_hand(self) -> tuple[str, ...]:
        from elenchus import contamination

        return contamination.at_hand(self.root)

    @cached_property
    def _plans(self) -> dict[str, RecipePlan]:
        return {}

    @cached_property
    def by_digest(self) -> dict[str, Stage]:
        """Return every stage of every recipe by its digest."""
        return {s.digest: s for name in self.recipes for s in self.recipe(name).stages}

    @cached_property
    def labels(self) -> dict[str, str]:
        """Return, by digest, the name under which people know a stage: recipe, arm, round and its name there."""
        found: dict[str, str] = {}
        for name in self.recipes:
            label_stages(self.recipe(name), found)
        return found

    def label(self, digest: str) -> str:
        """Return the name under which people know a stage of the recipes or of their evidence."""
        if digest not in self.labels:
            self.stage(digest)
            for recipe_plan in self._evidence.values():
                label_stages(recipe_plan, self.labels)
        return self.labels[digest]

    def chosen(self) -> list[str]:
        """Return the recipes that plain `snakemake` runs."""
        return [pick(self.recipes, name).id for name in self.config.recipes]


def label_stages(recipe_plan: RecipePlan, found: dict[str, str]) -> None:
    """Add {digest: "recipe/arm seed 0 round 1: name"} of a recipe's stages to `found`, where they have no name yet."""
    name = recipe_plan.recipe.id
    for n in recipe_plan.named:
        at = f" round {n.round}" if n.round else ""
        found.setdefault(n.stage.digest, f"{name}/{n.arm} seed {n.seed}{at}: {n.name}")
    found.setdefault(recipe_plan.summary.digest, f"{name}: summary")


def load(root: Path, overrides: dict | None = None, *, bench: bool = True) -> Plan:
    """Return the plan of the project at `root`; UserError for anything wrong in params.yaml.

    bench: wire the section `bench` too, where it names a model; that needs its model and its data here.
    """
    recipes = load_all(root / "workflow" / "recipes")
    laid_over = configuration.merge(configuration.environment_overrides(), configuration.spread(overrides or {}))
    loaded = configuration.load(root / "params.yaml", {r.id: r.params for r in recipes.values()}, laid_over)
    if bench and loaded.bench.wanted:
        from elenchus.benchmarks import target

        recipes = {**recipes, target.ID: target.recipe(loaded, root)}
    plan = Plan(root, loaded, recipes)
    plan.chosen()
    return plan


def with_last_bench(root: Path) -> Plan:
    """Return `load`'s plan, with the section `bench` of the last `snakemake bench` where params.yaml has none."""
    plan = load(root)
    last = root / LAST_BENCH
    if plan.config.bench.wanted or not last.is_file():
        return plan
    try:
        return load(root, {"bench": json.loads(last.read_text())})
    except (UserError, ValueError):  # its model or its data are gone: what it measured cannot be named any more
        return plan


def plan_recipe(config: Base, recipe: Recipe) -> RecipePlan:
    """Return `recipe` wired for every seed of `config`."""
    labs = []
    params = getattr(config, recipe.id)
    for seed in config.seeds:
        lab = Lab(params.shared(config), recipe, seed)
        recipe.wire(lab, params)
        labs.append(lab)
    measured = [m for lab in labs for m in lab.measured]
    if not measured:
        raise UserError(f"recipe {recipe.id!r} measures nothing: call lab.measure on an evaluation")
    labels = [{"arm": m.arm, "round": m.round, "seed": m.seed, "subject": m.subject} for m in measured]
    params = {"labels": labels, "comparisons": labs[0].comparisons}
    summary = make("summary", params, seed=None, where=f"recipe {recipe.id}", evaluations=[m.stage for m in measured])
    named = [n for lab in labs for n in lab.named]
    published = [p for lab in labs for p in lab.published]
    return RecipePlan(recipe, tuple(named), tuple(measured), tuple(published), summary, tuple(labs[0].claims))
