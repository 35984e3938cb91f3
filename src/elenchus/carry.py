"""Results carried over a change of code that changes no result, once stages made anew have shown it.

A stage's digest covers its code, so that a result is never stale. It also makes a refactoring cost what all results cost,
although it changes no byte. Here a result made by earlier code is taken for today's stage where
  1. both have the same identity (kind, parameters, seed, inputs' identities; not code), and the result was made from the
     very results that today's inputs are carried from;
  2. of each group of stages alike in kind, in what of their code changed and in every choice among their parameters, the
     quickest have been made anew with today's code, from the carried inputs, and gave the same bytes.
Where bytes differ, the group and all that needs it are left to be made anew. A carried result says so in its manifest.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from elenchus import forks
from elenchus.errors import CorruptResult, UserError
from elenchus.graph import RESULTS, Stage, canonical
from elenchus.job import check_file, read_manifest

Old = dict[str, tuple[Path, dict]]  # today's digest -> the earlier result's folder and manifest


@dataclass
class Group:
    """Stages that are carried together, parents first. changed: the definitions of their own code that are not as before."""

    kind: str
    changed: tuple[str, ...]
    choices: str
    stages: list[Stage] = field(default_factory=list)
    checked: list[Stage] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)  # "stage's digest: file", of what was made anew otherwise


def earlier(root: Path, preferred: Iterable[str]) -> dict[str, list[tuple[Path, dict]]]:
    """Return {identity: results on disk}, preferred digests first, then the newest."""
    first = set(preferred)
    found: dict[str, list[tuple[bool, float, Path, dict]]] = {}
    for path in (root / RESULTS).glob("[a-z]*/*/stage.json"):
        manifest = read_manifest(path.parent)
        if "identity" in manifest:
            new = (manifest["digest"] in first, path.stat().st_mtime, path.parent, manifest)
            found.setdefault(manifest["identity"], []).append(new)
    return {k: [(p, m) for *_, p, m in sorted(v, key=lambda e: e[:2], reverse=True)] for k, v in found.items()}


def matched(root: Path, wanted: Iterable[Stage], known: dict[str, list[tuple[Path, dict]]]) -> Old:
    """Return the earlier result of each of `wanted` (parents first) that is not done and has one made from the same."""
    old: Old = {}
    came_from: dict[str, str] = {}  # today's digest -> the digest under which its bytes were made
    for s in wanted:
        if (root / s.manifest).exists():
            came_from[s.digest] = s.digest
            continue
        for folder, manifest in known.get(s.identity, ()):
            if input_digests(manifest["inputs"]) == renamed(s, came_from):
                old[s.digest], came_from[s.digest] = (folder, manifest), manifest["digest"]
                break
    return old


def input_digests(inputs: dict) -> dict[str, list[str]]:
    """Return {input: digests} of a manifest's inputs, which are folders."""
    return {k: [Path(p).name for p in ([v] if isinstance(v, str) else v)] for k, v in inputs.items()}


def renamed(stage: Stage, came_from: dict[str, str]) -> dict[str, list[str | None]]:
    """Return {input: digests under which the inputs' bytes were made}, None for those that have no bytes."""
    several = {k: given if isinstance(given, tuple) else (given,) for k, given in stage.inputs.items()}
    return {k: [came_from.get(p.digest) for p in given] for k, given in several.items()}


def grouped(wanted: Iterable[Stage], old: Old) -> list[Group]:
    """Return the groups of all stages that have an earlier result, in the order of their first stages."""
    groups: dict[tuple, Group] = {}
    for s in wanted:
        if s.digest in old:
            before, now = old[s.digest][1].get("definitions", {}), s.definitions()
            changed = tuple(sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k)))
            # Where only inputs bear other names, one stage of a kind shows that the names are in no byte.
            choices = canonical(choices_of(s.params)) if changed else ""
            group = groups.setdefault((s.kind, changed, choices), Group(s.kind, changed, choices))
            group.stages.append(s)
    return list(groups.values())


def choices_of(params: object) -> object:
    """Return parameters with every number that only says how much left out: what decides which code runs."""
    if isinstance(params, dict):
        return {k: choices_of(v) for k, v in params.items()}
    if isinstance(params, (list, tuple)):
        return [choices_of(v) for v in params]
    if isinstance(params, bool) or params is None or isinstance(params, str):
        return str(params)
    return "0" if params == 0 else "more"


