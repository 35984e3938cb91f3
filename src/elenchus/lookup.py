"""Rows of tables in results, by an id or the beginning of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from elenchus import problems, stages
from elenchus.errors import CorruptResult, UserError
from elenchus.graph import RESULTS

IDS = {  # table -> its id, in the order in which ids are looked up
    "problems": "problem_id",
    "solutions": "solution_id",
    "critiques": "critique_id",
    "refinements": "refinement_id",
    "pairs": "pair_id",
}
Found = tuple[str, Path, dict]  # table, result folder, row


def files(root: Path, table: str) -> Iterator[Path]:
    """Yield the files of a table among all results, newest result first (the one that people have just made)."""
    kinds = [k for k in stages.names() if table in stages.load(k).OUTPUTS]
    found = [
        p for k in kinds for p in (root / RESULTS / k).glob(f"*/{table}.parquet") if (p.parent / "stage.json").is_file()
    ]
    yield from sorted(found, key=lambda p: (-p.stat().st_mtime, str(p)))


def matches(path: Path, column: str, text: str, *, prefix: bool = False) -> list[dict]:
    """Return the rows whose `column` is `text`, or begins with it."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        ids = pq.read_table(path, columns=[column], use_threads=False)[column]
        hit = pc.starts_with(ids, text) if prefix else pc.equal(ids, text)
        if not pc.any(hit).as_py():
            return []
        return pq.read_table(path, use_threads=False).filter(hit).to_pylist()
    except pa.ArrowException as e:
        raise CorruptResult(f"{path}: not a readable Parquet file ({e})") from e


def find(root: Path, text: str) -> Found:
    """Return the row that an id names: equal first, else the only one that begins so. UserError otherwise."""
    for prefix in (False, True):
        for table, column in IDS.items():
            near: dict[str, Found] = {}
            for path in files(root, table):
                for row in matches(path, column, text, prefix=prefix):
                    near.setdefault(row[column], (table, path.parent, row))
            if len(near) == 1:
                return next(iter(near.values()))
            if near:
                some = "\n  ".join(sorted(near)[:12])
                raise UserError(f"{text!r} begins {len(near)} ids of {table}; say more of one:\n  {some}")
    if not any(True for table in IDS for _ in files(root, table)):
        raise UserError(f"{root / RESULTS}: no results yet; make some with\n  snakemake")
    raise UserError(
        f"nothing in results has an id that is or begins with {text!r}, and there is no such file. Ids are those in tables, for "
        "example of problems (chain-4f0c8a1be2d3), solutions, critiques, refinements and pairs; `elenchus show <result folder>` lists some"
    )


def related(root: Path, table: str, column: str, value: str, most: int = 12) -> list[tuple[Path, dict]]:
    """Return rows of a table about something, one for each id, from all results."""
    found: dict[str, tuple[Path, dict]] = {}
    for path in files(root, table):
        for row in matches(path, column, value):
            found.setdefault(row[IDS.get(table, column)], (path.parent, row))
            if len(found) >= most:
                return list(found.values())
    return list(found.values())


def problem_of(root: Path, problem_id: str) -> problems.Problem:
    """Return a problem by its id."""
    for path in files(root, "problems"):
        for row in matches(path, "problem_id", problem_id):
            return problems.from_row(row)
    raise UserError(f"{problem_id}: its problems table is not among the results any more")


def solution_of(root: Path, solution_id: str) -> tuple[Path, dict]:
    """Return (folder, row) of a solution."""
    found = related(root, "solutions", "solution_id", solution_id, most=1)
    if not found:
        raise UserError(f"{solution_id}: its solutions table is not among the results any more")
    return found[0]
