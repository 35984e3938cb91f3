import pytest
from hypothesis import given
from hypothesis import strategies as st

from elenchus.rounds import balance, selection
from elenchus.rounds.balance import Cell, balance_score
from elenchus.rounds.selection import Candidate, select

POOLS = st.lists(
    st.tuples(st.sampled_from("pqr"), st.sampled_from("abcd"), st.integers(-4, 4), st.booleans()), max_size=20
).map(lambda rows: [Candidate(str(i), q, k, r / 2, ok) for i, (q, k, r, ok) in enumerate(rows)])


def candidate(i, query, key, reward, right=True):
    return Candidate(str(i), query, key, reward, right)


def ids(pool):
    return [c.id for c in pool]


@pytest.mark.parametrize(
    ("kept", "right", "target", "score"),
    [
        (8, 4, 6, 4 / 6 * 0.5),
        (10, 8, 6, 0.8),
        (6, 6, 6, 1.0),
        (64, 64, 6, 1.0),
        (3, 3, 6, 0.5),
        (0, 0, 6, 0.0),
        (4, 0, 6, 0.0),
    ],
)
def test_balance_score_by_hand(kept, right, target, score):
    assert balance_score(kept, right, target) == pytest.approx(score)


def test_target_is_the_papers():
    assert balance.target_per_query(67_500, 11_500) == 6  # MATH
    assert balance.target_per_query(13_500, 2_627) == 6  # APPS


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="impossible"):
        balance_score(2, 3, 6)


@given(st.integers(0, 40), st.data(), st.integers(1, 10))
def test_balance_score_is_one_iff_enough_and_all_right(kept, data, target):
    right = data.draw(st.integers(0, kept))
    score = balance_score(kept, right, target)
    assert 0 <= score <= 1
    assert (score == 1) == (right == kept and right >= target)


def test_measure_counts_unique_right_ones_over_all_kept():
    pool = [
        candidate(0, "p", "a", 1.5),
        candidate(1, "p", "a", 1.5),
        candidate(2, "p", "b", 0.5, False),
        candidate(3, "p", "c", 0.0),  # not above the threshold: strict
        candidate(4, "q", "d", -0.5, False),
    ]
    cell = balance.measure(pool, ["p", "q"], 1.0, 0.0, target=2)  # a and b of p, one of two right
    assert cell.score == pytest.approx((0.5 * (1 / 2) + 0) / 2)
    assert (cell.kept, cell.accuracy) == (2, 0.5)
    every = balance.measure(pool, ["p", "q"], 1.0, 0.0, target=2, unique=False)
    assert every.score == pytest.approx((1.0 * (2 / 3) + 0) / 2)
    # the code's form keeps the best of each query where one is wanted: a of p, and nothing of q
    filled = balance.measure(pool, ["p", "q"], 1.0, 0.0, target=2, selector="topk_fill", wanted=1)
    assert filled.score == pytest.approx((0.5 * 1.0 + 0) / 2)


def test_answer_reward_alone_leaves_only_the_temperature():
    # with an answer-only reward and a threshold in [0, 1) all kept are right, and duplicates are kept once: the second factor is 1
    pool = [candidate(i, "p", str(i), selection.reward(i < 3), i < 3) for i in range(6)]
    pool += [candidate(6, "p", "0", selection.reward(True))]
    scores = {t: balance.measure(pool, ["p"], 1.0, t, target=6).score for t in (0.0, 0.5, 0.9)}
    assert set(scores.values()) == {0.5}


def test_best_breaks_ties_toward_low_temperature_then_high_threshold():
    cells = [Cell(0.5, 0.0, 0.7, 1, 1), Cell(0.5, 0.2, 0.7, 1, 1), Cell(1.0, 0.4, 0.7, 1, 1), Cell(0.3, 0.9, 0.6, 1, 1)]
    assert balance.best(cells) == cells[1]
    assert balance.best(cells[::-1]) == cells[1]
    with pytest.raises(ValueError, match="empty"):
        balance.best([])


def test_reward_ranges_of_the_paper():
    assert selection.reward(True) == 1.0
    assert selection.reward(True, [0.9, 0.0]) == 0.0 and selection.reward(True, [1.0, 1.0]) == 2.0
    assert selection.reward(False, [0.0]) == -1.0 and selection.reward(False, [1.0]) == 1.0
    assert selection.reward(True, [0.5, 0.75], process_weight=0.2) == pytest.approx(1.0)


def test_weighted_terms():
    assert selection.weighted(
        {"answer": 1.0, "verdict": 0.5, "x": 9}, {"answer": 1.0, "verdict": 0.2}
    ) == pytest.approx(1.1)
    with pytest.raises(ValueError, match="no reward term process; terms: answer"):
        selection.weighted({"answer": 1.0}, {"process": 1.0})


def test_duplicates_keep_the_first_of_the_best():
    pool = [
        candidate(0, "p", "a", 0.1),
        candidate(1, "p", "a", 0.9),
        candidate(2, "p", "a", 0.9),
        candidate(3, "q", "a", 0.0),
    ]
    assert ids(selection.without_duplicates(pool)) == ["1", "3"]


def test_fill_k_is_the_smallest_that_fills():
    pool = [candidate(i, q, str(i), i) for i, q in enumerate("pppq")]
    assert [selection.fill_k(pool, n) for n in (1, 2, 3, 4, 5)] == [1, 1, 2, 3, 64]


def test_wanted_takes_whole_ranks_of_all_queries_first():
    pool = [
        candidate(0, "p", "a", 3),
        candidate(1, "p", "b", 2),
        candidate(2, "q", "c", 1),
        candidate(3, "q", "d", 0.5),
    ]
    assert ids(select(pool, threshold=0, wanted=2)) == ["0", "2"]
    assert ids(select(pool, threshold=0, wanted=3)) == ["0", "1", "2"]


@given(POOLS, st.integers(-4, 4), st.integers(0, 3), st.integers(1, 8), st.sampled_from(selection.SELECTORS))
def test_select_properties(pool, threshold, per_query, wanted, selector):
    kept = select(pool, selector=selector, threshold=threshold / 2, per_query=per_query, wanted=wanted)
    assert ids(kept) == [i for i in ids(pool) if i in set(ids(kept))]  # a subset, in order
    assert all(c.reward > threshold / 2 for c in kept)
    assert len({(c.query, c.key) for c in kept}) == len(kept)
    if per_query:
        assert all(sum(c.query == q for c in kept) <= per_query for q in "pqr")
    if selector == "threshold":
        assert len(kept) <= wanted
        stricter = select(pool, threshold=threshold / 2 + 1, dedup=False)
        assert set(ids(stricter)) <= set(ids(select(pool, threshold=threshold / 2, dedup=False)))


@given(POOLS, st.integers(0, 4))
def test_top_k_keeps_the_best_of_each_query(pool, k):
    kept = selection.top_k(pool, k)
    for q in "pqr":
        all_q, kept_q = [c for c in pool if c.query == q], [c for c in kept if c.query == q]
        assert len(kept_q) == min(k, len(all_q))
        if kept_q:
            assert min(c.reward for c in kept_q) >= max((c.reward for c in all_q if c not in kept_q), default=-9)


def test_unknown_selector_and_missing_size_are_refused():
    with pytest.raises(ValueError, match="not one of"):
        select([], selector="best")
    with pytest.raises(ValueError, match="wanted >= 1"):
        select([], selector="topk_fill")
