"""Paired bootstrap over problems and seeds: the interval of a metric, and of the difference of two arms.

A metric is a smooth function (`statistic`) of one or more ratios r_c = sum w v / sum w over cells (seed, problem).
Values v and weights w have shape (components, seeds, problems); a cell without data has weight 0. The bootstrap draws
problems and seeds with replacement, each for itself, and weights a cell by the product (the pigeonhole bootstrap, Owen
2007, Ann. Appl. Stat. 1:386), so that all arms and components share the draws and comparisons are paired.

Three seeds are few: plain percentiles would be far too narrow where seeds differ, since they take the variance between
seeds to be 2/3 of what it is, and its estimate for exact. The draws therefore give the interval's lopsidedness only, as
far as problems and not seeds carry the variance. Its width is that of Student's t with a variance that is unbiased for
two crossed random factors (seeds, problems) and Satterthwaite's degrees of freedom, both from the linearised cells.
Everything is deterministic in `seed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from elenchus import seeds

Statistic = Callable[[np.ndarray], np.ndarray]  # (..., components) -> (...)
DRAWS = 2000
BLOCK = 2**20  # numbers in one block of draws
LEVEL = 0.95
POWER = 0.8


@dataclass(frozen=True)
class Interval:
    """A metric's value and its interval at `LEVEL`; NaN where no cell carries weight.

    se: standard error over problems and seeds. df: its degrees of freedom.
    """

    value: float
    low: float
    high: float
    se: float
    df: float
    seeds: int
    items: int


@dataclass(frozen=True)
class Difference(Interval):
    """The paired difference of two arms.

    effect: Cohen's d_z, the difference over the standard deviation of the problems' own differences (averaged over
    seeds); NaN where they do not vary. mdd: minimum detectable difference, the true difference that a two-sided test at
    1 - LEVEL would find with probability POWER.
    """

    effect: float
    mdd: float


def one(ratios: np.ndarray) -> np.ndarray:
    """Return the only component's ratio: the statistic of plain means."""
    return ratios[..., 0]


def interval(
    values: np.ndarray,
    weights: np.ndarray,
    statistic: Statistic = one,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    crossed: bool = True,
    bounds: tuple[float, float] | None = None,
) -> Interval:
    """Return the interval of a metric.

    crossed: whether all seeds share their problems; otherwise problems are taken as nested in seeds, whose means then
    carry all the uncertainty. bounds: the metric's range, to which the interval is cut.
    """
    ratios, cells = _point(values, weights), None
    value = float(statistic(ratios))
    if np.isfinite(value):
        cells = _linearise(values, weights, ratios, statistic)
    replicates = statistic(_replicates(values, weights, draws, seed))
    return Interval(**_summarise(value, replicates, cells, values.shape[1:], crossed, bounds))


def difference(
    a: tuple[np.ndarray, np.ndarray],
    b: tuple[np.ndarray, np.ndarray] | None,
    statistic: Statistic = one,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    crossed: bool = True,
    bounds: tuple[float, float] | None = None,
) -> Difference:
    """Return metric(a) - metric(b); a and b are (values, weights) over the same seeds and problems in the same order.

    b None stands for zero: a metric against nothing. ValueError where their shapes differ.
    """
    arms = [a] if b is None else [a, b]
    if a[0].shape != arms[-1][0].shape:
        raise ValueError(f"paired arms must have equal shapes, not {a[0].shape} and {b[0].shape}")

    def less(of: list) -> np.ndarray:
        return of[0] if b is None else of[0] - of[1]

    points = [_point(*arm) for arm in arms]
    value = float(less([statistic(r) for r in points]))
    cells = None
    if np.isfinite(value):
        cells = less([_linearise(*arm, r, statistic) for arm, r in zip(arms, points, strict=True)])
    replicates = less([statistic(_replicates(*arm, draws, seed)) for arm in arms])
    facts = _summarise(value, replicates, cells, a[0].shape[1:], crossed, bounds)
    spread = cells.mean(axis=0).std(ddof=1) if cells is not None and cells.shape[1] > 1 else 0.0
    mdd = (
        facts["se"] * sum(_student(p, facts["df"]) for p in (0.5 + LEVEL / 2, POWER))
        if facts["se"] > 0
        else facts["se"]
    )
    return Difference(**facts, effect=value / float(spread) if spread > 0 else float("nan"), mdd=mdd)


@lru_cache(maxsize=8)
def _resample(n: int, draws: int, seed: int, what: str) -> np.ndarray:
    """Return how often each of n things is drawn in each bootstrap draw: (draws, n), rows summing to n.

    In bytes, since these are the largest arrays here: of more than 255 things none is drawn 256 times.
    """
    rng, counts = seeds.numpy_rng("bootstrap", what, seed, n), np.empty((draws, n), np.uint8)
    for block in _blocks(draws, n):
        counts[block] = rng.multinomial(n, np.full(n, 1 / n), size=block.stop - block.start)
    counts.flags.writeable = False
    return counts


