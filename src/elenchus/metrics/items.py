"""Between `items` tables (metric, item, value, weight) and the arrays that the bootstrap takes."""

from __future__ import annotations

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
    crossed: whether all seeds hold the same items.
    """

    values: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]
    items: tuple[str, ...]
    crossed: bool

    def arrays(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (values, weights) of a metric's parts, each (parts, seeds, items)."""
        parts = catalogue.parts_of(metric)
        return np.stack([self.values[p] for p in parts]), np.stack([self.weights[p] for p in parts])

    def of_seeds(self, at: slice) -> Stack:
        """Return the stack of some of the seeds."""
        return Stack(
            {p: v[at] for p, v in self.values.items()},
            {p: w[at] for p, w in self.weights.items()},
            self.items,
            self.crossed,
        )


def stack(tables: list[pd.DataFrame]) -> Stack:
    """Return the stack of one `items` table a seed; ValueError where a table holds an item of a metric twice."""
    names = [np.unique(t["item"].to_numpy(dtype=object).astype(str)) for t in tables]
    items = np.unique(np.concatenate(names))
    parts = sorted({p for t in tables for p in t["metric"].unique()})
    values = np.zeros((len(parts), len(tables), len(items)))
    weights = np.zeros_like(values)
    for s, table in enumerate(tables):
        at = (
            np.searchsorted(parts, table["metric"].to_numpy(dtype=object).astype(str)),
            np.searchsorted(items, table["item"].to_numpy(dtype=object).astype(str)),
        )
        flat = at[0] * len(items) + at[1]
        if len(np.unique(flat)) != len(flat):
            raise ValueError("an items table holds an item of a metric twice")
        weight = table["weight"].to_numpy(dtype=float)
        values[at[0], s, at[1]] = np.where(weight > 0, table["value"].to_numpy(dtype=float), 0.0)
        weights[at[0], s, at[1]] = weight
    crossed = all(len(n) == len(items) for n in names)
    return Stack(dict(zip(parts, values)), dict(zip(parts, weights)), tuple(map(str, items)), crossed)


def measured(of: Stack) -> list[str]:
    """Return the metrics that a stack's parts allow and for which each part carries weight."""
    metrics = catalogue.computable(of.values)
    # A calibration bin without critiques is a gap of 0 over all critiques, never an absent part.
    return [m for m in metrics if all(of.weights[p].any() for p in catalogue.parts_of(m))]


def interval(of: Stack, metric: str, seed: int = 0) -> bootstrap.Interval:
    """Return a metric's interval over the stack's seeds and items."""
    facts = catalogue.find(metric)
    return bootstrap.interval(*of.arrays(metric), facts.statistic, seed=seed, crossed=of.crossed, bounds=facts.bounds)


def difference(
    better: list[pd.DataFrame], than: list[pd.DataFrame] | None, metric: str, seed: int = 0
) -> bootstrap.Difference:
    """Return metric(better) - metric(than), paired by seed (the lists' order) and item; metric(better) where than is None.

    ValueError where the two were not measured on the same items, or in different numbers of seeds.
    """
    facts = catalogue.find(metric)
    if than is None:
        of = stack(better)
        return bootstrap.difference(
            of.arrays(metric), None, facts.statistic, seed=seed, crossed=of.crossed, bounds=facts.bounds
        )
    if len(better) != len(than):
        raise ValueError(f"{len(better)} seeds against {len(than)}")
    for s, (a, b) in enumerate(zip(better, than, strict=True)):
        if set(a["item"]) != set(b["item"]):
            raise ValueError(f"seed number {s + 1} of {len(better)}: measured on different problems, so not paired")
    both, n = stack([*better, *than]), len(better)
    low, high = facts.bounds or (None, None)
    return bootstrap.difference(
        both.of_seeds(slice(0, n)).arrays(metric),
        both.of_seeds(slice(n, None)).arrays(metric),
        facts.statistic,
        seed=seed,
        crossed=both.crossed,
        bounds=(low - high, high - low) if facts.bounds else None,
    )
