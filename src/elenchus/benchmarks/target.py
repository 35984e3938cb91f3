"""`snakemake bench`: any model on any benchmark, as a recipe made from the section `bench` and not from a paper.

An arm is a model (or a file of replies), so that models are compared item by item. A test-time method never stands alone:
beside a corrector stands the majority vote over as many tokens as it spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from elenchus.benchmarks import asking, available, imports, roles, subjects
from elenchus.benchmarks.settings import Bench
from elenchus.benchmarks.subjects import Subject
from elenchus.errors import UserError
from elenchus.recipes import Recipe

if TYPE_CHECKING:
    from elenchus.config import Base
    from elenchus.graph import Stage
    from elenchus.lab import Lab

ID = "bench"


def recipe(config: Base, root: Path) -> Recipe:
    """Return the recipe of the section `bench`; UserError where it cannot be run as it says."""
    p = config.bench
    if not p.benchmarks:
        raise UserError(
            "bench.benchmarks: none is named, for example\n  snakemake bench --config model=... 'benchmarks=[gsm8k]'\n"
            f"known: {available.known(root)}"
        )
    available.read_files(p, root)
    chosen = [*(subjects.model(path, root) for path in p.model), *subjects.replies(p, root)]
    twice = {a.arm for a, b in pairwise(sorted(chosen, key=lambda s: s.arm)) if a.arm == b.arm}
    if twice:
        raise UserError(
            f"bench.model: two models would be called {min(twice)!r}; name each once, or copy one to another folder's name"
        )
    arms = tuple(s.arm for s in chosen)
    wire = partial(_wire, chosen=chosen, root=root)
    wire.__doc__ = (
        f"{', '.join(arms)} on {', '.join(p.benchmarks)}: answers, critiques and corrections, graded as published."
    )
    return Recipe(ID, f"Benchmarks: {', '.join(arms)}", "", arms, wire, Bench)


def _wire(lab: Lab, p: Bench, chosen: list[Subject], root: Path) -> None:
    """Describe every subject's stages, and compare each with the next."""
    for subject in chosen:
        with lab.arm(subject.arm):
            evaluate(lab, p, subject, root)
    for a, b in pairwise(lab.recipe.arms):
        both = {m.subject for m in lab.measured if m.arm == a} & {m.subject for m in lab.measured if m.arm == b}
        for name in sorted(both):
            metric = main_metric(name)
            lab.compare(f"{name}: {b} against {a}", metric, better=lab.at(b, name), than=lab.at(a, name))


def main_metric(subject: str) -> str:
    """Return the metric by which models are compared in a role."""
    return "verdict_accuracy" if " critic" in subject else "accuracy"


# -- what is wired -----------------------------------------------------------------------------------------------------


def evaluate(lab: Lab, p: Bench, subject: Subject, root: Path) -> None:
    """Describe the stages of one model on every benchmark."""
    model = lab.stage("pretrained", "model", subject.pretrained) if subject.pretrained else None
    for asked in p.benchmarks:
        name, _, split = asked.partition("/")
        available.check_name(name, root)
        wanted = roles.chosen(name, p.roles)
        items = Items(lab, p, name, split, root)
        if model:
            Evaluation(lab, p, items, model, subject.arm).run(wanted)
        for benchmark, role, file in subject.generations:
            if benchmark == name:
                imported(lab, p, items, role, file)


class Items:
    """A benchmark's items as stages: `problems`, and `published` where the set has solutions with labels."""

    def __init__(self, lab: Lab, p: Bench, name: str, split: str, root: Path):
        self.lab, self.p, self.name, self.root = lab, p, name, root
        self.label = f"{name}/{split}" if split else name
        self.roles = roles.of(name)
        self.problems = self.stage(split)
        self.published = self.problems if self.roles.published else None

    def stage(self, split: str, items: int | None = None) -> Stage:
        """Return the stage that writes the items of a split ("": those that are measured on)."""
        if roles.is_family(self.name):
            base = self.lab.config.problems
            options = self.p.options.get(self.name, base.options if base.family == self.name else {})
            n = items if items is not None else self.p.items or base.test
            params = {"family": self.name, "options": options, "split": split or "test", "n": n, "seed": base.seed}
            return self.lab.stage("problems", f"{self.name}-items", params)
        parts = available.versions(self.root, self.name, split)
        params = {
            "family": self.name,
            "parts": parts,
            "items": self.p.items if items is None else items,
            "pick": self.p.pick,
        }
        return self.lab.stage("benchmark", f"{self.label}-items".replace("/", "-"), params)

    def examples(self) -> dict:
        """Return the inputs from which worked examples are drawn; UserError where the set has none."""
        if not self.roles.shots:
            raise UserError(
                f"bench.shots: {self.name} has no split to draw worked examples from; give them with bench.shots_file"
            )
        if roles.is_family(self.name):
            return {"examples": self.stage(self.roles.shots, max(64, self.p.shots))}
        train = self.stage(self.roles.shots, 0)
        return {"examples": train, "references": train}


