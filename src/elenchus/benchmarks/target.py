"""`snakemake bench`: any model on any benchmark, as a recipe made from the section `bench` and not from a paper.

An arm is a model (or a file of replies), so that models are compared item by item. A test-time method never stands alone:
beside a corrector stands the majority vote over as many tokens as it spent.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from elenchus import benchmarks, problems
from elenchus.benchmarks import asking, imports, mapped, records, roles, store
from elenchus.benchmarks.settings import Bench
from elenchus.errors import UserError, did_you_mean
from elenchus.recipes import Recipe

if TYPE_CHECKING:
    from elenchus.config import Base
    from elenchus.graph import Stage
    from elenchus.lab import Lab

ID = "bench"
WHOLE = 64 << 20  # bytes of a file that is digested whole; of a larger one its ends and pieces between
PIECES, PIECE = 64, 64 << 10


@dataclass(frozen=True)
class Subject:
    """A model under evaluation: the arm's name, and what the stage `pretrained` takes; or replies from files, by role."""

    arm: str
    pretrained: dict | None = None
    generations: tuple[tuple[str, str, str], ...] = ()  # (benchmark, role, file)


def recipe(config: Base, root: Path) -> Recipe:
    """Return the recipe of the section `bench`; UserError where it cannot be run as it says."""
    p = config.bench
    if not p.benchmarks:
        raise UserError(
            f"bench.benchmarks: none is named, for example\n  snakemake bench --config model=... 'benchmarks=[gsm8k]'\nknown: {known(root)}"
        )
    read_files(p, root)
    subjects = [*(model(path, root) for path in p.model), *replies(p, root)]
    twice = {s.arm for a, b in pairwise(sorted(subjects, key=lambda s: s.arm)) for s in (a,) if a.arm == b.arm}
    if twice:
        raise UserError(
            f"bench.model: two models would be called {min(twice)!r}; name each once, or copy one to another folder's name"
        )
    arms = tuple(s.arm for s in subjects)
    wire = partial(_wire, subjects=subjects, root=root)
    wire.__doc__ = (
        f"{', '.join(arms)} on {', '.join(p.benchmarks)}: answers, critiques and corrections, graded as published."
    )
    return Recipe(ID, f"Benchmarks: {', '.join(arms)}", "", arms, wire, Bench)


def _wire(lab: Lab, p: Bench, subjects: list[Subject], root: Path) -> None:
    """Describe every subject's stages, and compare each with the next."""
    for subject in subjects:
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
        check_name(name, root)
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
        parts = versions(self.root, self.name, split)
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
        params = {"role": role, "mode": mode, "prompt": file, "shots": shots(p.shots_file, role), **sampling}
        params |= {k: v for k, v in given.items() if k not in inputs and v is not None}
        if role == "solver" and p.shots:
            params["draw"] = p.shots
            inputs |= self.items.examples()
        if mode == "head":
            inputs["head"] = self.lab.stage("taken_head", "head", head(p.head, self.items.root))
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


# -- what is named -----------------------------------------------------------------------------------------------------


def known(root: Path) -> str:
    """Return the names of all benchmarks, in a sentence's form."""
    return ", ".join(dict.fromkeys([*everything(root)]))


def everything(root: Path) -> Iterator[str]:
    """Yield the names of problem families, published sets and files of the user's that were got."""
    yield from (name for name in problems.names() if not hasattr(problems.load(name), "environment"))
    yield from benchmarks.names()
    yield from sorted(p.name for p in (root / store.FOLDER).glob("[!.]*") if p.is_dir())


def check_name(name: str, root: Path) -> None:
    """Raise UserError where there is no benchmark `name`, or it cannot be asked."""
    if name in problems.names() and hasattr(problems.load(name), "environment"):
        raise UserError(
            f"bench.benchmarks: {name} is acted out, turn by turn; recipes do that (agent_r), bench does not"
        )
    if name not in everything(root):
        raise UserError(
            f"bench.benchmarks: unknown benchmark {name!r}{did_you_mean(name, everything(root))}; known: {known(root)}"
        )


def read_files(p: Bench, root: Path) -> None:
    """Write the tables of the user's files that are asked for; those that are there already are kept."""
    asked = {b.partition("/")[0] for b in p.benchmarks}
    for name, own in p.files.items():
        if name in benchmarks.names() or name in problems.names():
            raise UserError(f"bench.files: {name} is a set or family of its own; call your file otherwise")
        if name in asked:
            path = root / own.path
            fields = mapped.mapping(tuple(f"{role}={field}" for role, field in own.fields.items()))
            store.get(name, mapped.source(name, path, fields), path.parent, root, None, lambda line: None)


def versions(root: Path, name: str, split: str) -> list[dict]:
    """Return the splits to take and their versions, of what `elenchus data get` has written; UserError where there is nothing."""
    there = {p.name: p for p in sorted((root / store.FOLDER / name).glob("[!.]*")) if any(p.glob("*/manifest.json"))}
    if not there:
        source = benchmarks.load(name).CARD.source if name in benchmarks.names() else "your file"
        raise UserError(
            f"bench.benchmarks: {name} is not here yet. Its files are at {source}; with them in a folder:\n"
            f"  elenchus data get {name} --from <folder>"
        )
    default = roles.of(name).splits
    wanted = [split] if split else [s for s in default if s in there][:1] if default else list(there)
    for s in wanted or default:
        if s not in there:
            raise UserError(
                f"bench.benchmarks: {name} has no split {s!r} here{did_you_mean(s, there)}; there: {', '.join(there)}. Get it with\n"
                f"  elenchus data get {name} --from <folder> --split {s}"
            )
    return [{"split": s, "version": version(name, there[s])} for s in wanted]


