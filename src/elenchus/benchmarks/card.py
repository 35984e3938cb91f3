"""What is known of a data set: splits, files, counts, licence, flaws; and which files of a folder are its."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from elenchus.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Card:
    """A data set's card.

    splits: split -> the patterns of its files below the folder, the first that matches counts; a pattern with "*" may
    match several files, read in order of their names. A split "*" stands for any name, and its pattern's "*" is the name.
    rows: split -> records of the official release. sha256: file name -> digest of known copies, to recognise them by.
    hub: repository on the Hugging Face hub, "" none. revision: its commit that is fetched, which public code pins, too; "" where
    none is known to be the right one. restricted: why items must not be published, "" where they may. tested: on what the
    loader is tested.
    """

    title: str
    source: str
    licence: str
    splits: dict[str, tuple[str, ...]]
    rows: dict[str, int] = field(default_factory=dict)
    sha256: dict[str, tuple[str, ...]] = field(default_factory=dict)
    hub: str = ""
    revision: str = ""
    flaws: str = ""
    canary: str = ""
    restricted: str = ""
    tested: str = "the published files"


def files(name: str, card: Card, folder: Path) -> dict[str, list[Path]]:
    """Return {split: files} of what `folder` has of the set; UserError where it has nothing of it."""
    if not folder.is_dir():
        raise UserError(f"{name}: no folder {folder}; name the one that holds {_wanted(card)}")
    found: dict[str, list[Path]] = {}
    for split, patterns in card.splits.items():
        for pattern in patterns:
            matches = sorted(folder.glob(pattern))
            if matches and split == "*":
                found |= {_star(pattern, path.relative_to(folder)): [path] for path in matches}
            elif matches:
                found[split] = matches
            if matches:
                break
    if not found:
        there = sorted(p.name for p in folder.iterdir())[:8]
        raise UserError(
            f"{name}: nothing of it in {folder}; wanted: {_wanted(card)}; there: {', '.join(there) or 'nothing'}"
        )
    return found


def chosen(name: str, found: dict[str, list[Path]], split: str | None) -> Iterator[tuple[str, list[Path]]]:
    """Yield the splits that are asked for (None: all that are there); UserError for one that is not there."""
    if split is not None and split not in found:
        raise UserError(f"{name}: no split {split!r} here{did_you_mean(split, found)}; splits: {', '.join(found)}")
    for key, paths in found.items():
        if split in (None, key):
            yield key, paths


def _star(pattern: str, path: Path) -> str:
    """Return what the pattern's one "*" stands for."""
    head, _, tail = pattern.partition("*")
    text = path.as_posix()
    return text[len(head) : len(text) - len(tail)]


def _wanted(card: Card) -> str:
    return ", ".join(" or ".join(patterns) for patterns in card.splits.values())
