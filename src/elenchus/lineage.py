"""From a number back to what made it, and from two numbers to where their making first differs.

A node is a stage as a manifest (stage.json) or a plan describes it, so that results of another checkout can be compared too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from elenchus import findings, stages
from elenchus.errors import CorruptResult, UserError, did_you_mean
from elenchus.graph import RESULTS, Stage, walk
from elenchus.job import check_file, read_manifest
from elenchus.plan import Plan, RecipePlan

ALWAYS = ("family", "split", "source", "which")  # said even where they are the default


def upstream(stage: Stage) -> list[Stage]:
    """Return `stage` and all that it needs, parents first."""
    return list(walk([stage]))


def brief(stage: Stage, most: int = 8) -> str:
    """Return the parameters that tell a stage from its kind's defaults, "a=1, b=x", at most `most`."""
    return tell(stage.kind, stage.params, most)


def tell(kind: str, params: dict, most: int = 8) -> str:
    """Return `brief` of a kind's parameters."""
    usual, said = defaults(kind), []
    for key, value in params.items():
        if key in ALWAYS or key not in usual or value != usual[key]:
            text = str(value)
            said.append(f"{key}={text if len(text) <= 60 else text[:59] + '…'}")
    return ", ".join(said[:most] + ([f"and {len(said) - most} more"] if len(said) > most else []))


@cache
def defaults(kind: str) -> dict:
    """Return a kind's default parameters as plain data; those that have none are left out."""
    from pydantic import ValidationError

    model = stages.load(kind).Params
    try:
        return model().model_dump(mode="json")
    except ValidationError:
        return {}


# -- nodes -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Node:
    """A stage with its inputs; files is None where it is not made yet. definitions: digest of each piece of its code."""

    kind: str
    digest: str
    params: dict
    seed: int | None
    code: str
    inputs: dict[str, tuple[Node, ...]]
    files: dict[str, dict] | None
    definitions: dict[str, str] | None
    folder: Path


def from_folder(folder: Path, known: dict[Path, Node] | None = None) -> Node:
    """Return the node of a result folder, its inputs found beside it; CorruptResult where a manifest is missing."""
    known = {} if known is None else known
    folder = folder.resolve()
    if folder not in known:
        m = read_manifest(folder)
        results = folder.parents[1]

        def node(path: str) -> Node:
            return from_folder(results / Path(path).relative_to(Path(path).parts[0]), known)

        inputs = {
            name: tuple(node(p) for p in ([given] if isinstance(given, str) else given))
            for name, given in m["inputs"].items()
        }
        known[folder] = Node(
            m["kind"], m["digest"], m["params"], m["seed"], m["code"], inputs, m["files"], m.get("definitions"), folder
        )
    return known[folder]


def from_stage(root: Path, stage: Stage, known: dict[str, Node] | None = None) -> Node:
    """Return the node of a planned stage, done or not."""
    known = {} if known is None else known
    if stage.digest not in known:
        inputs = {
            name: tuple(from_stage(root, s, known) for s in (given if isinstance(given, tuple) else (given,)))
            for name, given in stage.inputs.items()
        }
        manifest = read_manifest(root / stage.folder) if findings.done(root, stage) else {}
        known[stage.digest] = Node(
            stage.kind,
            stage.digest,
            stage.params,
            stage.seed,
            stage.code,
            inputs,
            manifest.get("files"),
            stage.definitions(),
            root / stage.folder,
        )
    return known[stage.digest]


# -- comparing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """One stage of two lineages and what is different in it, its inputs' own differences left out."""

    a: Node
    b: Node
    what: list[tuple[str, str]]  # (parameters, code, seed, inputs, kind or bytes; in words)


