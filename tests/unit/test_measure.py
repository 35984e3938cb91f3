import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elenchus.critics.drafts import Draft
from elenchus.errors import UserError
from elenchus.metrics import calibration, correction, critique, items, measure
from elenchus.problems import chain

PROBLEMS = [chain.build(8, [("-", 7), ("*", 9)], 11), chain.build(1, [("+", 2), ("+", 3)], 11)]
NAMES = sorted(p.id for p in PROBLEMS)


def value(rows, metric):
    return items.interval(items.stack([[rows]]), metric).value


def draft(name, problem, steps):
    checks = chain.check_steps(problem, steps)
    first = next((i for i, c in enumerate(checks) if not c.ok), -1)
    return Draft(
        name, problem, chain.render(problem, steps), tuple(steps), steps[-1].split()[-1] == problem.answer, first
    )


DRAFTS = [
    draft("a", PROBLEMS[0], ["8 - 7 = 1", "1 * 9 = 9"]),  # right
    draft("b", PROBLEMS[0], ["8 - 7 = 2", "2 * 9 = 7"]),  # first error 0
    draft("c", PROBLEMS[0], ["8 - 7 = 1", "1 * 9 = 8"]),  # first error 1
    draft("d", PROBLEMS[1], ["1 + 2 = 3", "3 + 3 = 6"]),  # right
]
PROBLEM_OF = {d.id: d.problem.id for d in DRAFTS}


def critiques(*rows):
    """Return a table of (solution, verdict, first error, bad steps, fixes, confidence); verdict "" is unparsed."""
    return pd.DataFrame(
        [
            {
                "solution_id": s,
                "problem_id": PROBLEM_OF[s],
                "parsed": v != "",
                "verdict": v,
                "first_error": f,
                "bad_steps": bad,
                "fixes": fixes,
                "confidence": c,
                "tokens": 10,
            }
            for s, v, f, bad, fixes, c in rows
        ]
    )


SAID = critiques(
    ("a", "right", -1, [], [], 0.95),
    ("b", "wrong", 0, [0], ["1"], 0.75),
    ("c", "wrong", 0, [0, 1], ["5", "9"], 0.55),
    ("d", "", None, [], [], float("nan")),
)


def test_critic_by_hand():
    rows = measure.critic(SAID, DRAFTS, NAMES)
    expected = critique.first_error([-1, 0, 1, -1], [-1, 0, 0, None])
    assert value(rows, "acc_error") == expected.acc_error == 0.5
    assert value(rows, "acc_correct") == expected.acc_correct == 0.5
    assert value(rows, "first_error_f1") == pytest.approx(expected.f1)
    assert value(rows, "verdict_accuracy") == 0.75
    assert value(rows, "verdict_accuracy_right") == 0.5 and value(rows, "verdict_accuracy_wrong") == 1.0
    assert value(rows, "critiques_parsed") == 0.75
    assert value(rows, "unit_precision") == pytest.approx(2 / 3)  # b's step 1, c's step 2; c's step 1 is right
    # the second step of b goes on from its first: 2 * 9 = 7 modulo 11 is right
    assert value(rows, "unit_recall") == 1.0 and value(rows, "fix_accuracy") == 1.0
    assert value(rows, "brier") == pytest.approx(calibration.brier([0.95, 0.75, 0.55], [1, 1, 1]))
    assert value(rows, "ece") == pytest.approx(calibration.ece([0.95, 0.75, 0.55], [1, 1, 1]))


def test_several_critiques_of_a_solution_vote():
    said = critiques(
        ("b", "wrong", 0, [0], ["1"], 0.9),
        ("b", "wrong", 0, [0], ["1"], 0.9),
        ("b", "right", -1, [], [], 0.9),
        ("a", "wrong", 1, [1], ["3"], 0.9),
        ("a", "", None, [], [], float("nan")),
    )
    rows = measure.critic(said, DRAFTS, NAMES, voted=True)
    assert value(rows, "acc_error") == pytest.approx(2 / 3) and value(rows, "vote_acc_error") == 1.0
    assert value(rows, "vote_acc_correct") == 0.0
    assert "vote_acc_error" not in set(measure.critic(SAID, DRAFTS, NAMES)["metric"])


