"""Which benchmarks there are, and which of their tables `elenchus data get` has brought."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from elenchus import benchmarks, problems
from elenchus.benchmarks import mapped, roles, store
from elenchus.benchmarks.settings import Bench
from elenchus.errors import UserError, did_you_mean


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


def published(p: Bench) -> tuple[str, ...]:
    """Return those of the benchmarks asked for ("set" or "set/split") that are published sets: no families, no own files."""
    return tuple(b for b in p.benchmarks if b.partition("/")[0] in benchmarks.names())


def is_here(root: Path, asked: str) -> bool:
    """Return whether the tables of "set" or "set/split" are there, one version of each."""
    name, _, split = asked.partition("/")
    try:
        return bool(versions(root, name, split))
    except UserError:
        return False


def get_command(name: str) -> str:
    """Return the command that brings a set's tables: from its pinned commit on the hub, or from a folder."""
    on_hub = name in benchmarks.names() and benchmarks.load(name).CARD.revision
    return f"elenchus data get {name}" if on_hub else f"elenchus data get {name} --from <folder>"


def versions(root: Path, name: str, split: str) -> list[dict]:
    """Return the splits to take and their versions, of what `elenchus data get` has written; UserError where there is nothing."""
    there = {p.name: p for p in sorted((root / store.FOLDER / name).glob("[!.]*")) if any(p.glob("*/manifest.json"))}
    if not there:
        source = benchmarks.load(name).CARD.source if name in benchmarks.names() else "your file"
        raise UserError(
            f"bench.benchmarks: {name} is not here yet. Its files are at {source}; get it with\n  {get_command(name)}"
        )
    default = roles.of(name).splits
    wanted = [split] if split else [s for s in default if s in there][:1] if default else list(there)
    for s in wanted or default:
        if s not in there:
            raise UserError(
                f"bench.benchmarks: {name} has no split {s!r} here{did_you_mean(s, there)}; there: {', '.join(there)}. Get it with\n"
                f"  {get_command(name)} --split {s}"
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
            raise UserError(
                f"{folder}: written by an older version of the loader of {name}; get it again with\n  {get_command(name)}"
            )
    if len(found) > 1:
        raise UserError(
            f"{folder}: {len(found)} versions ({', '.join(p.name for p in found)}); remove all but the one to measure on"
        )
    return found[0].name