@dataclass
class Evaluation:
    """One model on one benchmark."""

    lab: Lab
    p: Bench
    items: Items
    model: Stage
    arm: str

    def run(self, wanted: tuple[str, ...]) -> None:
        """Describe the stages of the roles that are wanted, and measure them."""
        own = None
        if "solver" in wanted or not self.items.published:
            own = self.ask("solver", n=self.p.samples)
        attempts = self.items.published
        if own:
            graded = self.grade("solver", own, measure="solver" in wanted)
            attempts = attempts or graded
        written = None
        if "critic" in wanted:
            written = self.critics(attempts)
        if "corrector" in wanted:
            self.correct(attempts, None if self.items.published else own, written)

    def ask(self, role: str, *, prompt: str = "", mode: str = "written", **given) -> Stage:
        """Return the replies of the model in a role; what is given are inputs (stages) and parameters."""
        name, p = self.items.name, self.p
        file = roles.prompt(name, prompt or role, p.prompts)
        asking.read(file["name"], file["text"])  # what is wrong with it is said before anything runs
        inputs = {k: v for k, v in given.items() if not isinstance(v, int | float) and v is not None}
        sampling = {
            "batch_size": self.lab.config.engine.batch_size,
            "temperature": p.temperature,
            "top_p": p.top_p,
            "max_tokens": p.max_tokens,
        }
        params = {"role": role, "mode": mode, "prompt": file, "shots": subjects.shots(p.shots_file, role), **sampling}
        params |= {k: v for k, v in given.items() if k not in inputs and v is not None}
        if role == "solver" and p.shots:
            params["draw"] = p.shots
            inputs |= self.items.examples()
        if mode == "head":
            inputs["head"] = self.lab.stage("taken_head", "head", subjects.head(p.head, self.items.root))
        else:
            inputs["model"] = self.model
            engine = self.lab.config.engine.of_stage()
            params |= {"engine": engine} if engine else {}
        return self.lab.stage(
            "ask",
            self.called(f"{role}-{mode}" if mode != "written" else role),
            params,
            problems=self.items.problems,
            **inputs,
        )

    def called(self, what: str) -> str:
        """Return the name under which a stage is found."""
        return f"{self.items.label}-{what}".replace("/", "-")

    def reader(self, role: str) -> str:
        """Return how a role's replies are read."""
        file = roles.prompt(self.items.name, role, self.p.prompts)
        return asking.read(file["name"], file["text"]).reader

    def grade(self, role: str, replies: Stage, *, measure: bool = True, subject: str = "", **given) -> Stage:
        """Return the graded answers of a solver, corrector or vote, measured."""
        params = {
            "benchmark": self.items.name,
            "role": role,
            "reader": self.reader("solver" if role == "vote" else role),
        }
        graded = self.lab.stage(
            "grade", self.called(f"{role}-graded"), params, problems=self.items.problems, replies=replies, **given
        )
        return self.lab.measure(graded, subject=f"{self.items.label} {subject or role}") if measure else graded

    def critics(self, attempts: Stage) -> Stage | None:
        """Measure the model as a critic in each way that is asked for; return what it wrote, None where it did not write."""
        written = None
        for mode in self.p.critic:
            scores = mode != "written"
            prompt = "verifier" if mode == "verdict" else ""
            n = 1 if scores else self.p.critiques
            said = self.ask("critic", prompt=prompt, mode=mode, attempts=attempts, n=n)
            reader = "scores" if scores else self.reader("critic")
            params = {"benchmark": self.items.name, "reader": reader}
            given = {"problems": self.items.problems, "attempts": attempts, "replies": said}
            verdicts = self.lab.stage("grade_critic", self.called(f"critic-{mode}-graded"), params, **given)
            how = {"written": "critic", "verdict": "critic by one word", "head": "critic by process head"}[mode]
            self.lab.measure(verdicts, subject=f"{self.items.label} {how}")
            written = written if scores else said
        return written

    def correct(self, attempts: Stage, own: Stage | None, written: Stage | None) -> None:
        """Measure the model as a corrector, beside the majority vote over as many tokens."""
        file = roles.prompt(self.items.name, "corrector", self.p.prompts)
        said = None
        if asking.read(file["name"], file["text"]).follows_critique:
            said = written or self.ask("critic", attempts=attempts, n=self.p.critiques)
        fixed = self.ask("corrector", attempts=attempts, critiques=said)
        self.grade("corrector", fixed, attempts=attempts)
        if self.p.vote_samples:
            pool = self.ask("solver", n=self.p.vote_samples, temperature=self.p.vote_temperature)
            spent = [s for s in (own, said, fixed) if s]
            beside = "majority vote at the corrector's tokens"
            self.grade("vote", pool, subject=beside, spent=spent)
            arm, label = self.arm, self.items.label
            self.lab.compare(
                f"{label}: correction against a {beside}" + (f" ({arm})" if len(self.lab.recipe.arms) > 1 else ""),
                "accuracy",
                better=self.lab.at(arm, f"{label} corrector"),
                than=self.lab.at(arm, f"{label} {beside}"),
            )


def imported(lab: Lab, p: Bench, items: Items, role: str, file: str) -> None:
    """Measure replies from a file, graded as a model's own."""
    roles.chosen(items.name, (role,))
    if role != "solver" and not items.published:
        raise UserError(
            f"bench.generations: a {role} of {items.name} judges the model's own solutions, which a file of replies does not have; "
            "import replies of a solver, or of a benchmark with published solutions (realcritic, processbench)"
        )
    shown = roles.prompt(items.name, role, p.prompts)
    reader = asking.read(shown["name"], shown["text"]).reader
    attempts = {"attempts": items.published} if role != "solver" else {}
    params = {**imports.facts(file), "role": role}
    name = f"{items.label}-{role}".replace("/", "-")
    said = lab.stage("imported", name, params, problems=items.problems, **attempts)
    given = {"problems": items.problems, "replies": said, **attempts}
    params = {"benchmark": items.name, "reader": reader}
    if role == "critic":
        graded = lab.stage("grade_critic", f"{name}-graded", params, **given)
    else:
        graded = lab.stage("grade", f"{name}-graded", {**params, "role": role}, **given)
    lab.measure(graded, subject=f"{items.label} {role}")
