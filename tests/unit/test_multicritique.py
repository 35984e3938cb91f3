"""MultiCritique's arithmetic on values worked out by hand: judged units, merging, severities, the filter, pairs' accuracy."""

import random

import pandas as pd
import pytest

from elenchus.critics import aggregate, pairs
from elenchus.critics.drafts import Draft
from elenchus.critics.format import Critique, Unit, render
from elenchus.metrics import measure
from elenchus.problems import chain

# 8 - 7 = 1, 1 * 9 = 9, 9 + 4 = 2 (mod 11). The solution errs in step 2 (a wrong result, 7) and is right after it.
PROBLEM = chain.build(8, [("-", 7), ("*", 9), ("+", 4)], 11)
STEPS = ("8 - 7 = 1", "1 * 9 = 7", "7 + 4 = 0")
DRAFT = Draft("s0", PROBLEM, chain.render(PROBLEM, list(STEPS)), STEPS, False, 1)

FIRST = Unit(0, True, "", "8 - 7", "1", "1")
FOUND = Unit(1, False, "result", "1 * 9", "9", "7")
MISSED = Unit(1, True, "", "1 * 9", "7", "7")
LAST = Unit(2, True, "", "7 + 4", "0", "0")
ALARM = Unit(2, False, "operand", "7 + 4", "3", "0")

FINDS = Critique((FIRST, FOUND, LAST), "wrong", 1)  # no fault
MISSES = Critique((FIRST, MISSED, LAST), "right", -1)  # the first wrong step is called good: severity 4
ALARMS = Critique((FIRST, FOUND, ALARM), "wrong", 1)  # one false alarm: severity 3
BOTH = Critique((FIRST, MISSED, ALARM), "wrong", 2)  # severity 7


def test_accumulated_severity_by_hand():
    assert [u for u in DRAFT.truth()] == [FIRST, FOUND, LAST]
    got = [pairs.severity(c, DRAFT.truth()) for c in (FINDS, MISSES, ALARMS, BOTH)]
    assert got == [0, 4, 3, 7]


def test_what_one_critic_misses_another_finds_and_what_one_invents_is_dropped():
    said = {"misses": MISSES, "alarms": ALARMS, "both": BOTH}
    judged = aggregate.judge(said, DRAFT.truth())
    assert aggregate.merge(judged, 3) == [FIRST, FOUND, LAST]  # no single critique of the three is that
    union = aggregate.by_union(said, 3)
    assert [u.ok for u in union] == [True, False, False]  # the false alarm stays
    votes = {"a": MISSES, "b": MISSES, "c": ALARMS}
    assert aggregate.by_majority(votes) == list(MISSES.units)  # two of three miss the error, so it is lost


def test_a_judge_that_misjudges_a_finding_loses_it():
    rng = random.Random(0)
    judged = aggregate.judge({"a": FINDS}, DRAFT.truth(), noise=1.0, rng=rng)
    assert all(j.category != "sound" for j in judged)
    assert aggregate.kept(aggregate.Judged("a", FOUND, "mistyped")) and not aggregate.kept(
        aggregate.Judged("a", FOUND, "wrong_fix")
    )


def test_lower_severity_is_chosen_and_the_widest_margins_come_first():
    severities = {"finds": 0.0, "misses": 4.0, "alarms": 3.0, "both": 7.0}
    ranked = pairs.rank({k: -v for k, v in severities.items()}, {k: k for k in severities}, most=2)
    got = [(p.chosen, p.rejected, p.margin) for p in ranked]
    assert got == [
        ("finds", "both", 7.0),
        ("finds", "misses", 4.0),
    ]  # of equal margins the critics' order: alarms over both has 4 too


def pair(chosen, rejected, gains):
    better, worse = gains
    return {
        "solution_id": "s0",
        "problem_id": PROBLEM.id,
        "chosen": render(chosen.units),
        "rejected": render(rejected.units),
        "kept": pairs.passes(better, worse),
    }


def test_the_filter_raises_the_accuracy_of_pairs_by_hand():
    table = pd.DataFrame(
        [
            pair(FINDS, MISSES, (0.75, 0.25)),  # right and confirmed
            pair(ALARMS, MISSES, (0.50, 0.50)),  # right, but no revision says so: dropped
            pair(BOTH, ALARMS, (0.25, 0.50)),  # in the wrong order: dropped
            pair(MISSES, MISSES, (0.50, 0.25)),  # neither is better, and chance confirms it
        ]
    )
    for filtered, value, weight in ((False, 2 / 4, 4), (True, 1 / 2, 2)):
        rows = measure.pairs(table, [DRAFT], [PROBLEM.id, "other"], filtered=filtered)
        assert set(rows["metric"]) == {"pair_accuracy"} and list(rows["item"]) == [PROBLEM.id, "other"]
        assert rows["value"][0] == pytest.approx(value)
        assert list(rows["weight"]) == [weight, 0]  # a problem without pairs says nothing
