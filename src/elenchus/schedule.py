"""How long a graph of stages takes on so many GPUs: list scheduling, as Snakemake's greedy scheduler over Slurm does it.

A job is submitted when its parents are done, waits in the queue, and starts as soon as enough GPUs are free; one that needs
none starts at once. Among those that could start, the first in the plan's order does; one that is too wide for what is free
lets others by. So no GPU idles that a waiting job could use: Graham's list scheduling (1969), whose bound `graham` gives.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from elenchus.errors import UserError


@dataclass(frozen=True)
class Task:
    """A job: its seconds, the GPUs that it holds (0: none), and the places of its parents, all before its own."""

    seconds: float
    gpus: int = 1
    parents: tuple[int, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """When each task starts and ends, in seconds from the beginning."""

    starts: tuple[float, ...]
    ends: tuple[float, ...]

    @property
    def makespan(self) -> float:
        """Return the seconds until everything is done."""
        return max(self.ends, default=0.0)


def run(
    tasks: Sequence[Task], gpus: int, *, queue: float = 0.0, at_once: int = 0, rank: Sequence[int] | None = None
) -> Schedule:
    """Return the schedule of `tasks` on `gpus` GPUs.

    queue: seconds from a job's submission to when it could start. at_once: jobs that are submitted and not done at any time
    (Snakemake's `--jobs`), 0: no limit. rank: each task's place in the order of those that could start, all different; None: the
    plan's order. UserError where a task wants more GPUs than there are.
    """
    if (widest := max((t.gpus for t in tasks), default=0)) > gpus:
        raise UserError(f"{gpus} GPUs are too few: a stage needs {widest} at once")
    children: list[list[int]] = [[] for _ in tasks]
    missing = [len(set(t.parents)) for t in tasks]
    for i, t in enumerate(tasks):
        for p in set(t.parents):
            children[p].append(i)
    starts, ends = [0.0] * len(tasks), [0.0] * len(tasks)
    rank = range(len(tasks)) if rank is None else rank
    ready = [(rank[i], i) for i, n in enumerate(missing) if not n]  # parents done, not submitted
    heapq.heapify(ready)
    could: list[tuple[int, int]] = []  # submitted, out of the queue, waiting for GPUs
    events: list[tuple[float, bool, int]] = []  # (when, whether the task comes out of the queue or else ends, which)
    now, free, under_way = 0.0, gpus, 0

    def submit() -> None:
        nonlocal under_way
        while ready and (not at_once or under_way < at_once):
            heapq.heappush(events, (now + queue, True, heapq.heappop(ready)[1]))
            under_way += 1

    def start(i: int) -> None:
        nonlocal free
        free -= tasks[i].gpus
        starts[i], ends[i] = now, now + tasks[i].seconds
        heapq.heappush(events, (ends[i], False, i))

    submit()
    while events:
        now = events[0][0]
        while events and events[0][0] == now:  # all of one moment, before GPUs are given away
            _, out_of_queue, i = heapq.heappop(events)
            if out_of_queue and tasks[i].gpus:
                heapq.heappush(could, (rank[i], i))
            elif out_of_queue:
                start(i)
            else:
                free, under_way = free + tasks[i].gpus, under_way - 1
                for c in children[i]:
                    missing[c] -= 1
                    if not missing[c]:
                        heapq.heappush(ready, (rank[c], c))
                submit()
        too_wide = []
        while could and free:
            placed = heapq.heappop(could)
            start(placed[1]) if tasks[placed[1]].gpus <= free else too_wide.append(placed)
        for placed in too_wide:
            heapq.heappush(could, placed)
    return Schedule(tuple(starts), tuple(ends))


def exact(seconds: float) -> float:
    """Return seconds in whole 1024ths: sums of such are exact, so that which tasks end at one moment is no matter of rounding."""
    return round(seconds * 1024) / 1024


def work(tasks: Sequence[Task]) -> float:
    """Return the GPU-seconds of all tasks."""
    return sum(t.seconds * t.gpus for t in tasks)


def critical_path(tasks: Sequence[Task], queue: float = 0.0) -> float:
    """Return the seconds of the longest chain of tasks, each with its wait in the queue: no number of GPUs is faster."""
    return longest(tasks, lambda t: queue + t.seconds)


def longest_first(tasks: Sequence[Task], queue: float = 0.0) -> list[int]:
    """Return each task's rank where the one with the longest chain still behind it, itself included, comes first."""
    behind = [queue + t.seconds for t in tasks]
    for i in reversed(range(len(tasks))):
        for p in tasks[i].parents:
            behind[p] = max(behind[p], queue + tasks[p].seconds + behind[i])
    ranks = [0] * len(tasks)
    for rank, i in enumerate(sorted(range(len(tasks)), key=lambda i: -behind[i])):
        ranks[i] = rank
    return ranks


def at_least(tasks: Sequence[Task], gpus: int, queue: float = 0.0) -> float:
    """Return the seconds below which no schedule on `gpus` GPUs can be."""
    return max(critical_path(tasks, queue), work(tasks) / gpus)


def graham(tasks: Sequence[Task], gpus: int, queue: float = 0.0) -> float:
    """Return the seconds above which no schedule of `run` without `at_once` can be.

    Walk back from the task that ends last to the parent that ended last, and so on: a chain. While a task of the chain waits
    for GPUs, fewer than its width are free, so at least m = gpus - widest + 1 are busy with other work. Of all chains that
    gives  work / m + max over chains of sum(queue + seconds (1 - width / m));  with widths of 1 and no queue that is
    Graham's  work / m + (1 - 1 / m) x critical path.
    """
    m = gpus - max((t.gpus for t in tasks if t.gpus), default=1) + 1
    return work(tasks) / m + longest(tasks, lambda t: queue + t.seconds * (1 - t.gpus / m))


def longest(tasks: Sequence[Task], weight: Callable[[Task], float]) -> float:
    """Return the greatest sum of weights along a chain of tasks, 0 for none."""
    found: list[float] = []
    for t in tasks:
        found.append(weight(t) + max((found[p] for p in t.parents), default=0.0))
    return max(found, default=0.0)


def grouped(tasks: Sequence[Task], groups: Sequence[Sequence[int]], side_by_side: int = 2) -> list[Task]:
    """Return the tasks with each group made one job, `side_by_side` of its tasks at a time (Snakemake's group jobs).

    A group starts when all that any of its tasks needs is there. None of its tasks may need another of them.
    """
    group_of = {i: g for g, members in enumerate(groups) for i in members}
    units: list[list[int]] = []
    placed: dict[int, int] = {}  # group -> unit
    unit_of = []
    for i in range(len(tasks)):
        g = group_of.get(i)
        if g is None or g not in placed:
            units.append([])
            if g is not None:
                placed[g] = len(units) - 1
        unit_of.append(placed[g] if g is not None else len(units) - 1)
        units[unit_of[i]].append(i)
    needs = [{unit_of[p] for i in members for p in tasks[i].parents} for members in units]
    order, place, left = [], {}, [set(n) for n in needs]
    free = [u for u, n in enumerate(left) if not n]
    children: list[list[int]] = [[] for _ in units]
    for u, n in enumerate(needs):
        for p in n:
            children[p].append(u)
    while free:
        u = heapq.heappop(free)
        place[u] = len(order)
        order.append(u)
        for c in children[u]:
            left[c].discard(u)
            if not left[c]:
                heapq.heappush(free, c)
    if len(order) < len(units):
        raise ValueError("a group needs itself: one of its tasks needs another, directly or through others")
    made = []
    for u in order:
        members = [tasks[i] for i in units[u]]
        seconds, width = members[0].seconds, members[0].gpus
        if len(members) > 1:
            seconds = run([Task(t.seconds) for t in members], side_by_side).makespan
            width = sum(sorted((t.gpus for t in members), reverse=True)[:side_by_side])
        made.append(Task(seconds, width, tuple(sorted(place[p] for p in needs[u]))))
    return made