def _blocks(draws: int, n: int) -> Iterator[slice]:
    """Yield slices of the draws, of at most `BLOCK` numbers each."""
    size = max(BLOCK // n, 1)
    for start in range(0, draws, size):
        yield slice(start, min(start + size, draws))


def _divide(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=np.asarray(bottom) > 0)


def _point(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the ratios (components,) of all the data."""
    return _divide((weights * values).sum(axis=(1, 2)), weights.sum(axis=(1, 2)))


def _replicates(values: np.ndarray, weights: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Return the ratios (draws, components) of the resampled data."""
    _, n_seeds, n_items = values.shape
    by_item = _resample(n_items, draws, seed, "problems")
    by_seed = _resample(n_seeds, draws, seed, "seeds").astype(np.float64)
    weighted, found = (weights * values, weights), []
    for block in _blocks(draws, n_items):
        drawn = by_item[block].astype(np.float64)
        totals = [np.einsum("csi,bi->bcs", x, drawn, optimize=True) for x in weighted]
        found.append(_divide(*(np.einsum("bcs,bs->bc", total, by_seed[block]) for total in totals)))
    return np.concatenate(found)


def _linearise(values: np.ndarray, weights: np.ndarray, ratios: np.ndarray, statistic: Statistic) -> np.ndarray:
    """Return cells z (seeds, problems) whose mean varies as the statistic does, to first order (the delta method)."""
    step = 1e-6
    shifts = step * np.eye(len(ratios))
    slopes = (statistic(ratios + shifts) - statistic(ratios - shifts)) / (2 * step)  # (components,)
    scaled = weights * (values - ratios[:, None, None]) / weights.mean(axis=(1, 2), keepdims=True)
    return np.einsum("c,csi->si", slopes, scaled)


def _variance(z: np.ndarray, crossed: bool) -> tuple[float, float, float]:
    """Return the variance of mean(z), z (seeds, problems), its degrees of freedom, and the share due to problems.

    Two-way random effects: (MS_seed + MS_problem - MS_rest) / cells, never below its problems' part, with
    Satterthwaite's degrees of freedom.
    """
    n_seeds, n_items = z.shape
    by_seed, by_item, mean = z.mean(axis=1), z.mean(axis=0), z.mean()
    if n_seeds == 1:
        return (float(z.var(ddof=1)) / n_items if n_items > 1 else float("nan")), max(n_items - 1, 1), 1.0
    of_seeds = by_seed.var(ddof=1) / n_seeds
    if not crossed or n_items == 1:
        return float(of_seeds), n_seeds - 1, 0.0
    of_items = by_item.var(ddof=1) / n_items
    rest = ((z - by_seed[:, None] - by_item + mean) ** 2).sum() / ((n_seeds - 1) * (n_items - 1)) / z.size
    total = max(of_seeds + of_items - rest, of_items)
    if total <= 0:
        return 0.0, n_seeds - 1, 0.0
    parts = of_seeds**2 / (n_seeds - 1) + of_items**2 / (n_items - 1) + rest**2 / ((n_seeds - 1) * (n_items - 1))
    return float(total), float(total**2 / parts), float(of_items / total)


def _student(p: float, df: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, p))


def _summarise(
    value: float,
    replicates: np.ndarray,
    cells: np.ndarray | None,
    shape: tuple[int, int],
    crossed: bool,
    bounds: tuple[float, float] | None,
) -> dict:
    """Return an Interval's fields. Its width is Student's t; the draws say how much of it lies on either side."""
    nan = float("nan")
    facts = {"value": value, "low": nan, "high": nan, "se": nan, "df": nan, "seeds": shape[0], "items": shape[1]}
    if cells is None:
        return facts
    variance, facts["df"], share = _variance(cells, crossed)
    facts["se"] = float(np.sqrt(variance))
    if not np.isfinite(variance):
        return facts
    away = replicates[np.isfinite(replicates)] - value
    below, above = np.maximum(np.quantile(away, (0.5 - LEVEL / 2, 0.5 + LEVEL / 2)) * (-1, 1), 0.0)
    lean = share * float((below - above) / (below + above)) if below + above > 0 else 0.0
    half = facts["se"] * _student(0.5 + LEVEL / 2, facts["df"])
    ends = value - half * (1 + lean), value + half * (1 - lean)
    if bounds:
        ends = max(ends[0], bounds[0]), min(ends[1], bounds[1])
    return facts | {"low": ends[0], "high": ends[1]}
