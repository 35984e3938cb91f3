"""A stage's input tables, read side by side, some problems at a time: memory is that of a slice, whatever the tables' size.

What a problem's rows say of it needs no other problem, so most stages that only move or measure tables walk over slices.
Which slices there are depends on the tables only. A table in the order of its problems, as stages write them, is read
about once; one in another order is read once a slice. All that is kept of a whole table is four bytes a row, and its
problems' names.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from elenchus import schemas, tables
from elenchus.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from elenchus.job import Job, Result

ROWS = tables.GROUP_ROWS  # of one table in a slice at most, but for those of a single problem


@dataclass
class _Table:
    """A table on disk. places: of each row, its problem's place in the walk, -1 where it is not in it."""

    file: pq.ParquetFile
    key: str
    places: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    last: tuple[int, pa.Table | None] = (-1, None)  # the row group that was read last, which the next slice begins in

    def problems(self) -> Iterator[pa.Array]:
        """Yield the problem of each row, a row group at a time."""
        for group in range(self.file.num_row_groups):
            column = self.file.read_row_group(group, columns=[self.key])[self.key].combine_chunks()
            yield column if self.key == "problem_id" else _problems_of(column)

    def group(self, k: int) -> pa.Table:
        """Return a row group."""
        if self.last[0] != k:
            self.last = k, self.file.read_row_group(k)
        return self.last[1]


def walk(job: Job, inputs: Mapping[str, str], *names: str) -> Iterator[dict[str, Any]]:
    """Yield {input: its table} of some problems at a time: all their rows, in the tables' order.

    inputs: the kind's INPUTS. names: the inputs that are read, of which those that are not given are left out; an input of
    several results has a list of tables. Problems come in the order of the first one's table; rows of others are left out.
    UserError where a table holds a problem that is not in `problems`.
    """
    kinds = {name.rstrip("?*"): table for name, table in inputs.items()}
    given = {name: job.inputs[name] for name in names if name in job.inputs}
    opened = {name: [_open(kinds[name], r) for r in _several(results)] for name, results in given.items()}
    places: dict[str, int] = {}
    for table in opened[names[0]]:
        for keys in table.problems():
            for problem in keys.unique().to_pylist():
                places.setdefault(problem, len(places))
    known = places
    if "problems" in given and names[0] != "problems":
        known = {problem for keys in opened["problems"][0].problems() for problem in keys.to_pylist()}
    for name, own in opened.items():
        for table in own:
            _place(name, table, places, known if "problems" in given and name != "problems" else None)
    every = [table for own in opened.values() for table in own]
    counts = [np.bincount(t.places[t.places >= 0], minlength=len(places)) for t in every]
    for low, high in _cuts(counts, len(places)):
        found = {name: [_rows(table, low, high) for table in own] for name, own in opened.items()}
        yield {name: found[name] if isinstance(of, list) else found[name][0] for name, of in given.items()}


def picked(batches: Iterable[Sequence], places: Sequence[int]) -> Iterator[list]:
    """Yield of each batch what stands at `places`, sorted, which are counted over all batches."""
    done = 0
    for batch in batches:
        yield at(batch, places, done)
        done += len(batch)


def at(batch: Sequence, places: Sequence[int], done: int) -> list:
    """Return what stands at `places` in a batch that has `done` things before it."""
    own = places[bisect_left(places, done) : bisect_left(places, done + len(batch))]
    return [batch[i - done] for i in own]


def _several(results: Result | list[Result]) -> list[Result]:
    return results if isinstance(results, list) else [results]


def _open(name: str, result: Result) -> _Table:
    """Return table `name` of a result; one that names solutions only is read by the problems that these are of."""
    key = "problem_id" if "problem_id" in schemas.SCHEMAS[name] else "solution_id"
    return _Table(tables.opened(name, result.file(f"{name}.parquet")), key)


def _problems_of(solution_ids: pa.Array) -> pa.Array:
    """Return the problems that solutions are of (`solutions.read` names them)."""
    import pyarrow as pa

    return pa.array([name.rpartition("-")[0] for name in solution_ids.to_pylist()], pa.string())


def _place(name: str, table: _Table, places: dict[str, int], known: Mapping | set | None) -> None:
    """Find the place of each row's problem; UserError for one that is not among the `known`."""
    found = []
    for keys in table.problems():
        coded = keys.dictionary_encode()
        ids = coded.dictionary.to_pylist()
        lost = [problem for problem in ids if known is not None and problem not in known]
        if lost:
            raise UserError(
                f"`{name}`: {len(lost)} of its problems are not among the {len(known)} problems given, the first: {min(lost)}"
            )
        codes = np.array([places.get(problem, -1) for problem in ids], np.int32)
        found.append(codes[coded.indices.to_numpy(zero_copy_only=False)])
    table.places = np.concatenate(found) if found else table.places


def _cuts(counts: list[np.ndarray], problems: int) -> Iterator[tuple[int, int]]:
    """Yield the slices as [low, high) of places: as many problems as leave every table `ROWS` rows, and one at least.

    Tables without a problem are one empty slice, so that what has to be written is.
    """
    ends = [np.cumsum(c) for c in counts]
    low = 0
    while low < problems or (low == 0 and problems == 0):
        high = problems
        for end in ends:
            before = end[low - 1] if low else 0
            high = min(high, int(np.searchsorted(end, before + ROWS, side="right"))) if len(end) else high
        high = max(high, min(low + 1, problems))
        yield low, high
        if not problems:
            return
        low = high


def _rows(table: _Table, low: int, high: int):
    """Return the rows of the problems at [low, high) as a pandas frame."""
    import pyarrow as pa

    wanted = np.flatnonzero((table.places >= low) & (table.places < high))
    found, start = [table.file.schema_arrow.empty_table()], 0
    for k in range(table.file.num_row_groups):
        stop = start + table.file.metadata.row_group(k).num_rows
        own = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, stop)] - start
        if len(own):
            found.append(table.group(k).take(own))
        start = stop
    return pa.concat_tables(found).to_pandas()
