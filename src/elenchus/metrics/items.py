"""Between `items` tables (metric, item, value, weight) and the arrays that the bootstrap takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from elenchus.metrics import bootstrap, catalogue

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Stack:
    """The items of one subject over several seeds.

    values, weights: {part: (seeds, items)}, weight 0 where a seed has no such item. items: their names, sorted.
    present: (seeds, items), whether a seed holds the item.
    """

    values: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]
    items: tuple[str, ...]
    present: np.ndarray

    @property
    def crossed(self) -> bool:
        """Return whether all seeds hold the same items."""
        return bool(self.present.all())

    def arrays(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (values, weights) of a metric's parts, each (parts, seeds, items); a part that is not there has weight 0."""
        parts, none = catalogue.parts_of(metric), np.zeros(self.present.shape)
        return tuple(np.stack([of.get(p, none) for p in parts]) for of in (self.values, self.weights))

    def of_seeds(self, at: slice) -> Stack:
        """Return the stack of some of the seeds."""
        return Stack(
            {p: v[at] for p, v in self.values.items()},
            {p: w[at] for p, w in self.weights.items()},
            self.items,
            self.present[at],
        )

    def over(self, items: Sequence[str]) -> Stack:
        """Return the stack over `items`, its own and others, sorted; what it lacks has weight 0."""
        if tuple(items) == self.items:
            return self
        at = np.searchsorted(np.array(items), np.array(self.items))

        def spread(a: np.ndarray) -> np.ndarray:
            wider = np.zeros((len(a), len(items)), a.dtype)
            wider[:, at] = a
            return wider

        values, weights = ({p: spread(a) for p, a in of.items()} for of in (self.values, self.weights))
        return Stack(values, weights, tuple(items), spread(self.present))


def stack(tables: Sequence[Iterable[pd.DataFrame]], parts: Iterable[str] | None = None) -> Stack:
    """Return the stack of one `items` table a seed, each in pieces; ValueError where it holds an item of a metric twice.

    parts: those wanted, None for all. In memory are 20 bytes of each row of the tables.
    """
    wanted = None if parts is None else set(parts)
    items, names = _Codes(), _Codes()
    coded = [[_code(piece, items, names, wanted) for piece in pieces] for pieces in tables]
    (item_place, item_names), (part_place, part_names) = items.sorted(), names.sorted()
    n = len(item_names)
    values = np.zeros((len(part_names), len(tables), n))
    weights, present = np.zeros_like(values), np.zeros((len(tables), n), dtype=bool)
    for s, pieces in enumerate(coded):
        for part, item, value, weight, held in pieces:
            at = part_place[part], s, item_place[item]
            values[at], weights[at] = np.where(weight > 0, value, 0.0), weight
            present[s, item_place[held]] = True
        flat = [part.astype(np.int64) * n + item for part, item, *_ in pieces]
        if len(np.unique(np.concatenate(flat or [[]]))) != sum(map(len, flat)):
            raise ValueError("an items table holds an item of a metric twice")
    return Stack(dict(zip(part_names, values)), dict(zip(part_names, weights)), tuple(item_names), present)


class _Codes:
    """Numbers for names, in the order in which they are met."""

    def __init__(self):
        self.of: dict[str, int] = {}

    def code(self, names) -> np.ndarray:
        """Return the number of each name."""
        import pandas as pd

        places, met = pd.factorize(names)
        return np.array([self.of.setdefault(str(name), len(self.of)) for name in met], np.int32)[places]

    def sorted(self) -> tuple[np.ndarray, list[str]]:
        """Return (the place of each number among the sorted names, these)."""
        names = sorted(self.of)
        place = np.empty(len(names), np.int64)
        place[[self.of[name] for name in names]] = np.arange(len(names))
        return place, names


def _code(piece: pd.DataFrame, items: _Codes, names: _Codes, wanted: set[str] | None) -> tuple[np.ndarray, ...]:
    """Return (part, item, value, weight) of each row, and the items of all rows, wanted or not; parts, items as numbers."""
    item = items.code(piece["item"])
    held = np.unique(item)
    if wanted is not None:
        kept = piece["metric"].isin(wanted).to_numpy()
        piece, item = piece[kept], item[kept]
    return (
        names.code(piece["metric"]),
        item,
        piece["value"].to_numpy(dtype=float),
        piece["weight"].to_numpy(dtype=float),
        held,
    )


def measured(of: Stack) -> list[str]:
    """Return the metrics that a stack's parts allow and for which each part carries weight."""
    metrics = catalogue.computable(of.values)
    # A calibration bin without critiques is a gap of 0 over all critiques, never an absent part.
    return [m for m in metrics if all(of.weights[p].any() for p in catalogue.parts_of(m))]


def interval(of: Stack, metric: str, seed: int = 0) -> bootstrap.Interval:
    """Return a metric's interval over the stack's seeds and items."""
    facts = catalogue.find(metric)
    return bootstrap.interval(*of.arrays(metric), facts.statistic, seed=seed, crossed=of.crossed, bounds=facts.bounds)


def difference(better: Stack, than: Stack | None, metric: str, seed: int = 0) -> bootstrap.Difference:
    """Return metric(better) - metric(than), paired by seed and item; metric(better) where than is None.

    ValueError where the two were not measured on the same items, or in different numbers of seeds.
    """
    facts = catalogue.find(metric)
    if than is None:
        return bootstrap.difference(
            better.arrays(metric), None, facts.statistic, seed=seed, crossed=better.crossed, bounds=facts.bounds
        )
    if len(better.present) != len(than.present):
        raise ValueError(f"{len(better.present)} seeds against {len(than.present)}")
    every = sorted({*better.items, *than.items})
    better, than = better.over(every), than.over(every)
    for s, (a, b) in enumerate(zip(better.present, than.present, strict=True)):
        if (a != b).any():
            raise ValueError(
                f"seed number {s + 1} of {len(better.present)}: measured on different problems, so not paired"
            )
    low, high = facts.bounds or (None, None)
    return bootstrap.difference(
        better.arrays(metric),
        than.arrays(metric),
        facts.statistic,
        seed=seed,
        crossed=better.crossed,
        bounds=(low - high, high - low) if facts.bounds else None,
    )
