"""What recipes and `bench` read from the hub, fetched before a run: models and data sets, each by its pinned revision.

`elenchus fetch` and `elenchus data get` are all that ever asks the network for models or data; jobs are offline. What a
recipe needs is what its stages name; `bench` names it in its section, since its stages hold the digest of data that must
be here first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from elenchus import benchmarks, hub
from elenchus.benchmarks import available, store, subjects, target
from elenchus.benchmarks.card import Card
from elenchus.errors import UserError
from elenchus.plan import Plan
from elenchus.stages import pretrained


@dataclass(frozen=True)
class Needs:
    """What is read from the hub. models: (hub id, revision). sets: published data sets, "set" or "set/split"."""

    models: tuple[tuple[str, str], ...] = ()
    sets: tuple[str, ...] = ()


def needed(whole: Plan, names: Iterable[str]) -> Needs:
    """Return what recipes need; folders of this machine and the user's own files are left out.

    whole: a plan made without bench's recipe (`plan.load(..., bench=False)`), which cannot be wired before its data is here.
    """
    models: set[tuple[str, str]] = set()
    sets: set[str] = set()
    for name in names:
        if name == target.ID:
            bench = whole.config.bench
            if not (bench.model or bench.benchmarks):
                raise UserError(
                    "the section bench of params.yaml names nothing. For `snakemake bench --config model=... 'benchmarks=[...]'`:\n"
                    "  elenchus fetch --model <hub id>\n  elenchus data get <set>"
                )
            models.update(filter(None, (subjects.hub_model(path, whole.root) for path in bench.model)))
            sets.update(available.published(bench))
            continue
        stages = whole.recipe(name).stages
        models.update((s.params["name"], s.params["revision"]) for s in stages if s.kind == "pretrained")
        parts = ((s.params["family"], p["split"]) for s in stages if s.kind == "benchmark" for p in s.params["parts"])
        sets.update(f"{family}/{split}" for family, split in parts if family in benchmarks.names())
    hub_ids = (m for m in models if not pretrained.is_folder(m[0]))
    return Needs(tuple(sorted(hub_ids)), tuple(sorted(sets)))


def model(name: str, revision: str, say: Callable[[str], None]) -> str:
    """Bring one model's snapshot into the local cache; return its commit. A commit that is here whole costs no request."""
    repository = pretrained.repository(name)
    found = hub.here(repository, revision) if hub.pinned(revision) else None
    if found:
        say(f"{name} at {found.name}: here")
        return found.name
    commit = hub.fetch(repository, revision).name
    say(f"{name} at {commit}: fetched, every checksum as the hub names it")
    return commit


def data_set(
    name: str, root: Path, say: Callable[[str], None], *, revision: str = "", split: str | None = None
) -> None:
    """Bring one data set into the local cache and write its tables below `root`; those that are there already are kept.

    revision: a commit of 40 hexadecimal digits, "" for the one that the set's card names. UserError where there is none, or
    the set is not on the hub.
    """
    module = benchmarks.load(name)
    repository, at = repository_of(name, module.CARD), revision or module.CARD.revision
    if not at:
        now = hub.commit(repository, "main")
        raise UserError(
            f"{name}: nobody has said which commit of {repository.name} is the right one. Its `main` is {now} now; look at "
            f"{repository.page}, then\n  {repository.command(now)}"
        )
    if not hub.pinned(at):
        raise UserError(
            f"{name}: revision {at!r} is not pinned; allowed: a commit of 40 hexadecimal digits, as\n"
            f"  git ls-remote {repository.page} HEAD\nprints it"
        )
    folder = hub.here(repository, at) or hub.fetch(repository, at)
    store.get(name, module, folder, root, split, say)


def repository_of(name: str, card: Card) -> hub.Repository:
    """Return a data set's repository on the hub; UserError where it is not there under its own name."""
    if not card.hub:
        raise UserError(
            f"{name}: not on the hub under its own name; its files are at {card.source}. With them in a folder:\n"
            f"  elenchus data get {name} --from <folder>"
        )
    wanted = tuple(pattern for patterns in card.splits.values() for pattern in patterns)
    return hub.Repository("dataset", card.hub, f"elenchus data get {name}", wanted)


def everything(needs: Needs, root: Path, say: Callable[[str], None]) -> dict[tuple[str, str], str]:
    """Fetch all that is needed; return {(model, revision): commit}. What cannot be had stops nothing else: one UserError at the end."""
    commits, refused = {}, []
    for name, revision in needs.models:
        try:
            commits[name, revision] = model(name, revision, say)
        except UserError as e:
            refused.append(str(e))
    for asked in needs.sets:
        try:
            if available.is_here(root, asked):
                say(f"{asked}: here")
            else:
                data_set(asked.partition("/")[0], root, say)  # all its splits: worked examples come from others
        except UserError as e:
            refused.append(str(e))
    if refused:
        raise UserError("\n".join(refused))
    return commits