def differences(a: Node, b: Node) -> list[Difference]:
    """Return the stages in which two lineages differ of themselves, in topological order: the first is the cause."""
    found: list[Difference] = []
    seen: set[tuple[int, int]] = set()

    def visit(a: Node, b: Node) -> None:
        if (id(a), id(b)) in seen:
            return
        seen.add((id(a), id(b)))
        if a.kind == b.kind:
            for name in sorted(set(a.inputs) & set(b.inputs)):
                for left, right in zip(a.inputs[name], b.inputs[name], strict=False):
                    visit(left, right)
        what = own_differences(a, b)
        if what:
            found.append(Difference(a, b, what))

    visit(a, b)
    return found


def own_differences(a: Node, b: Node) -> list[tuple[str, str]]:
    """Return what is different between two stages themselves."""
    if a.kind != b.kind:
        return [("kind", f"{a.kind} -> {b.kind}")]
    what = [("parameters", f"{key}: {x!r} -> {y!r}") for key, x, y in changed(a.params, b.params)]
    if a.seed != b.seed:
        what.append(("seed", f"{a.seed} -> {b.seed}"))
    if a.code != b.code:
        what += [("code", text) for text in changed_code(a, b)]
    for name in sorted(set(a.inputs) | set(b.inputs)):
        left, right = a.inputs.get(name, ()), b.inputs.get(name, ())
        if len(left) != len(right):
            what.append(("inputs", f"{name}: {len(left)} -> {len(right)} ({kinds(left)} -> {kinds(right)})"))
    if not what and a.files is not None and b.files is not None and a.digest == b.digest:
        for name in sorted(set(a.files) | set(b.files)):
            left, right = a.files.get(name, {}).get("sha256", "absent"), b.files.get(name, {}).get("sha256", "absent")
            if left != right:
                what.append(
                    ("bytes", f"{name}: {left[:12]} -> {right[:12]}, although all that it was made from is equal")
                )
    return what


def kinds(nodes: tuple[Node, ...]) -> str:
    """Return the kinds of some stages, in words."""
    return ", ".join(n.kind for n in nodes) or "none"


def changed(a: dict, b: dict, prefix: str = "") -> Iterator[tuple[str, object, object]]:
    """Yield (key, value in a, value in b) where two mappings differ, nested keys joined by dots."""
    for key in [*a, *(k for k in b if k not in a)]:
        x, y = a.get(key, "(absent)"), b.get(key, "(absent)")
        if isinstance(x, dict) and isinstance(y, dict):
            yield from changed(x, y, f"{prefix}{key}.")
        elif x != y:
            yield f"{prefix}{key}", x, y


def changed_code(a: Node, b: Node) -> list[str]:
    """Return the definitions in which two stages' code differs."""
    if a.definitions is None or b.definitions is None:
        return [f"{a.code} -> {b.code} (which definitions: not recorded)"]
    words = []
    for name in sorted(set(a.definitions) | set(b.definitions)):
        if a.definitions.get(name) != b.definitions.get(name):
            how = "added" if name not in a.definitions else "removed" if name not in b.definitions else "changed"
            words.append(f"{name} {how}")
    return words or [f"{a.code} -> {b.code}"]


# -- naming a run ------------------------------------------------------------------------------------------------------


