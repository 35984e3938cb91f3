"""Published benchmarks. A data set is one module in `benchmarks/sets/`; nothing else has to know of it.

A set's module defines

    CARD                        its `Card`: splits and their files, counts, licence, known flaws
    item(record, place) -> Item one record's problem, with published solutions and critiques where the set has them

and, where its answers are not short answers that `elenchus.answers.grade` compares,

    check(problem, answer) -> bool

Sets are read from a local folder (or a pinned revision of the hub, see `fetch.py`) and streamed: a record is in memory
only while it is looked at.
"""

from __future__ import annotations

import importlib
import pkgutil
from array import array
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from pathlib import Path
from types import ModuleType

from elenchus import answers
from elenchus.benchmarks import card, records
from elenchus.benchmarks import sets as sets_
from elenchus.benchmarks.items import Item
from elenchus.errors import UserError, did_you_mean
from elenchus.problems import Problem


def names() -> list[str]:
    """Return the names of all sets."""
    return sorted(m.name for m in pkgutil.iter_modules(sets_.__path__))


@cache
def load(name: str) -> ModuleType:
    """Return the module of set `name`; UserError with the nearest name where there is none."""
    if name not in names():
        raise UserError(f"unknown data set {name!r}{did_you_mean(name, names())}; data sets: {', '.join(names())}")
    return importlib.import_module(f"elenchus.benchmarks.sets.{name}")


def items(name: str, folder: Path, split: str | None = None) -> Iterator[Item]:
    """Yield the items of a set in `folder`, of one split or of all that are there, in the files' order.

    UserError, which names file, row and field, for bad input; for an id that occurs twice only at a split's end.
    """
    module = load(name)
    for key, paths in card.chosen(name, card.files(name, module.CARD, folder), split):
        yield from split_items(module, key, paths)


def split_items(module: ModuleType, split: str, paths: list[Path]) -> Iterator[Item]:
    """Yield the items of one split's files; `meta` of each problem gets "split" and "key"."""
    seen, row = Seen(), 0
    for path in paths:
        empty = True
        for record in records.read(path):
            empty, row = False, row + 1
            try:
                item = module.item(record, f"{split}/{row}")
            except (KeyError, TypeError, AttributeError, IndexError, ValueError) as e:
                raise UserError(
                    f"{path}, row {record.row}: not a record of {module.CARD.title} ({type(e).__name__}: {e}); "
                    f"its fields: {', '.join(map(str, record.fields))}"
                ) from e
            item.problem.meta.update(split=split, key=item.key or str(row))
            if item.key:
                seen.add(item.key, path, record.row)
            yield item
        if empty:
            raise UserError(f"{path}: no record in it; the file is empty or was cut off")
    seen.check()


def check(problem: Problem, answer: str | None) -> bool:
    """Return whether `answer` is right for a problem of one of the sets: the set's own checker, else short answers'."""
    own = getattr(load(problem.family), "check", None) if problem.family in names() else None  # else: the user's file
    if own is not None:
        return answer is not None and own(problem, answer)
    return answers.grade(answer, problem.answer, options=tuple(problem.meta.get("options", ())))


class Seen:
    """Ids seen so far, in eight bytes each, so that files of millions of records can be checked for duplicates."""

    def __init__(self) -> None:
        self._digests = array("Q")
        self._files: list[tuple[int, Path]] = []  # (first position, file)
        self._rows = array("Q")

    def add(self, key: str, file: Path, row: int) -> None:
        """Note the id of a record."""
        if not self._files or self._files[-1][1] != file:
            self._files.append((len(self._digests), file))
        self._digests.append(int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little"))
        self._rows.append(row)

    def check(self) -> None:
        """Raise UserError where an id occurs twice, naming both rows."""
        import numpy as np

        digests = np.frombuffer(self._digests, dtype=np.uint64)
        if not len(digests):
            return
        order = np.argsort(digests, kind="stable")
        twice = np.flatnonzero(np.diff(digests[order]) == 0)
        if len(twice):
            a, b = (int(order[twice[0] + i]) for i in (0, 1))
            raise UserError(
                f"{self._file(b)}, row {self._rows[b]}: the id of row {self._rows[a]} of {self._file(a)} occurs again, "
                f"one of {len(twice)} duplicates; every id once is allowed"
            )

    def _file(self, position: int) -> Path:
        return next(f for start, f in reversed(self._files) if start <= position)
