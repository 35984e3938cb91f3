"""Overlap of a training table with a benchmark: the same text, or the same n words in a row.

Words are compared in lower case without punctuation, so that layout hides nothing. An item that is shorter than n words
overlaps where all of it stands in one training text. The share of an item's n-grams that occur anywhere in training says
how much of it was seen (GPT-3's and later reports use 13 words, PaLM's 8).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

N = 13
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Overlap:
    """What training has of one item. exact: a training text is the item, word for word. share: of its n-grams, in [0, 1].

    where: row of the first training text that has something of it, -1 none.
    """

    item: str
    exact: bool
    share: float
    where: int


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return WORD.findall(text.lower())


def find(
    items: Iterable[tuple[str, str]],
    training: Iterable[str],
    n: int = N,
    split: Callable[[str], list[str]] = words,
) -> list[Overlap]:
    """Return the overlap of every item (its id, its text) with the training texts, in the items' order.

    The benchmark is in memory, training is streamed. split: what makes words of a
    text. ValueError where n is below 1, or an item has no word.
    """
    if n < 1:
        raise ValueError(f"n = {n} words in a row; at least 1")
    names, wholes, grams = [], {}, {}  # wholes: digest -> items; grams: length -> digest -> [(item, which gram)]
    totals: list[int] = []
    for i, (name, text) in enumerate(items):
        found = split(text)
        if not found:
            raise ValueError(f"item {name!r} has no word to compare")
        names.append(name)
        wholes.setdefault(_digest(found), []).append(i)
        length = min(n, len(found))
        own = set(_grams(found, length))
        totals.append(len(own))
        for gram in own:
            grams.setdefault(length, {}).setdefault(gram, []).append(i)
    seen: list[set[int]] = [set() for _ in names]
    exact, where = [False] * len(names), [-1] * len(names)
    for row, text in enumerate(training):
        found = split(text)
        for i in wholes.get(_digest(found), ()):
            exact[i] = True
        for length, known in grams.items():
            for gram in _grams(found, length):
                for i in known.get(gram, ()):
                    seen[i].add(gram)
                    where[i] = row if where[i] < 0 else where[i]
    return [Overlap(name, exact[i], len(seen[i]) / totals[i], where[i]) for i, name in enumerate(names)]


def summary(found: list[Overlap], threshold: float = 0.5) -> dict[str, float]:
    """Return how many items there are, are in training exactly, share any n-gram, and share `threshold` of theirs or more."""
    return {
        "items": len(found),
        "exact": sum(o.exact for o in found),
        "any": sum(o.share > 0 for o in found),
        "half_or_more" if threshold == 0.5 else f"share_{threshold:g}_or_more": sum(
            o.share >= threshold for o in found
        ),
    }


def _grams(found: list[str], length: int) -> Iterator[int]:
    for i in range(len(found) - length + 1):
        yield _digest(found[i : i + length])


def _digest(found: list[str]) -> int:
    return int.from_bytes(blake2b("\x1f".join(found).encode(), digest_size=8).digest(), "little")