def resolve(plan: Plan, text: str) -> list[tuple[str, Node]]:
    """Return [(what, node)] that `text` names.

    text: recipe/arm/seedK[/roundR][/subject] (its evaluations), a path to a result folder (of any checkout) or a link to
    one, or a stage digest (a prefix of at least six digits). UserError where it names nothing.
    """
    path = Path(text)
    for folder in (path, plan.root / path):
        if (folder / "stage.json").is_file():
            return [(folder.resolve().parent.name, from_folder(folder))]
    if re.fullmatch(r"[0-9a-f]{6,16}", text):
        return [digest(plan, text)]
    parts = text.strip("/").split("/")
    if parts[:2] == ["results", "by-recipe"]:
        parts = parts[2:]
    if len(parts) < 3 or not re.fullmatch(r"seed\d+", parts[2]):
        raise UserError(
            f"{text!r} names no run: give recipe/arm/seedK[/roundR][/subject], for example elenchus/b_star/seed0/round1; "
            "or a result folder (results/<kind>/<digest>, of another checkout too), or a stage's digest"
        )
    recipe = plan.recipe(parts[0])
    arm = known(parts[1], findings.arms(recipe), f"recipe {recipe.recipe.id!r} has no measured arm")
    seed = int(parts[2][4:])
    rest = parts[3:]
    at = int(rest.pop(0)[5:]) if rest and re.fullmatch(r"round\d+", rest[0]) else None
    found = evaluations(recipe, arm, seed=seed, round=at, subject=rest[0] if rest else None)
    if at is None:  # the last measured round of each subject
        last = {m.subject: m.round for m in sorted(found, key=lambda m: m.round)}
        found = [m for m in found if m.round == last[m.subject]]
    nodes: dict[str, Node] = {}
    return [
        (f"{m.subject}, {m.stage.params.get('which', m.stage.kind)}", from_stage(plan.root, m.stage, nodes))
        for m in found
    ]


def digest(plan: Plan, text: str) -> tuple[str, Node]:
    """Return (kind, node) of the stage whose digest starts with `text`, planned or on disk."""
    planned = [s for d, s in plan.by_digest.items() if d.startswith(text)]
    if len(planned) == 1:
        return planned[0].kind, from_stage(plan.root, planned[0])
    folders = [
        p.parent for p in (plan.root / RESULTS).glob(f"*/{text}*/stage.json") if p.parent.parent.name != "by-recipe"
    ]
    if len(folders) == 1:
        return folders[0].parent.name, from_folder(folders[0])
    if not planned and not folders:
        raise UserError(f"no stage has a digest that starts with {text!r}: see `elenchus plan <recipe>`")
    several = sorted({s.digest for s in planned} | {f.name for f in folders})
    raise UserError(f"{text!r} is short of one stage: {', '.join(several)}")


def known(name: str, names: list[str], what: str) -> str:
    """Return `name` (dashes and underscores alike) where it is one of `names`; UserError with the nearest otherwise."""
    for n in names:
        if n.replace("-", "_") == name.replace("-", "_"):
            return n
    raise UserError(f"{what} {name!r}{did_you_mean(name, names)}; there is: {', '.join(names)}")


def evaluations(recipe: RecipePlan, arm: str, *, seed: int | None, round: int | None, subject: str | None) -> list:
    """Return the measurements (lab.Measured) of an arm that match; UserError naming what there is where none does."""
    found = [m for m in recipe.measured if m.arm == arm]
    if subject is not None:
        subject = known(subject, sorted({m.subject for m in found}), f"arm {arm!r} has no subject")
        found = [m for m in found if m.subject == subject]
    for what, wanted in (("seed", seed), ("round", round)):
        if wanted is not None:
            there = sorted({getattr(m, what) for m in found})
            found = [m for m in found if getattr(m, what) == wanted]
            if not found:
                raise UserError(
                    f"arm {arm!r} was not measured at {what} {wanted}; there is: {', '.join(map(str, there))}"
                )
    return found


# -- checking ----------------------------------------------------------------------------------------------------------


def check(results: Path) -> tuple[int, list[tuple[Path, str]]]:
    """Return (how many results were read, [(folder, what is wrong)]): every file's bytes against its manifest."""
    damaged = []
    folders = sorted(p.parent for p in results.glob("[!._]*/*/stage.json") if not p.parent.is_symlink())
    for folder in folders:
        try:
            manifest = read_manifest(folder)
            if manifest.get("digest") != folder.name:
                raise CorruptResult(f"{folder}: stage.json is that of {manifest.get('digest')}")
            for name, entry in manifest["files"].items():
                check_file(folder / name, entry)
        except CorruptResult as e:
            damaged.append((folder, str(e).splitlines()[0].partition(": ")[2]))
    return len(folders), damaged
