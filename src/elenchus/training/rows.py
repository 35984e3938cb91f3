"""Training examples in bounded memory: tables are read a batch of rows at a time, encoded rows lie in a file.

The file is Arrow's, in the stage's work folder, and is mapped into memory: what is read of it the system may drop again.
Of several processes the first writes it and all map it. What stays in memory is a few bytes a row: lengths, and the order.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elenchus import tables
from elenchus.errors import UserError
from elenchus.training import parallel

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import torch
    from datasets import Dataset

    from elenchus.job import Result

BATCH = 4096  # rows in memory at a time


def frames(results: Result | list[Result], table: str) -> Iterator[pd.DataFrame]:
    """Yield table `table` of one result or of several, BATCH rows at a time."""
    for result in results if isinstance(results, list) else [results]:
        with tables.opened(table, result.file(f"{table}.parquet")) as file:
            for batch in file.iter_batches(BATCH):
                yield batch.to_pandas()


def records(results: Result | list[Result], table: str) -> Iterator[dict]:
    """Yield the rows of table `table` of one result or of several."""
    for frame in frames(results, table):
        yield from frame.to_dict("records")


def beside_problems(
    result: Result, table: str, problems: Result, what: str, wanted: Callable[[pd.DataFrame], Any] | None = None
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield (rows of a table, their problems' rows), BATCH rows at a time; wanted(frame) is a mask of rows, None for all.

    Rows whose problem is not among the problems are left out, and at the end UserError says how many there were, as `what`
    problems.
    """
    lost: set[str] = set()
    for frame in frames(result, table):
        frame = frame if wanted is None else frame[wanted(frame)]
        known = problems.those("problems", "problem_id", frame["problem_id"])
        there = frame["problem_id"].isin(known["problem_id"])
        lost |= set(frame["problem_id"][~there])
        yield frame[there], known
    if lost:
        raise UserError(
            f"{len(lost)} {what} problems are not among the {problems.count('problems')} problems given, the first: {min(lost)}"
        )


def written(
    work: Path, name: str, columns: dict[str, str], rows: Iterable[tuple[int, dict]], limit: int, what: str
) -> Dataset:
    """Write encoded rows to a file of the work folder and return them from there, mapped into memory. *Collective.*

    columns: {name: type as in `elenchus.tables`, or "ids" for token ids}. rows: (tokens of the row's longest sequence, row);
    those of more than `limit` tokens are left out, and stderr says how many. UserError where none is left. Only the first
    process goes through `rows`.
    """
    from datasets import Dataset

    path = work / "rows" / name / "rows.arrow"  # a folder of its own: what `datasets` makes of them lies beside
    parallel.from_first(lambda: _write(path, columns, rows, limit, what))
    return Dataset.from_file(str(path))


def column(data: Dataset, name: str) -> np.ndarray:
    """Return a column of numbers or flags of what `written` returned, in the rows' order."""
    assert data._indices is None, "rows in another order are read through the dataset itself"
    return data.data.column(name).to_numpy()


def beside(data: Dataset, name: str, values: np.ndarray) -> Dataset:
    """Return `data` with one more column: values [rows], or lists of equal length [rows, n]."""
    import pyarrow as pa

    flat = pa.array(values.astype("float64").ravel())
    return data.add_column(name, flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1]))


def chunks(data: Dataset, size: int) -> tuple[int, Callable[[int], list[dict]]]:
    """Return (how many chunks of `size` rows there are, the function that reads one)."""

    def read(k: int) -> list[dict]:
        found = data[k * size : (k + 1) * size]
        return [dict(zip(found, values)) for values in zip(*found.values(), strict=True)]

    return -(-len(data) // size), read


def measured(data: Dataset, size: int, width: int, read: Callable[[list[dict]], torch.Tensor]) -> np.ndarray:
    """Return [rows, width] float32: what `read` finds in chunks of `size` rows. *Collective:* each process reads its share."""
    import torch

    found, done = torch.zeros(len(data), width), torch.zeros(len(data), 1)
    count, chunk = chunks(data, size)
    for k in parallel.own_share(count):  # into one place: what is kept piece by piece would cut the heap to pieces
        found[k * size : (k + 1) * size] = read(chunk(k)).reshape(-1, width).cpu()
        done[k * size : (k + 1) * size] = 1
    if parallel.world() > 1:
        torch.distributed.all_reduce(found)
        torch.distributed.all_reduce(done)
    return (found / done).numpy()


def _write(path: Path, columns: dict[str, str], rows: Iterable[tuple[int, dict]], limit: int, what: str) -> None:
    """Write the rows that are short enough; the file is whole or absent."""
    import pyarrow as pa

    schema = pa.schema([(column, _arrow(kind)) for column, kind in columns.items()])
    shutil.rmtree(path.parent, ignore_errors=True)  # of an attempt before
    path.parent.mkdir(parents=True)
    part = path.with_suffix(".part")
    found = kept = 0

    def short() -> Iterator[dict]:
        nonlocal found, kept
        for tokens, row in rows:
            found += 1
            if tokens <= limit:
                kept += 1
                yield row

    with pa.OSFile(str(part), "wb") as file, pa.ipc.new_stream(file, schema) as out:
        fitting = short()
        while some := list(islice(fitting, BATCH)):
            out.write_batch(pa.RecordBatch.from_pylist(some, schema=schema))
    if not found:
        raise UserError(f"0 {what}: nothing to train on. What the stage before kept may have been too little")
    if not kept:
        raise UserError(f"0 of {found} {what} have at most {limit} tokens; raise max_length")
    if kept < found:
        print(f"  left out {found - kept} of {found} {what} of more than {limit} tokens", file=sys.stderr)
    os.replace(part, path)


def _arrow(kind: str) -> pa.DataType:
    """Return the Arrow type of a column."""
    import pyarrow as pa

    types = {
        "str": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "ids": pa.list_(pa.int32()),
    }
    return pa.list_(types[kind[5:-1]]) if kind.startswith("list[") else types[kind]
