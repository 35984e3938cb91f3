"""Results made by hand, for tests of stages that read them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from elenchus import schemas, tables
from elenchus.job import Result, file_entries

NONE = {"str": "", "int": 0, "float": 0.0, "bool": False}


def result(folder: Path, params: dict | None = None, **content) -> Result:
    """Return a finished result in `folder`, which may hold files already, with the tables given; columns left out are empty."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in content.items():
        frame = pd.DataFrame(rows)
        for column, kind in schemas.SCHEMAS[name].items():
            if column not in frame:
                frame[column] = pd.Series([[]] * len(frame)) if kind.startswith("list") else NONE[kind.rstrip("?")]
        tables.write(name, frame, folder / f"{name}.parquet")
    (folder / "stage.json").unlink(missing_ok=True)
    (folder / "stage.json").write_text(json.dumps({"files": file_entries(folder), "params": params or {}}))
    return Result(folder)
