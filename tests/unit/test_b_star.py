"""B-STaR (2412.17256): its rules by hand, and what the recipe wires."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from elenchus import plan, problems
from elenchus.critics.drafts import Draft
from elenchus.job import Cost
from elenchus.rounds import balance, selection
from elenchus.rounds.balance import Cell
from elenchus.rounds.selection import Candidate, select
from elenchus.stages import score
from elenchus.stages.balance import Params, target_of

ROOT = Path(__file__).parents[2]

# Two queries with rewards r = 1[right] + r_prm. Of p: a (twice) and b are right, c is wrong and fools the checker, d is
# right and the checker dislikes it. Of q: e is right, f is wrong.
POOL = [
    Candidate(name, query, key, reward, right)
    for name, query, key, reward, right in (
        ("p1", "p", "a", 2.0, True),
        ("p2", "p", "a", 2.0, True),
        ("p3", "p", "b", 1.4, True),
        ("p4", "p", "c", 0.8, False),
        ("p5", "p", "d", 0.0, True),
        ("q1", "q", "e", 1.0, True),
        ("q2", "q", "f", -1.0, False),
    )
]


def ids(pool):
    return [c.id for c in pool]


@pytest.mark.parametrize(
    ("threshold", "score"),
    [
        # n* = 3. p keeps a b c d, three right of four: 3/3 * 3/4; q keeps e: 1/3 * 1
        (-0.5, (3 / 4 + 1 / 3) / 2),
        # d's reward is 0, and what is kept lies above the threshold, strictly: 2/3 * 2/3
        (0.0, (4 / 9 + 1 / 3) / 2),
        # c goes: all of p's are right, 2/3 * 1. e's reward of 1.0 is above 0.8 still
        (0.8, (2 / 3 + 1 / 3) / 2),
        # strict again: q keeps nothing and counts as 0
        (1.0, (2 / 3 + 0) / 2),
    ],
)
def test_the_balance_score_of_a_cell_by_hand(threshold, score):
    assert balance.measure(POOL, ["p", "q"], 1.0, threshold, target=3).score == pytest.approx(score)


def test_the_grid_prefers_the_threshold_that_trades_best():
    cells = [balance.measure(POOL, ["p", "q"], 1.0, t, target=3) for t in (-0.5, 0.0, 0.8, 1.0)]
    assert balance.best(cells).threshold == -0.5  # 0.542 against 0.389, 0.5 and 0.333
    cells = [balance.measure(POOL, ["p", "q"], 1.0, t, target=2) for t in (-0.5, 0.0, 0.8, 1.0)]
    assert balance.best(cells).threshold == 0.8  # two suffice: 0.625, 0.583, 0.75, 0.5


def test_equal_scores_go_to_the_lower_temperature_then_to_the_higher_threshold():
    cells = [Cell(t, tau, 0.5, 1, 1.0) for t in (1.2, 0.8, 1.0) for tau in (-0.1, 0.3, 0.1)]
    assert (balance.best(cells).temperature, balance.best(cells).threshold) == (0.8, 0.3)
    assert balance.best([*cells, Cell(1.2, -1.0, 0.51, 1, 1.0)]).temperature == 1.2


def test_the_papers_selector_keeps_all_above_the_threshold():
    assert ids(select(POOL, threshold=0.0)) == ["p1", "p3", "p4", "q1"]
    assert ids(select(POOL, threshold=0.0, dedup=False)) == ["p1", "p2", "p3", "p4", "q1"]


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (1, ["p1", "q1"]),  # K = 1: the best of p and of q
        (2, ["p1", "q1"]),
        (3, ["p1", "p3", "q1"]),  # K = 2 adds p2 only, which repeats p1; K = 3 brings the third
        (4, ["p1", "p3", "p4", "q1"]),  # K = 4
        (9, ["p1", "p3", "p4", "q1"]),  # all there is above the threshold
    ],
)
def test_the_codes_selector_cuts_at_k_and_then_drops_duplicates(wanted, kept):
    assert ids(select(POOL, selector="topk_fill", threshold=0.0, wanted=wanted)) == kept


def test_k_counts_places_that_duplicates_take():
    above = selection.above(POOL, 0.0)
    assert [selection.fill_k(above, n, dedup=True) for n in (2, 3, 4, 5)] == [1, 3, 4, 64]
    assert [selection.fill_k(above, n) for n in (2, 3, 4, 5)] == [1, 2, 3, 4]
    assert selection.fill_k(above, 5, most=2) == 2


def test_both_definitions_of_n_star():
    assert target_of(Params(target=0, wanted=67_500, queries=11_500), 64) == 6  # the paper: ceil(N / M)
    assert target_of(Params(target=8, wanted=67_500, queries=11_500), 64) == 8  # the released code
    assert target_of(Params(target=6, samples=16), 8) == 3  # a pool with half of the round's samples: half of n*


def test_process_reward_by_hand():
    assert selection.reward(True, [1.0, 1.0, 0.75]) == pytest.approx(1.5)
    assert selection.reward(False, [1.0, 0.0]) == pytest.approx(-1.0)
    assert selection.reward(False, [0.9, 0.75]) == pytest.approx(0.5)  # wrong, and the checker is fooled
    assert (selection.reward(True), selection.reward(False)) == (1.0, 0.0)


def checked(drafts, seed=1, **dials):
    job = SimpleNamespace(params=score.Params(**dials), seed=seed, cost=Cost())
    by, _ = score._by_checker(job)
    return by(drafts), job.cost.oracle_calls


def test_the_noisy_checker_errs_alike_on_equal_steps_in_every_round():
    problem = problems.load("countdown").build([3, 5, 7], 22, 40)
    right, wrong = ["3 * 5 = 15", "15 + 7 = 22"], ["3 * 5 = 14", "15 + 7 = 22"]  # 15 is not on the table: both wrong
    drafts = [Draft(str(i), problem, "", tuple(steps), True, -1) for i, steps in enumerate([right, right, wrong])]
    assert checked(drafts) == ([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]], 6)
    assert checked(drafts, flip=1.0)[0] == [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
    noisy = [checked(drafts, seed=s, flip=0.5, blur=0.2, draw=7)[0] for s in (1, 2)]
    assert noisy[0] == noisy[1] and noisy[0][0] == noisy[0][1] != noisy[0][2]
    assert noisy[0] != checked(drafts, flip=0.5, blur=0.2, draw=8)[0]


def test_flip_is_the_rate_of_turned_scores():
    drafts = [
        Draft(
            str(i),
            problems.load("countdown").build([3, 5, n], 15 + n, 99),
            "",
            ("3 * 5 = 15", f"15 + {n} = {15 + n}"),
            True,
            -1,
        )
        for i, n in enumerate(range(1, 81))
    ]
    (few, _), (more, _) = (checked(drafts, flip=e) for e in (0.2, 0.4))
    turned = [sum(x == 0.0 for own in scores for x in own) for scores in (few, more)]
    assert (
        16 <= turned[0] <= 48 and 48 < turned[1] <= 80
    )  # of 160: 32 and 64 expected, five standard deviations at most
    assert all(x >= y for own, other in zip(few, more, strict=True) for x, y in zip(own, other, strict=True))


@pytest.fixture(scope="module")
def recipe():
    return plan.load(ROOT).recipe("b_star")


def stages(recipe, arm, name, round=None):
    return [n.stage for n in recipe.named if n.arm == arm and n.name == name and round in (None, n.round)]


def test_arms_differ_in_just_what_they_turn(recipe):
    for arm in ("online_rft", "iterative_rft", "rest_em", "online_rft_answer", "online_rft_exact"):
        assert not stages(recipe, arm, "balance")
        assert all("setting" not in s.inputs for s in stages(recipe, arm, "selected"))
    grid = stages(recipe, "b_star", "balance")[0].params
    assert len(stages(recipe, "b_star", "balance")) == len(stages(recipe, "b_star", "policy"))
    assert len(stages(recipe, "best_static", "balance")) == 1
    assert stages(recipe, "temperature_only", "balance")[0].params["thresholds"] == [0.0]
    assert stages(recipe, "temperature_only", "balance")[0].params["temperatures"] == grid["temperatures"]
    only = stages(recipe, "threshold_only", "balance")[0].params
    assert only["temperatures"] == [1.0] and only["thresholds"] == grid["thresholds"]
    assert all("scores" not in s.inputs for s in stages(recipe, "online_rft_answer", "selected"))
    assert {s.params["flip"] for s in stages(recipe, "online_rft_exact", "scores")} == {0.0}


def test_three_ways_to_train_in_rounds(recipe):
    seed_model = stages(recipe, "shared", "seed-model")[0]
    online, iterative, rest_em = (stages(recipe, arm, "policy") for arm in ("online_rft", "iterative_rft", "rest_em"))
    for before, after in pairwise(online):
        assert after.inputs["model"] == after.inputs["previous"] == before
        assert after.params["start_step"] == before.params["start_step"] + before.params["steps"]
    assert online[-1].params["total_steps"] == sum(s.params["steps"] for s in online)
    assert iterative[1].inputs["model"] is iterative[0] and "previous" not in iterative[1].inputs
    assert all(s.inputs["model"] is seed_model and "previous" not in s.inputs for s in rest_em)
    assert {s.params["start_step"] for s in iterative + rest_em} == {0}
    assert iterative[0].digest == rest_em[0].digest != online[0].digest


def test_the_first_round_is_shared_where_it_is_the_same(recipe):
    fixed = ("online_rft", "iterative_rft", "rest_em", "threshold_only", "online_rft_answer", "online_rft_exact")
    assert len({stages(recipe, arm, "pool", 1)[0].digest for arm in fixed}) == 1
    assert stages(recipe, "best_static", "policy", 1)[0].digest == stages(recipe, "b_star", "policy", 1)[0].digest