def check(
    root: Path, groups: list[Group], old: Old, aside: Path, checks: int, cores: int, say: Callable, machine: Callable
) -> None:
    """Make the quickest `checks` of each group anew below `aside`, and note which were and what differs.

    A stage that fails, or that needs one that failed, differs: today's code does not make what earlier code made.
    """
    place, chosen = aside / "check", []
    shutil.rmtree(place, ignore_errors=True)
    for group in groups:
        group.checked = sorted(group.stages, key=lambda s: (seconds(old[s.digest][0]), s.digest))[:checks]
        chosen += group.checked
    names = {s.digest for s in chosen}
    for parent in (p for s in chosen for p in s.parents):
        link = place / parent.folder
        if parent.digest not in names and not link.is_symlink():  # one that is checked itself is made anew, and used so
            link.parent.mkdir(parents=True, exist_ok=True)
            given = aside / parent.folder
            link.symlink_to((given if given.exists() else root / parent.folder).resolve(), target_is_directory=True)
    place.mkdir(parents=True, exist_ok=True)
    here = Path.cwd()
    forks.preload()
    try:
        forks.run(place, chosen, cores, lambda digest: digest, say, machine)
    except UserError as e:
        say(str(e).partition(";")[0])
    finally:
        os.chdir(here)
    for group in groups:
        for s in group.checked:
            if not (place / s.manifest).exists():
                group.differs.append(f"{s.digest}: not made")
                continue
            before, now = old[s.digest][1]["files"], read_manifest(place / s.folder)["files"]
            group.differs += [
                f"{s.digest}: {k}" for k in sorted(before.keys() | now.keys()) if before.get(k) != now.get(k)
            ]


def seconds(folder: Path) -> float:
    """Return the processor time that a result took."""
    return json.loads((folder / "cost.json").read_text()).get("cpu_seconds", 0.0)


def lay_out(stages: Iterable[Stage], old: Old, aside: Path) -> None:
    """Write the carried results below `aside`: the earlier files under today's names, with today's manifests."""
    for s in stages:
        folder, manifest = old[s.digest]
        for name, entry in manifest["files"].items():
            check_file(folder / name, entry)
        goal = aside / s.folder
        shutil.rmtree(goal, ignore_errors=True)
        shutil.copytree(folder, goal, copy_function=link_or_copy, ignore=shutil.ignore_patterns("stage.json"))
        hops = [*manifest.get("carried", []), {"digest": manifest["digest"], "code": manifest["code"]}]
        new = {"version": manifest["version"], **s.spec(), "definitions": s.definitions(), "files": manifest["files"]}
        write_manifest(goal, {**new, "carried": hops})


def write_manifest(folder: Path, manifest: dict) -> None:
    """Write a result's stage.json as a stage does."""
    (folder / "stage.json").write_text(json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def link_or_copy(source: str, goal: str) -> None:
    """Give a file a second name, or copy it where the file system has none."""
    try:
        os.link(source, goal)
    except OSError:
        shutil.copy2(source, goal)


def kept(groups: list[Group]) -> Iterator[tuple[Stage, Group]]:
    """Yield the stages that may be carried, parents first within a group: of equal groups, and of carried inputs only."""
    group_of = {s.digest: g for g in groups for s in g.stages}
    lost: set[str] = set()

    def is_lost(s: Stage) -> bool:
        return bool(group_of[s.digest].differs) or any(p.digest in lost for p in s.parents)

    before = -1
    while before != len(lost):  # groups interleave along the graph: until nothing more is lost
        before = len(lost)
        lost |= {s.digest for g in groups for s in g.stages if is_lost(s)}
    yield from ((s, g) for g in groups for s in g.stages if s.digest not in lost)


def carry(
    root: Path,
    wanted: list[Stage],
    preferred: Iterable[str],
    checks: int,
    cores: int,
    say: Callable = print,
    machine: Callable[[Stage], dict] = lambda stage: {},
) -> tuple[list[Group], set[str]]:
    """Carry the results of `wanted` (parents first, closed under parents); return the groups and the carried digests.

    preferred: digests of earlier results to take where there are several of one identity. machine: what the job of a
    stage is told beside its parameters (`Config.machine`). Raises CorruptResult.
    """
    old = matched(root, wanted, earlier(root, preferred))
    groups = grouped(wanted, old)
    aside = root / RESULTS / ".work" / "carry"
    try:
        lay_out((s for s in wanted if s.digest in old), old, aside)
        check(root, groups, old, aside, checks, cores, say, machine)
        carried = dict(kept(groups))
        for s in wanted:  # parents first: whenever this stops, what is there is complete
            if s in carried:
                put(root, s, carried[s], aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return groups, {s.digest for s in carried}


def put(root: Path, stage: Stage, group: Group, aside: Path) -> None:
    """Move a carried result in place, which names the stages that were made anew for it."""
    manifest = read_manifest(aside / stage.folder)
    manifest["carried"][-1]["checked"] = [s.digest for s in group.checked]
    write_manifest(aside / stage.folder, manifest)
    goal = root / stage.folder
    if goal.exists() and not (goal / "stage.json").exists():
        raise CorruptResult(f"{goal}: half-written; remove it and run again:\n  rm -r {goal}")
    goal.parent.mkdir(parents=True, exist_ok=True)
    os.replace(aside / stage.folder, goal)


def summary(root: Path, stages: Iterable[Stage]) -> dict[str, int]:
    """Return how many of `stages` were carried, and how many were made anew for that with equal bytes; {} where none."""
    found = [read_manifest(root / s.folder).get("carried", []) for s in stages]
    checked = {d for hops in found for hop in hops for d in hop["checked"]}
    return {"stages": sum(map(bool, found)), "checked": len(checked)} if any(found) else {}