def test_every_problem_has_a_row_of_every_part():
    rows = measure.critic(SAID[:1], DRAFTS, NAMES, steps=False)
    assert set(rows.groupby("metric").size()) == {2}
    assert rows.loc[rows["item"] == PROBLEMS[1].id, "weight"].sum() == 0
    with pytest.raises(UserError, match="1 measured problems are not among the 1 given"):
        measure.critic(SAID, DRAFTS, [PROBLEMS[0].id])


def tables(attempts):
    """Return (refinements, solutions) of (problem, right before, right after or None for no refinement)."""
    solutions, refinements = [], []
    for i, (p, before, after) in enumerate(attempts):
        steps, first = (["x", "y"], -1) if before else (["x", "z"], 1)
        solutions.append(
            {"solution_id": str(i), "problem_id": p, "correct": before, "steps": steps, "first_error": first}
        )
        if after is not None:
            facts = {
                "steps": ["x", "y" if after else "w"],
                "first_error": -1 if after else 1,
                "parsed": True,
                "tokens": 4,
            }
            refinements.append(
                {"solution_id": str(i), "problem_id": p, "correct": after, "was_correct": before, **facts}
            )
    columns = ["solution_id", "problem_id", "correct", "was_correct", "steps", "first_error", "parsed", "tokens"]
    return pd.DataFrame(refinements, columns=columns), pd.DataFrame(solutions)


def test_correction_by_hand():
    rows = measure.correction(
        *tables([("p", 1, 1), ("p", 1, 0), ("p", 0, 1), ("p", 0, 0), ("q", 1, 1), ("q", 1, None)]), ["p", "q"]
    )
    expected = correction.by_sampling(list("ppppqq"), [1, 1, 0, 0, 1, 1], [1, 0, 1, 0, 1, 1])
    for name in ("acc1", "acc2", "cl", "cs", "rss"):
        assert value(rows, name) == pytest.approx(getattr(expected, name))
    assert value(rows, "delta") == pytest.approx(expected.acc2 - expected.acc1)
    assert value(rows, "wrong_to_right") == pytest.approx(0.125)  # a quarter of p, none of q
    assert value(rows, "prefix_kept") == 1.0 and value(rows, "error_repaired") == 0.5


@given(st.lists(st.tuples(st.sampled_from("pqr"), st.booleans(), st.booleans()), min_size=2, max_size=25))
def test_correction_is_the_decomposition_by_sampling(attempts):
    names = sorted({p for p, _, _ in attempts})
    rows = measure.correction(*tables(attempts), names)
    expected = correction.by_sampling(*zip(*attempts, strict=True))
    for name in ("acc1", "acc2", "cl", "cs"):
        np.testing.assert_allclose(value(rows, name), getattr(expected, name))
    flips = [value(rows, name) for name in correction.FLIPS]
    assert sum(flips) == pytest.approx(1.0)


def test_policy_by_hand():
    def row(problem, i, steps, correct, parsed=True):
        facts = {"steps": steps, "answer": steps[-1] if parsed else "", "correct": correct, "parsed": parsed}
        return {"solution_id": f"{problem}{i}", "problem_id": problem, "tokens": 5, "first_error": -1, **facts}

    solutions = pd.DataFrame(
        [
            row("p", 0, ["a", "1"], True),
            row("p", 1, ["a", "1"], True),
            row("p", 2, ["b", "1"], True),
            row("p", 3, ["c", "2"], False),
            *(row("q", i, ["d", "3"], False, parsed=i > 0) for i in range(4)),
        ]
    )
    scores = pd.DataFrame({"solution_id": solutions["solution_id"], "score": [0.1, 0.2, 0.3, 0.9, 0, 0, 0, 0]})
    rows = measure.policy(solutions, ["p", "q", "unsolved"], s=(2,), scores=scores)
    assert value(rows, "pass@1") == pytest.approx(3 / 8)
    assert value(rows, "pass@2") == pytest.approx(0.5)  # any two of p's four hold a right one
    assert value(rows, "pass@4-2") == 0.5
    assert value(rows, "majority@4") == 0.5
    assert value(rows, "diversity") == pytest.approx(3 / 6)  # a 1 a 1 b 1, over p alone
    assert value(rows, "best@4") == 0.0 and value(rows, "best@2") == pytest.approx(0.5 * 0.5)
    assert value(rows, "parsed") == pytest.approx(7 / 8)
    assert set(rows.loc[rows["item"] == "unsolved", "weight"]) == {0.0}
