"""Tables that stages exchange: Parquet on disk, in the columns of `schemas.py`; pandas in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from elenchus.errors import CorruptResult
from elenchus.schemas import SCHEMAS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

GROUP_ROWS = 32_768  # of a table's row groups: what a reader of pieces has in memory
BUFFER = 4096  # rows that a writer has as plain dicts


def schema(name: str) -> pa.Schema:
    """Return the Arrow schema of table `name`."""
    import pyarrow as pa

    kinds = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}

    def arrow(kind: str) -> pa.DataType:
        return pa.list_(kinds[kind[5:-1]]) if kind.startswith("list[") else kinds[kind]

    columns = SCHEMAS[name]
    return pa.schema([pa.field(c, arrow(k.rstrip("?")), nullable=True) for c, k in columns.items()])


def write(name: str, frame: pd.DataFrame | list[dict], path: Path) -> int:
    """Write `frame` as table `name` and return its rows; ValueError where columns are missing, unknown or null."""
    with writing(name, path) as add:
        return add(frame)


@contextmanager
def writing(name: str, path: Path) -> Iterator[Callable[[pd.DataFrame | list[dict] | pa.Table], int]]:
    """Yield a function that adds rows to table `name` at `path` and returns how many, in the memory of one row group.

    The file's bytes depend on the rows only, not on how many come at a time.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    empty = schema(name).empty_table()
    rows: list[dict] = []  # not yet in Arrow
    waiting: list[pa.Table] = []  # not yet written

    def flush(least: int) -> None:
        """Write the row groups that are full, once `least` rows wait."""
        if rows:
            waiting.append(_arrow(name, rows))
            rows.clear()
        if sum(map(len, waiting)) > least:
            table = pa.concat_tables(waiting)
            while len(table) > GROUP_ROWS:
                out.write_table(table.slice(0, GROUP_ROWS).combine_chunks())
                table = table.slice(GROUP_ROWS)
            waiting[:] = [table.combine_chunks()]

    def add(frame: pd.DataFrame | list[dict] | pa.Table) -> int:
        if isinstance(frame, list):
            rows.extend(frame)
            if len(rows) > BUFFER:
                flush(GROUP_ROWS)
        else:
            flush(GROUP_ROWS)
            waiting.append(frame.cast(empty.schema) if isinstance(frame, pa.Table) else _arrow(name, frame))
            flush(GROUP_ROWS)
        return len(frame)

    with pq.ParquetWriter(path, empty.schema, compression="zstd") as out:
        yield add
        flush(GROUP_ROWS)
        out.write_table(pa.concat_tables([empty, *waiting]).combine_chunks())


def _arrow(name: str, frame: pd.DataFrame | list[dict]) -> pa.Table:
    """Return `frame` in the types of table `name`; ValueError as `write`."""
    import pandas as pd
    import pyarrow as pa

    columns = SCHEMAS[name]
    if not isinstance(frame, pd.DataFrame):
        frame = pd.DataFrame(frame, columns=list(columns) if not frame else None)
    missing, unknown = set(columns) - set(frame.columns), set(frame.columns) - set(columns)
    if missing or unknown:
        raise ValueError(f"table {name!r}: missing columns {sorted(missing)}, unknown columns {sorted(unknown)}")
    frame = frame[list(columns)]
    for column, kind in columns.items():
        if not kind.endswith("?") and not kind.startswith("list") and kind != "float" and frame[column].isna().any():
            raise ValueError(f"table {name!r}: column {column!r} holds nulls")
    return pa.Table.from_pandas(frame, schema=schema(name), preserve_index=False).replace_schema_metadata(None)


def records(name: str, path: Path) -> list[dict]:
    """Return table `name` from `path` as plain rows, nulls as None; CorruptResult as `opened`."""
    return opened(name, path).read().to_pylist()


def plain(name: str, frame: pd.DataFrame) -> list[dict]:
    """Return rows of table `name` as plain data, nulls as None."""
    return _arrow(name, frame).to_pylist()


def read(name: str, path: Path) -> pd.DataFrame:
    """Return table `name` from `path`; CorruptResult where the file is truncated or of another schema."""
    return opened(name, path).read().to_pandas()


def opened(name: str, path: Path) -> pq.ParquetFile:
    """Return table `name` at `path`, to be read in pieces; CorruptResult where it is truncated or of another schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as e:
        raise CorruptResult(f"{path}: not a readable Parquet file ({e})") from e
    if file.schema_arrow.names != list(SCHEMAS[name]):
        raise CorruptResult(
            f"{path}: columns {file.schema_arrow.names} are not those of table {name!r}: {list(SCHEMAS[name])}"
        )
    return file


def columns(name: str, path: Path, wanted: list[str]) -> pd.DataFrame:
    """Return some columns of table `name`; CorruptResult as `opened`."""
    return opened(name, path).read(columns=wanted).to_pandas()


def pieces(name: str, path: Path) -> Iterator[pd.DataFrame]:
    """Yield table `name`, a row group at a time; CorruptResult as `opened`."""
    file = opened(name, path)
    for group in range(file.num_row_groups):
        yield file.read_row_group(group).to_pandas()


def rows(name: str, path: Path, start: int, stop: int) -> pd.DataFrame:
    """Return rows [start, stop) of table `name`, in the memory of these rows and of one row group."""
    import pyarrow as pa

    found, before = [schema(name).empty_table()], 0
    file = opened(name, path)
    for group in range(file.num_row_groups):
        n = file.metadata.row_group(group).num_rows
        low, high = max(start - before, 0), min(stop - before, n)
        if low < high:
            found.append(file.read_row_group(group).slice(low, high - low))
        before += n
    return pa.concat_tables(found).to_pandas()


def those(name: str, path: Path, column: str, values: Iterable[str]) -> pd.DataFrame:
    """Return the rows of table `name` whose `column` is one of `values`, in the memory of these and of one row group."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted, found = pa.array(sorted(set(values)), pa.string()), [schema(name).empty_table()]
    file = opened(name, path)
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        found.append(table.filter(pc.is_in(table[column], wanted)))
    return pa.concat_tables(found).to_pandas()


def join(name: str, paths: list[Path], goal: Path) -> None:
    """Write the tables at `paths` as one, in the memory of one row group of each."""
    with writing(name, goal) as add:
        for path in paths:
            file = opened(name, path)
            for group in range(file.num_row_groups):
                add(file.read_row_group(group))
