"""Records of JSONL, JSON, CSV and Parquet files, one at a time, each with its place, so that every complaint names it.

JSONL, CSV and Parquet are streamed. Text must be UTF-8 and records of reasonable length; a file that breaks off, mixes
encodings or holds something else than records is refused with one message that names the file and the row.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from elenchus.errors import UserError, did_you_mean

MAX_RECORD = 8_000_000  # bytes of one line
MAX_TEXT = 200_000  # characters of one text field
MAX_WHOLE = 256 << 20  # bytes of a .json file, which has to be read as a whole
MARKUP = re.compile(r"</?[A-Za-z][\w-]*(?:\s[^<>]*)?/?>|&(?:lt|gt|amp|nbsp|quot|#\d+);|\[(?:removed|deleted)\]")
KINDS = (".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet")


@dataclass(frozen=True)
class Record:
    """One record: its fields, and where it stands. The getters raise UserError naming file, row and field."""

    fields: dict[str, Any]
    file: Path
    row: int  # from 1

    def no(self, field: str, what: str, allowed: str) -> UserError:
        """Return the error that says what is wrong with `field`."""
        return UserError(f"{self.file}, row {self.row}, field {field!r}: {what}; allowed: {allowed}")

    def get(self, field: str) -> Any:
        """Return the value of `field` ("a.b" looks into a nested record); UserError where there is none."""
        value: Any = self.fields
        for part in field.split("."):
            if not isinstance(value, dict) or part not in value:
                known = list(value) if isinstance(value, dict) else []
                raise UserError(
                    f"{self.file}, row {self.row}: no field {field!r}{did_you_mean(part, known)}; "
                    f"its fields: {', '.join(map(str, known)) or 'none'}"
                )
            value = value[part]
        return value

    def has(self, *fields: str) -> str | None:
        """Return the first of `fields` that the record has with a value, None for none of them."""
        return next((f for f in fields if self.fields.get(f) is not None), None)

    def text(self, field: str, empty: bool = False) -> str:
        """Return a text of `MAX_TEXT` characters at most, empty only where that is allowed; numbers are written out."""
        value = self.get(field)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.no(field, f"{_kind(value)} where a text should be", "a text")
        value = _number(value) if not isinstance(value, str) else value
        if len(value) > MAX_TEXT:
            raise self.no(field, f"a text of {len(value)} characters", f"{MAX_TEXT} characters at most")
        if not empty and not value.strip():
            raise self.no(field, "it is empty", "a text with something in it")
        return value

    def answer(self, field: str) -> str:
        """Return a short reference answer: a text that is not empty and not markup that a scraper left."""
        value = self.text(field)
        if "\ufffd" in value:  # models write it, references do not
            raise self.no(field, "it holds U+FFFD, the mark of a wrong decoding", "text in one encoding, UTF-8")
        found = MARKUP.search(value)
        if found:
            raise self.no(field, f"markup {found.group()!r} in a reference answer", "the plain answer")
        return value.strip()

    def texts(self, field: str) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self.get(field)
        value = value.tolist() if hasattr(value, "tolist") else value
        if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
            raise self.no(field, f"{_kind(value)} where a list of texts should be", "a list of texts")
        return tuple(value)

    def whole(self, field: str, low: int | None = None) -> int:
        """Return a whole number, at least `low`."""
        value = self.get(field)
        value = value.item() if hasattr(value, "item") else value
        if isinstance(value, str) and re.fullmatch(r"[-+]?\d{1,18}", value.strip()):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or (low is not None and value < low):
            raise self.no(field, f"{value!r}", "a whole number" + ("" if low is None else f" from {low}"))
        return value

    def number(self, field: str) -> float:
        """Return a finite number."""
        value = self.get(field)
        try:
            value = float(value)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise self.no(field, f"{self.get(field)!r}", "a number")
        return value

    def truth(self, field: str) -> bool:
        """Return true or false; the words "True", "false", "correct", "wrong" are read as well."""
        value = self.get(field)
        word = {"true": True, "correct": True, "false": False, "wrong": False, "incorrect": False}
        value = word.get(value.strip().lower(), value) if isinstance(value, str) else value
        value = value.item() if hasattr(value, "item") else value
        if not isinstance(value, bool):
            raise self.no(field, f"{value!r}", "true or false")
        return value


def read(file: Path) -> Iterator[Record]:
    """Yield the records of `file` by the kind that its name ends on; UserError for any other, or one that cannot be read."""
    name = file.name.lower()
    if name.endswith((".jsonl", ".jsonl.gz")):
        yield from _jsonl(file)
    elif name.endswith(".json"):
        yield from _json(file)
    elif name.endswith(".csv"):
        yield from _csv(file)
    elif name.endswith(".parquet"):
        yield from _parquet(file)
    else:
        raise UserError(f"{file}: files of this kind are not read; allowed: {', '.join(KINDS)}")


def _open(file: Path) -> IO[bytes]:
    return gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb")


def _decode(data: bytes, file: Path, row: int) -> str:
    try:
        return data.decode("utf-8-sig" if row == 1 else "utf-8")
    except UnicodeDecodeError as e:
        raise UserError(
            f"{file}, row {row}: byte {e.start + 1} ({data[e.start : e.start + 1]!r}) is not UTF-8: the file mixes encodings "
            f"or has another one; allowed: UTF-8\n  iconv -f latin1 -t utf-8 {file} > fixed{''.join(file.suffixes)}"
        ) from None


def _jsonl(file: Path) -> Iterator[Record]:
    row = 0
    with _open(file) as lines:
        while True:
            try:
                line = lines.readline(MAX_RECORD + 1)
            except (EOFError, OSError, gzip.zlib.error) as e:
                raise UserError(f"{file}, row {row + 1}: the compressed file breaks off or is damaged ({e})") from None
            if not line:
                return
            row += 1
            if len(line) > MAX_RECORD:
                raise UserError(f"{file}, row {row}: longer than {MAX_RECORD} bytes; one record stands on one line")
            text = _decode(line, file, row)
            if not text.strip():
                continue
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as e:
                broken = "" if line.endswith(b"\n") else "; the file seems to break off here"
                raise UserError(f"{file}, row {row}: not JSON ({e}){broken}") from None
            yield _record(value, file, row)


def _json(file: Path) -> Iterator[Record]:
    """Yield the entries of a list or of a record of records (whose names become the field "_name"), or the one record."""
    if file.stat().st_size > MAX_WHOLE:
        raise UserError(
            f"{file}: a JSON list of {file.stat().st_size >> 20} MiB has to be read as a whole; as JSONL it is streamed:\n"
            f"  jq -c '.[]' {file} > {file.stem}.jsonl"
        )
    try:
        whole = json.loads(_decode(file.read_bytes(), file, 1))
    except (ValueError, RecursionError) as e:
        raise UserError(f"{file}: not JSON, or it breaks off ({e})") from None
    if isinstance(whole, dict) and whole and all(isinstance(v, dict) for v in whole.values()):
        whole = [{**value, "_name": name} for name, value in whole.items()]
    whole = [whole] if isinstance(whole, dict) else whole
    if not isinstance(whole, list):
        raise UserError(f"{file}: {_kind(whole)} at the top; allowed: a list of records, or a record of records")
    for row, value in enumerate(whole, 1):
        yield _record(value, file, row)


def _csv(file: Path) -> Iterator[Record]:
    csv.field_size_limit(MAX_RECORD)

    def lines() -> Iterator[str]:
        with file.open("rb") as source:
            for row, line in enumerate(source, 1):
                yield _decode(line, file, row)

    reader = csv.DictReader(lines(), strict=True)
    row = 1
    try:
        for row, fields in enumerate(reader, 1):
            if None in fields or None in fields.values():
                found = (
                    len(fields) - (None in fields) - sum(v is None for v in fields.values()) + len(fields.get(None, ()))
                )
                raise UserError(
                    f"{file}, row {row}: {found} fields where the header names {len(reader.fieldnames)}: "
                    "a row is cut off or a comma is not quoted"
                )
            yield Record(fields, file, row)
    except csv.Error as e:
        raise UserError(f"{file}, row {row + 1}: not CSV ({e})") from None


def _parquet(file: Path) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    try:
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=1024):
                for fields in batch.to_pylist():
                    row += 1
                    yield Record(fields, file, row)
    except (pa.ArrowException, OSError) as e:
        raise UserError(f"{file}: not a readable Parquet file, after row {row} ({e})") from None


def _record(value: Any, file: Path, row: int) -> Record:
    if not isinstance(value, dict):
        raise UserError(f"{file}, row {row}: {_kind(value)} where a record should be")
    return Record(value, file, row)


def _kind(value: Any) -> str:
    names = {dict: "a record", list: "a list", str: "a text", bool: "true or false", type(None): "nothing (null)"}
    return names.get(type(value), f"a {type(value).__name__}")


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
