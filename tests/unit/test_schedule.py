"""The simulated scheduler: graphs worked out by hand, and bounds that no schedule may leave."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elenchus import schedule
from elenchus.errors import UserError
from elenchus.schedule import Task

CHAIN = [Task(3), Task(4, 1, (0,)), Task(5, 1, (1,))]
INDEPENDENT = [Task(2) for _ in range(10)]
# 1 s, then four of 4 s, then 2 s
FORK_JOIN = [Task(1), *(Task(4, 1, (0,)) for _ in range(4)), Task(2, 1, (1, 2, 3, 4))]


@pytest.mark.parametrize("gpus", [1, 2, 64])
def test_a_chain_gains_nothing_from_gpus_and_waits_in_the_queue_each_time(gpus):
    assert schedule.run(CHAIN, gpus).starts == (0, 3, 7)
    assert schedule.run(CHAIN, gpus).makespan == 12
    assert schedule.run(CHAIN, gpus, queue=10).starts == (10, 23, 37)


@pytest.mark.parametrize(("gpus", "makespan"), [(1, 20), (3, 8), (4, 6), (10, 2), (512, 2)])
def test_independent_tasks_fill_the_gpus(gpus, makespan):
    assert schedule.run(INDEPENDENT, gpus).makespan == makespan


@pytest.mark.parametrize(("gpus", "makespan"), [(1, 19), (2, 11), (3, 11), (4, 7), (8, 7)])
def test_a_fork_and_join(gpus, makespan):
    assert schedule.run(FORK_JOIN, gpus).makespan == makespan
    assert schedule.critical_path(FORK_JOIN) == 7 and schedule.work(FORK_JOIN) == 19


def test_tasks_in_the_queue_hold_no_gpu():
    # Both wait from 0 to 5; the second then starts when the first is done.
    assert schedule.run([Task(2), Task(2)], 1, queue=5).starts == (5, 7)


def test_a_task_too_wide_for_what_is_free_lets_others_by():
    tasks = [Task(4, 1), Task(2, 2), Task(3, 1)]
    found = schedule.run(tasks, 2)
    assert found.starts == (0, 4, 0) and found.makespan == 6


def test_tasks_without_gpus_never_wait_for_them():
    found = schedule.run([Task(10), Task(1, 0), Task(1, 1, (1,))], 1)
    assert found.starts == (0, 0, 10)


def test_no_more_jobs_are_submitted_than_may_be_at_once():
    assert schedule.run(INDEPENDENT, 512, at_once=5).makespan == 4
    assert schedule.run(INDEPENDENT, 512, at_once=5, queue=1).makespan == 6  # the queue's time is theirs, too


def test_the_plan_s_order_decides_who_comes_first():
    # Graham's anomaly in small: the long task last in the order costs a third more than first.
    late = [Task(1), Task(1), Task(2)]
    assert schedule.run(late, 2).makespan == 3
    assert schedule.run(late[::-1], 2).makespan == 2
    assert schedule.longest_first(late) == [1, 2, 0]
    assert schedule.run(late, 2, rank=schedule.longest_first(late)).makespan == 2
    # the short task that much depends on before the long one that nothing does
    assert schedule.longest_first([Task(5), Task(1), Task(6, 1, (1,))]) == [2, 0, 1]


def test_graham_s_bound_is_reached_by_its_own_example():
    # m (m - 1) tasks of 1 before one of m: 2 m - 1 against the best, m
    m = 4
    tasks = [Task(1) for _ in range(m * (m - 1))] + [Task(m)]
    assert schedule.run(tasks, m).makespan == 2 * m - 1 == schedule.graham(tasks, m)


def test_too_few_gpus_are_said():
    with pytest.raises(UserError, match="2 GPUs are too few: a stage needs 4"):
        schedule.run([Task(1, 4)], 2)


def test_a_group_waits_for_all_that_its_tasks_need():
    # two small ones after tasks of 1 s and 6 s, two lanes: together from 6 to 9
    tasks = [Task(1), Task(6), Task(2, 1, (0,)), Task(3, 1, (1,)), Task(1, 1, (2,))]
    found = schedule.grouped(tasks, [[2, 3]])
    assert sorted(t.seconds for t in found) == [1, 1, 3, 6]
    (group,) = [t for t in found if len(t.parents) == 2]
    assert group.seconds == 3 and group.gpus == 2
    assert schedule.run(found, 8).makespan == 10
    three = schedule.grouped([Task(2, 0), Task(2, 0), Task(2, 0)], [[0, 1, 2]])
    assert three == [Task(4, 0)]


def test_times_in_whole_1024ths_add_up_in_any_order():
    parts = [schedule.exact(x) for x in (0.1, 0.2, 0.3, 1e5 / 7)]
    assert sum(parts) == sum(reversed(parts)) and all(
        abs(a - b) < 1e-3 for a, b in zip(parts, (0.1, 0.2, 0.3, 1e5 / 7))
    )


def test_a_group_that_needs_itself_is_refused():
    with pytest.raises(ValueError, match="needs itself"):
        schedule.grouped([Task(1), Task(1, 1, (0,)), Task(1, 1, (1,))], [[0, 2]])


@st.composite
def graphs(draw, widest=1):
    n = draw(st.integers(1, 14))
    tasks = []
    for i in range(n):
        parents = tuple(sorted(draw(st.sets(st.integers(0, i - 1), max_size=3)))) if i else ()
        tasks.append(Task(draw(st.integers(0, 9)), draw(st.integers(0 if widest > 1 else 1, widest)), parents))
    return tasks


@given(graphs(), st.integers(1, 6), st.integers(0, 4))
def test_makespans_lie_between_the_bounds(tasks, gpus, queue):
    made = schedule.run(tasks, gpus, queue=queue).makespan
    assert schedule.at_least(tasks, gpus, queue) <= made + 1e-9
    first = schedule.run(tasks, gpus, queue=queue, rank=schedule.longest_first(tasks, queue)).makespan
    assert schedule.at_least(tasks, gpus, queue) - 1e-9 <= first
    assert max(made, first) <= schedule.graham(tasks, gpus, queue) + 1e-9
    if not queue:
        best = schedule.at_least(tasks, gpus)
        assert made <= (2 - 1 / gpus) * best + 1e-9  # Graham 1969, against the lower bound on the best


@given(graphs(widest=4), st.integers(4, 8), st.integers(0, 4))
def test_wide_tasks_and_tasks_without_gpus_keep_to_the_bounds_too(tasks, gpus, queue):
    made = schedule.run(tasks, gpus, queue=queue)
    assert schedule.at_least(tasks, gpus, queue) <= made.makespan + 1e-9
    assert made.makespan <= schedule.graham(tasks, gpus, queue) + 1e-9


@given(graphs(widest=4), st.integers(4, 8), st.integers(0, 4), st.integers(0, 3))
def test_schedules_are_possible(tasks, gpus, queue, at_once):
    found = schedule.run(tasks, gpus, queue=queue, at_once=at_once)
    for task, start, end in zip(tasks, found.starts, found.ends):
        assert end == start + task.seconds
        assert all(start >= found.ends[p] + queue for p in task.parents)
        running = [t for t, s, e in zip(tasks, found.starts, found.ends) if s <= start < e]
        assert sum(t.gpus for t in running) <= gpus
        under_way = [t for t, s, e in zip(tasks, found.starts, found.ends) if s - queue <= start < e]
        assert not at_once or len(under_way) <= at_once


@given(graphs(), st.integers(1, 5))
def test_groups_keep_the_work_and_every_order(tasks, size):
    leaves = [i for i in range(len(tasks)) if not any(i in t.parents for t in tasks)]
    chunks = [leaves[k : k + size] for k in range(0, len(leaves), size)]
    found = schedule.grouped(tasks, chunks, side_by_side=1)
    assert schedule.work(found) == schedule.work(tasks)
    assert len(found) == len(tasks) - sum(len(c) - 1 for c in chunks)
    assert all(p < i for i, t in enumerate(found) for p in t.parents)
