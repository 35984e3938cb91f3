import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elenchus import seeds
from elenchus.critics import aggregate, oracle
from elenchus.critics.aggregate import CATEGORIES, Judged, categorise
from elenchus.critics.drafts import Draft
from elenchus.critics.format import Critique, Unit, parse, render
from elenchus.critics.oracle import Dials
from elenchus.problems import chain

DIALS = st.builds(
    Dials, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.sets(st.sampled_from(chain.ERRORS)).map(tuple)
)


def drawn(seed):
    rng = random.Random(seed)
    problem = chain.generate(chain.Options(), rng)
    steps = chain.corrupt(problem, rng, 0.4)
    return Draft(f"s{seed}", problem, chain.render(problem, steps), tuple(steps), False, -1)


def critiques_of(draft, dials):
    return {
        f"c{i}": parse(oracle.criticise(draft, f"c{i}", d, 0)["text"], len(draft.steps), chain.ERRORS)
        for i, d in enumerate(dials)
    }


def unit(step, error="", expected="1", claimed="1", working="1 + 0"):
    return Unit(step, not error, error, working, expected, claimed)


def bad_steps(units):
    return {u.step for u in units if not u.ok}


def test_categories_by_hand():
    truth = [unit(0), unit(1, "result", "9", "7"), unit(2, "carry", "3", "4")]
    cases = {
        "sound": [unit(0), truth[1], truth[2]],
        "mistyped": [unit(1, "carry", "9", "7")],
        "wrong_fix": [unit(1, "result", "8", "7")],
        "false_alarm": [unit(0, "result", "2", "1")],
        "missed_first": [unit(1, "", "7", "7")],
        "missed": [unit(2, "", "4", "4")],
    }
    for category, units in cases.items():
        assert {categorise(u, truth) for u in units} == {category}
    assert set(cases) | {"unreadable"} == set(CATEGORIES) and len(CATEGORIES) == 7
    assert Judged("c", truth[1], "mistyped").quality == 0.75


def test_merge_keeps_sound_units_of_different_critics_and_drops_flawed_ones():
    truth = [unit(0, "result", "9", "7"), unit(1, "carry", "3", "4"), unit(2)]
    sees_results = Critique((truth[0], unit(1, "", "4", "4"), unit(2)), "wrong", 0)
    sees_carries = Critique((unit(0, "", "7", "7"), truth[1], unit(2, "result", "5", "1")), "wrong", 1)
    critiques = {"a": sees_results, "b": sees_carries}
    assert aggregate.merge(aggregate.judge(critiques, truth), 3) == truth
    assert bad_steps(aggregate.by_union(critiques, 3)) == {0, 1, 2}
    assert aggregate.by_majority(critiques) == list(sees_results.units)  # a tie: the first seen
    assert aggregate.by_single(critiques, "b") == list(sees_carries.units)
    assert aggregate.by_single(critiques, "z") is None


def test_merge_prefers_quality_then_numbers_on_one_step():
    sound, typed, fixed = unit(0, "result", "9", "7"), unit(0, "carry", "9", "7"), unit(0, "result", "8", "7")
    judged = [Judged("a", typed, "mistyped"), Judged("b", typed, "mistyped"), Judged("c", sound, "sound")]
    assert aggregate.merge(judged, 1) == [sound]
    union = {
        "a": Critique((fixed,), "wrong", 0),
        "b": Critique((typed,), "wrong", 0),
        "c": Critique((typed,), "wrong", 0),
    }
    assert aggregate.by_union(union, 1) == [typed]


def test_where_every_finding_is_dropped_the_claim_stands():
    alarm = unit(0, "result", "5", "1", working="8 - 7")
    assert aggregate.merge([Judged("a", alarm, "false_alarm")], 1) == [unit(0, "", "1", "1", working="8 - 7")]


def test_good_steps_are_worded_as_most_critics_word_them():
    odd, even = unit(0, working="9 - 8"), unit(0, working="8 - 7")
    inconsistent = unit(0, "", "3", "1", working="2 + 1")
    judged = [
        Judged(c, u, "sound") for c, u in zip("abcde", (odd, even, even, inconsistent, inconsistent), strict=True)
    ]
    assert aggregate.merge(judged, 1) == [even]


def test_a_step_that_nobody_judges_is_refused():
    with pytest.raises(ValueError, match="no critic judges step 2 of 2"):
        aggregate.merge([Judged("a", unit(0), "sound")], 2)
    with pytest.raises(ValueError, match="no critique"):
        aggregate.by_majority({})


@settings(max_examples=80)
@given(st.integers(0, 5000), st.lists(DIALS, min_size=1, max_size=4), st.floats(0, 1))
def test_merged_critiques_can_be_written_and_read(seed, dials, noise):
    draft = drawn(seed)
    critiques, truth = critiques_of(draft, dials), draft.truth()
    judged = aggregate.judge(critiques, truth, noise, seeds.rng(seed, "judge"))
    merged = aggregate.merge(judged, len(draft.steps))
    for units in (merged, aggregate.by_union(critiques, len(draft.steps)), aggregate.by_majority(critiques)):
        said = parse(render(units), len(draft.steps), chain.ERRORS)
        assert said.parsed and list(said.units) == units
    flagged = [bad_steps(c.units) for c in critiques.values()]
    union = bad_steps(aggregate.by_union(critiques, len(draft.steps)))
    assert union == set.union(*flagged)
    assert bad_steps(merged) <= union
    assert len(judged) == len(critiques) * len(draft.steps)


@settings(max_examples=80)
@given(st.integers(0, 5000), st.lists(DIALS, min_size=1, max_size=4))
def test_an_exact_judge_lets_only_true_findings_through(seed, dials):
    draft = drawn(seed)
    critiques, truth = critiques_of(draft, dials), draft.truth()
    wrong = bad_steps(truth)
    merged = aggregate.merge(aggregate.judge(critiques, truth), len(draft.steps))
    assert bad_steps(merged) <= wrong
    sound = {
        u.step
        for c in critiques.values()
        for u in c.units
        if not u.ok and categorise(u, truth) in ("sound", "mistyped")
    }
    assert bad_steps(merged) == sound
    assert all(u.expected == truth[u.step].expected for u in merged if not u.ok)


@given(st.integers(0, 500), st.permutations(range(3)))
def test_union_and_merge_find_the_same_steps_in_any_order_of_critics(seed, order):
    draft = drawn(seed)
    dials = [Dials(miss_rate=0.4), Dials(false_alarm_rate=0.3), Dials(blind=("result",))]
    critiques, truth = critiques_of(draft, dials), draft.truth()
    names = list(critiques)
    shuffled = {names[i]: critiques[names[i]] for i in order}
    n = len(draft.steps)
    assert bad_steps(aggregate.by_union(critiques, n)) == bad_steps(aggregate.by_union(shuffled, n))
    merged = [bad_steps(aggregate.merge(aggregate.judge(c, truth), n)) for c in (critiques, shuffled)]
    assert merged[0] == merged[1]


def test_judge_noise_changes_the_category_to_one_its_verdict_allows():
    draft = drawn(3)
    critiques, truth = critiques_of(draft, [Dials(0.5, 0.5, 0.5)]), draft.truth()
    judged = aggregate.judge(critiques, truth, 1.0, random.Random(0))
    for j in judged:
        assert j.category != categorise(j.unit, truth)
        assert j.category in (aggregate.ON_GOOD if j.unit.ok else aggregate.ON_BAD)
