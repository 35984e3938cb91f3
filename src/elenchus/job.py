"""One stage in execution: what a kind's `run(job)` sees. No kind touches paths, devices or Snakemake beyond this."""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elenchus import seeds, tables
from elenchus.errors import CorruptResult

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Cost:
    """What a stage spent. Arms are compared at equal `sampled` + `trained` + `oracle_calls`."""

    sampled: int = 0  # tokens written by models
    prompt: int = 0  # tokens read by models when they sample or score
    trained: int = 0  # tokens in forward-backward passes
    oracle_calls: int = 0  # exact answer or step checks that the method uses (evaluation's own are free)


@dataclass(frozen=True)
class Result:
    """A finished stage on disk."""

    folder: Path

    @property
    def manifest(self) -> dict:
        """Return the parsed stage.json."""
        return read_manifest(self.folder)

    def table(self, name: str) -> pd.DataFrame:
        """Return table `name`, checked against the manifest's digest and the schema."""
        return tables.read(name, self.file(f"{name}.parquet"))

    def count(self, name: str) -> int:
        """Return the rows of table `name`."""
        return tables.opened(name, self.file(f"{name}.parquet")).metadata.num_rows

    def columns(self, name: str, columns: list[str]) -> pd.DataFrame:
        """Return some columns of table `name`."""
        return tables.columns(name, self.file(f"{name}.parquet"), columns)

    def pieces(self, name: str) -> Iterator[pd.DataFrame]:
        """Yield table `name`, a row group at a time."""
        return tables.pieces(name, self.file(f"{name}.parquet"))

    def rows(self, name: str, start: int, stop: int) -> pd.DataFrame:
        """Return rows [start, stop) of table `name`."""
        return tables.rows(name, self.file(f"{name}.parquet"), start, stop)

    def those(self, name: str, column: str, values: Iterable[str]) -> pd.DataFrame:
        """Return the rows of table `name` whose `column` is one of `values`."""
        return tables.those(name, self.file(f"{name}.parquet"), column, values)

    def file(self, name: str) -> Path:
        """Return the path of an output file, once its bytes are what the manifest says."""
        entry = self.manifest["files"].get(name)
        path = self.folder / name
        if entry is None:
            raise CorruptResult(
                f"{self.folder}: this result has no {name}; it holds {', '.join(self.manifest['files'])}"
            )
        check_file(path, entry)
        return path

    def dir(self, name: str) -> Path:
        """Return the path of an output folder (a model), once all its files are what the manifest says."""
        entries = {f: e for f, e in self.manifest["files"].items() if f.startswith(f"{name}/")}
        if not entries:
            raise CorruptResult(f"{self.folder}: this result has no folder {name}/")
        for file, entry in entries.items():
            check_file(self.folder / file, entry)
        return self.folder / name


@dataclass
class Job:
    """A stage in execution.

    out: an empty folder for the outputs, moved in place when `run` returns. work: a folder that survives a kill, for
    checkpoints; removed once the stage is complete. machine: what params.yaml says of this machine, by section (`engine`,
    `server`): changes no result. logs: where logs of processes that the stage starts are kept, a path less its ending.
    shard: (i, n) where this job makes every n-th part from the i-th on, and no more (`elenchus.parts`). joins: all parts are
    there. markers: where shards say that they are done. elsewhere: what parts took that other jobs made.
    """

    kind: str
    params: Any  # the kind's Params
    seed: int  # derived from the stage's identity: parameters, inputs and seed axis, not its code
    inputs: dict[str, Result | list[Result]]
    out: Path
    work: Path
    cost: Cost = field(default_factory=Cost)
    machine: dict = field(default_factory=dict)
    logs: Path | None = None
    shard: tuple[int, int] | None = None
    joins: bool = False
    markers: Path | None = None
    elsewhere: dict[str, float] = field(
        default_factory=lambda: {"seconds": 0.0, "cpu_seconds": 0.0, "peak_memory_mb": 0.0}
    )
    _told: float = 0.0

    def rng(self, name: str) -> random.Random:
        """Return the stage's random stream `name`."""
        return seeds.rng(self.seed, name)

    def derive(self, name: str) -> int:
        """Return the stage's seed for `name` (for engines and trainers)."""
        return seeds.derive(self.seed, name)

    def write(self, name: str, frame: pd.DataFrame | list[dict]) -> None:
        """Write output table `name`."""
        tables.write(name, frame, self.out / f"{name}.parquet")

    @contextmanager
    def writing(self, *names: str) -> Iterator[tuple[Callable, ...]]:
        """Yield a function for each of the output tables, that adds rows to it (`tables.writing`)."""
        with ExitStack() as open_tables:
            yield tuple(open_tables.enter_context(tables.writing(n, self.out / f"{n}.parquet")) for n in names)

    def write_json(self, name: str, value: dict) -> None:
        """Write output file `name`.json with sorted keys."""
        (self.out / f"{name}.json").write_text(json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n")

    def log(self, name: str) -> Path:
        """Return the path of the log of a process that the stage starts."""
        base = self.logs or self.out.parent / self.kind
        return base.with_name(f"{base.name}.{name}.log")

    def progress(self, done: float, total: float, what: str = "") -> None:
        """Say how far the stage is, on stderr, at most once in five seconds (and at the end)."""
        now = time.monotonic()
        if now - self._told > 5 or done >= total:
            self._told = now
            print(f"  {self.kind}: {done:.0f}/{total:.0f} {what}".rstrip(), file=sys.stderr, flush=True)


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def file_entries(folder: Path) -> dict[str, dict]:
    """Return {relative path: {bytes, sha256}} of all files below `folder`, sorted."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in files}


def check_file(path: Path, entry: dict) -> None:
    """Raise CorruptResult where `path` is missing or its bytes are not those of the manifest's `entry`."""
    if not path.is_file():
        found = "missing"
    elif path.stat().st_size != entry["bytes"]:
        found = f"{path.stat().st_size} bytes where the manifest says {entry['bytes']}"
    elif sha256(path) != entry["sha256"]:
        found = "its SHA-256 is not the manifest's"
    else:
        return
    folder = path.parent if (path.parent / "stage.json").exists() else path.parent.parent
    raise CorruptResult(
        f"{path}: damaged result ({found}).\nRemove it and run again; only what is missing is made anew:\n  rm -r {folder}"
    )


def read_manifest(folder: Path) -> dict:
    """Return the parsed stage.json of a result folder; CorruptResult where it is absent or broken."""
    path = folder / "stage.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise CorruptResult(f"{folder}: not a finished result (no stage.json)") from None
    except json.JSONDecodeError as e:
        raise CorruptResult(f"{path}: broken manifest ({e}).\nRemove it and run again:\n  rm -r {folder}") from e


def cost_dict(cost: Cost) -> dict:
    """Return the cost as plain data."""
    return asdict(cost)
