"""Data sets as tables on disk: written aside, checked to the end, moved in place at once, manifest last.

    results/benchmarks/<name>/<split>/<digest>/   problems.parquet  solutions.parquet  critiques.parquet  manifest.json

`problems` has the schema of the workflow's own table of problems. The digest is of the source files' bytes and
of the set's module (or field mapping); a folder without a manifest does not count, so nothing half loaded is ever read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from elenchus import tables
from elenchus.benchmarks import card, split_items
from elenchus.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1  # of the tables; part of the digest
BATCH = 2_000  # rows written at once
FOLDER = Path("results", "benchmarks")


def schemas() -> dict[str, pa.Schema]:
    """Return the schema of each table."""
    import pyarrow as pa

    text, texts = pa.string(), pa.list_(pa.string())
    return {
        "problems": tables.schema("problems"),
        "solutions": pa.schema(
            {
                "solution_id": text,
                "problem_id": text,
                "author": text,
                "text": text,
                "steps": texts,
                "answer": text,
                "correct": pa.bool_(),
                "first_error": pa.int64(),
                "ratings": pa.list_(pa.float64()),
            }
        ),
        "critiques": pa.schema(
            {"solution_id": text, "author": text, "text": text, "first_error": pa.int64(), "labels": text}
        ),
    }


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def digest(how: str | dict[str, str], sources: dict[str, str]) -> str:
    """Return the version of a split's tables: of its files' digests, and of how they are read (code, or fields)."""
    return hashlib.sha256(json.dumps([FORMAT, how, sources], sort_keys=True).encode()).hexdigest()[:16]


def get(
    name: str, module: ModuleType, folder: Path, root: Path, split: str | None, told: Callable[[str], None]
) -> list[Path]:
    """Write the tables of a set's splits below `root` and return their folders; those that are there already are kept.

    told: called with one line for each split. UserError for bad input; then nothing of that split is written.
    """
    made = []
    for key, paths in card.chosen(name, card.files(name, module.CARD, folder), split):
        digests = {path.relative_to(folder).as_posix(): sha256(path) for path in paths}
        how = getattr(module, "FIELDS", None) or sha256(Path(module.__file__))  # a mapping, or the set's code
        goal = root / FOLDER / name / key / digest(how, digests)
        if (goal / "manifest.json").is_file():
            manifest = json.loads((goal / "manifest.json").read_text())
        else:
            manifest = _write(name, module, key, paths, digests, goal)
        made.append(goal)
        told(f"{name} {key}: {manifest['rows']['problems']} items{_official(module.CARD, key, manifest)}  {goal}")
    return made


def _write(name: str, module: ModuleType, split: str, paths: list[Path], digests: dict, goal: Path) -> dict:
    """Write one split's tables aside and move them in place; return the manifest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    aside = goal.with_name(f".{goal.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        rows = dict.fromkeys(schemas(), 0)
        with ExitStack() as stack:
            writers = {
                table: stack.enter_context(pq.ParquetWriter(aside / f"{table}.parquet", schema, compression="zstd"))
                for table, schema in schemas().items()
            }
            for batch in _batches(module, split, paths):
                for table, made in batch.items():
                    writers[table].write_table(pa.Table.from_pylist(made, schema=schemas()[table]))
                    rows[table] += len(made)
        manifest = {"name": name, "split": split, "sources": digests, "rows": rows, "licence": module.CARD.licence}
        (aside / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        shutil.rmtree(goal, ignore_errors=True)  # of an older version of this code, without a manifest
        os.replace(aside, goal)
        return manifest
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _batches(module: ModuleType, split: str, paths: list[Path]) -> Iterator[dict[str, list[dict]]]:
    """Yield the rows of the tables, some thousand items at a time."""
    batch: dict[str, list[dict]] = {table: [] for table in schemas()}
    for item in split_items(module, split, paths):
        p = item.problem
        meta = json.dumps(p.meta, ensure_ascii=False)
        batch["problems"].append(
            {
                "problem_id": p.id,
                "family": p.family,
                "split": split,
                "prompt": p.prompt,
                "answer": p.answer,
                "meta": meta,
            }
        )
        for i, solution in enumerate(item.solutions):
            row = asdict(solution)
            critiques = row.pop("critiques")
            sid = f"{p.id}-{i}"
            batch["solutions"].append({"solution_id": sid, "problem_id": p.id, **row})
            for critique in critiques:
                labels = json.dumps(critique.pop("labels"), ensure_ascii=False)
                batch["critiques"].append({"solution_id": sid, **critique, "labels": labels})
        if len(batch["problems"]) >= BATCH:
            yield batch
            batch = {table: [] for table in batch}
    if batch["problems"]:
        yield batch


def check(name: str, module: ModuleType, folder: Path, split: str | None) -> Iterator[tuple[str, bool, str]]:
    """Yield (split, whether all is well, what was found): every record read, counts and checksums against the card."""
    for key, paths in card.chosen(name, card.files(name, module.CARD, folder), split):
        try:
            n = sum(1 for _ in split_items(module, key, paths))
        except UserError as e:
            yield key, False, str(e)
            continue
        known = module.CARD.sha256
        strange = [p.name for p in paths if p.name in known and sha256(p) not in known[p.name]]
        official = _official(module.CARD, key, {"rows": {"problems": n}})
        says = f"{n} items{official}"
        if strange:
            says += f"; {', '.join(strange)}: not the bytes of the known release (changed, or another version)"
        elif any(p.name in known for p in paths):
            says += "; the bytes of the known release"
        yield key, not strange and not official, says


def _official(card: card.Card, split: str, manifest: dict) -> str:
    """Return what to say where the number of records is not the official one, "" where it is or none is known."""
    n, official = manifest["rows"]["problems"], card.rows.get(split)
    return "" if official in (None, n) else f" of the official {official}"