def version(name: str, folder: Path) -> str:
    """Return the one version of a split that the code of today would write; UserError where there is none, or several."""
    found = sorted(p.parent for p in folder.glob("*/manifest.json"))
    if name in benchmarks.names():
        how = store.sha256(Path(benchmarks.load(name).__file__))
        found = [
            p for p in found if store.digest(how, json.loads((p / "manifest.json").read_text())["sources"]) == p.name
        ]
        if not found:
            get = f"elenchus data get {name} --from <folder>"
            raise UserError(
                f"{folder}: written by an older version of the loader of {name}; get it again with\n  {get}"
            )
    if len(found) > 1:
        raise UserError(
            f"{folder}: {len(found)} versions ({', '.join(p.name for p in found)}); remove all but the one to measure on"
        )
    return found[0].name


def model(path: str, root: Path) -> Subject:
    """Return the subject of a model: a folder, a result that holds one, or a hub id in the local cache."""
    folder = Path(path).expanduser()
    folder = folder if folder.is_absolute() else root / folder
    if not folder.is_dir():
        if path.startswith((".", "~", "/", "results/")):
            raise UserError(f"bench.model: no folder {path}")
        from elenchus.stages.pretrained import locate

        try:
            _, commit = locate(path, "main")
        except UserError as e:
            raise UserError(str(e).replace("base_model.name", "bench.model")) from None
        return Subject(path.rpartition("/")[2], {"name": path, "revision": commit or "main"})
    real = folder.resolve()
    inner = "model" if (folder / "model" / "config.json").is_file() else ""
    holds = folder / inner
    there = {f.name for f in holds.iterdir()}
    wanted = {
        "config.json": "config.json" in there,
        "weights as .safetensors": any(name.endswith(".safetensors") for name in there),
        "a tokenizer (tokenizer.json)": bool(there & {"tokenizer.json", "tokenizer_config.json", "tokenizer.model"}),
    }
    if lacking := [what for what, ok in wanted.items() if not ok]:
        holding = ", ".join(sorted(there)[:12]) or "nothing"
        raise UserError(f"bench.model: {path} lacks {' and '.join(lacking)}; it holds {holding}")
    name = f"{real.parent.name}-{real.name[:6]}" if re.fullmatch(r"[0-9a-f]{16}", real.name) else real.name
    name = f"{real.parent.name}-{name}" if name == "model" else name
    where = str(Path(path) / inner) if inner else path
    return Subject(re.sub(r"[^\w.\-]", "-", name), {"name": where, "revision": content(holds)})


def head(path: str, root: Path) -> dict:
    """Return the parameters of the stage that takes a process head; UserError where the folder has none."""
    if not path:
        raise UserError("bench.critic: 'head' needs bench.head, a result or folder that holds a process head")
    folder = root / Path(path).expanduser()
    inner = "process_head" if (folder / "process_head").is_dir() else ""
    if not (folder / inner / "head.safetensors").is_file():
        raise UserError(
            f"bench.head: {path} holds no process head (head.safetensors beside a model's files); stages of kind process_head make one"
        )
    return {"name": str(Path(path) / inner), "revision": content(folder / inner)}


@cache
def content(folder: Path) -> str:
    """Return a digest of a model folder's files: of large ones their length, both ends and pieces between."""
    found = hashlib.sha256()
    for file in sorted(f for f in folder.iterdir() if f.is_file()):
        size = file.stat().st_size
        found.update(f"{file.name} {size} ".encode())
        with file.open("rb") as f:
            if size <= WHOLE:
                found.update(hashlib.file_digest(f, "sha256").digest())
                continue
            for k in range(PIECES):
                f.seek((size - PIECE) * k // (PIECES - 1))
                found.update(f.read(PIECE))
    return found.hexdigest()[:16]


def shots(path: str, role: str) -> list[dict]:
    """Return the worked examples of a role in a JSONL file of prompt, reply and role; UserError for anything else in it."""
    if not path:
        return []
    if not Path(path).is_file():
        raise UserError(
            f"bench.shots_file: no file {path}; it is JSONL, a line an example: {json.dumps({'prompt': '...', 'reply': '...'})}"
        )
    found = []
    for record in records.read(Path(path)):
        whose = record.text("role") if record.has("role") else "solver"
        if whose not in roles.ROLES:
            raise record.no("role", repr(whose), ", ".join(roles.ROLES))
        if whose == role:
            found.append({"prompt": record.text("prompt"), "reply": record.text("reply")})
    return found


def replies(p: Bench, root: Path) -> list[Subject]:
    """Return the subject of replies from files, [] where none are given."""
    given = p.generations
    if not given:
        return []
    if isinstance(given, str):
        if len(p.benchmarks) != 1:
            raise UserError(
                "bench.generations: one file is of one benchmark; of several, name each:\n"
                "  'generations={gsm8k.solver: a.jsonl, processbench.critic: b.jsonl}'"
            )
        name = p.benchmarks[0].partition("/")[0]
        check_name(name, root)
        wanted = roles.chosen(name, p.roles)
        given = {f"{name}.{wanted[0]}": given}
        if len(p.roles) > 1:
            raise UserError(f"bench.roles: one file of replies is of one role, found {', '.join(p.roles)}")
    found = []
    for key, file in given.items():
        name, _, role = key.partition(".")
        if role not in roles.ROLES or name not in {b.partition("/")[0] for b in p.benchmarks}:
            raise UserError(
                f"bench.generations: {key!r}; allowed: <one of bench.benchmarks>.<{' | '.join(roles.ROLES)}>"
            )
        found.append((name, role, file))
    arm = Path(next(iter(given.values()))).stem if len(given) == 1 else "generations"
    return [Subject(re.sub(r"[^\w.\-]", "-", arm), None, tuple(found))]
