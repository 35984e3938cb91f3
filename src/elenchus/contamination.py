"""What a recipe trains on, held against its own test problems and every published benchmark at hand.

Every table that a training stage reads is looked through, whoever wrote it: an item is found where a training text is the
same, or has the same n words in a row (`overlap.py`). For the workflow's own problems words are split at white space, since
signs tell them apart, and a row that bears a test problem's id counts as the same. Data that stages draw and do not keep
(the seed model's curriculum) is drawn from the train split alone and named as not looked through.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from elenchus import overlap, problems, stages
from elenchus.benchmarks import roles, store

if TYPE_CHECKING:
    from elenchus.graph import Stage
    from elenchus.plan import Plan, RecipePlan

COLUMNS = {  # table that training reads -> its columns of text, beside the messages of `prompt`
    "examples": ("completion",),
    "pairs": ("chosen", "rejected"),
    "step_pairs": ("chosen", "rejected"),
    "moves": ("completion",),
    "labels": (),
    "solutions": ("text",),
    "problems": ("prompt",),
}
OWN = "own test problems"
WORST = 5  # items that are named


def at_hand(root: Path) -> tuple[str, ...]:
    """Return "name/split/version" of every published test split that `elenchus data get` has written; train splits are none."""
    found = [p.parent.relative_to(root / store.FOLDER) for p in (root / store.FOLDER).glob("[!.]*/*/*/manifest.json")]
    return tuple(sorted(f.as_posix() for f in found if f.parts[1] != (roles.of(f.parts[0]).shots or "train")))


def sources(recipe: RecipePlan) -> tuple[list[tuple[Stage, str]], list[str]]:
    """Return ([(stage, table)] that the recipe's training stages read, kinds whose training data is not kept)."""
    found: dict[tuple[str, str], tuple[Stage, str]] = {}
    unkept = set()
    for stage in recipe.stages:
        if not stages.trains(stage.kind):
            continue
        offers = {name.rstrip("?*"): offer for name, offer in stages.load(stage.kind).INPUTS.items()}
        read = 0
        for name, given in stage.inputs.items():
            if offers[name] in COLUMNS and not name.startswith("validation"):
                read += 1
                for source in given if isinstance(given, tuple) else (given,):
                    found[source.digest, offers[name]] = source, offers[name]
        if not read:
            unkept.add(stage.kind)
    return list(found.values()), sorted(unkept)


def texts(rows: Iterable[dict], table: str) -> Iterator[str]:
    """Yield the texts of training rows: each message of a prompt, and what is learned from it."""
    for row in rows:
        if "prompt" in row and table != "problems":
            yield from (m["content"] for m in json.loads(row["prompt"]) if isinstance(m["content"], str))
        for column in COLUMNS[table]:
            yield row[column]
        if table == "labels":
            yield "\n".join(row["steps"])


def report(plan: Plan, recipe: RecipePlan, n: int = overlap.N) -> dict:
    """Return what training has of test items, as plain data: {n, tables, texts, not_kept, against: [...]}.

    Each entry of `against`: name, version, items, exact, any (n words in a row), half_or_more, found (the ids of some).
    """
    from elenchus import findings

    read, unkept = sources(recipe)
    if not read:
        return {"n": n, "tables": 0, "texts": 0, "not_kept": unkept, "against": []}
    trained: dict[str, None] = {}  # each text once, in order
    ids: set[str] = set()
    for stage, table in read:
        rows = findings.rows(findings.result(plan.root, stage), table)
        ids |= {row["problem_id"] for row in rows if "problem_id" in row}
        trained.update(dict.fromkeys(texts(rows, table)))
    against = []
    own = {s.digest: s for s in recipe.stages if s.kind == "problems" and s.params["split"] == "test"}
    if own:
        rows = {
            r["problem_id"]: r for s in own.values() for r in findings.rows(findings.result(plan.root, s), "problems")
        }
        found = overlap.find(((i, r["prompt"]) for i, r in rows.items()), trained, n, str.split)
        found = [overlap.Overlap(o.item, o.exact or o.item in ids, o.share, o.where) for o in found]
        against.append(entry(OWN, " ".join(sorted(own)), found))
    for place in at_hand(plan.root):
        name, split, version = place.split("/")
        items = _items(plan.root / store.FOLDER / place)
        against.append(entry(f"{name}/{split}", version, overlap.find(items, trained, n)))
    return {"n": n, "tables": len(read), "texts": len(trained), "not_kept": unkept, "against": against}


def entry(name: str, version: str, found: list[overlap.Overlap]) -> dict:
    """Return what was found of one test set."""
    counts = overlap.summary(found)
    worst = sorted((o for o in found if o.exact or o.share >= 0.5), key=lambda o: (not o.exact, -o.share))
    return {"name": name, "version": version, **counts, "found": [o.item for o in worst[:WORST]]}


def _items(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (id, question) of a benchmark's items; those without a word are left out."""
    import pyarrow.parquet as pq

    for row in pq.read_table(folder / "problems.parquet", use_threads=False).to_pylist():
        problem = problems.from_row(row)
        if overlap.words(problem.prompt):
            yield str(problem.meta.get("key", problem.id)), problem.prompt


def sentences(found: dict) -> list[str]:
    """Return a warning for each test set of which training has an item word for word."""
    return [
        f"training holds {e['exact']} of {e['items']} items of {e['name']}, the first: {', '.join(e['found'][:3])}"
        for e in found["against"]
        if e["exact"]
    ]
