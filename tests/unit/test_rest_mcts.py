"""ReST-MCTS* (2406.03816): labels by inferred distance, and how they are measured; answers chosen at equal tokens.

The search itself (selection, look-ahead, back-up) is worked by hand in test_search.py.
"""

from __future__ import annotations

import json
import math
import random

import pandas as pd
import pytest
from finished import result

from elenchus import tables
from elenchus.job import Job
from elenchus.metrics import search as measured
from elenchus.problems import chain
from elenchus.search import labels
from elenchus.search.labels import Branch
from elenchus.stages import answer, label

PROBLEM = chain.build(8, [("-", 7), ("*", 9), ("+", 2), ("-", 5)], 11)  # 1, 9, 0, 6
RIGHT = chain.reference(PROBLEM)


def weighted_reward(before: float, m: int, r: int) -> float:
    """The card of the paper: w_k = (1 - v_{k-1}) / (m_k + 1) (1 - 2 r_k)."""
    return (1 - before) / (m + 1) * (1 - 2 * r)


def test_values_of_a_right_path_rise_by_a_quarter():
    tree = [Branch(i - 1, "", i == 4, i == 4) for i in range(5)]
    values = labels.full(tree)
    assert values == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])
    for k in range(1, 5):
        assert values[k] - values[k - 1] == pytest.approx(weighted_reward(values[k - 1], 4 - k, 0)) == 0.25


def test_the_wrong_branch_takes_its_ancestors_distance():
    """root - a - b - right leaf of depth 3; a - x - y, wrong: x and y take d = 3 - 1 = 2 of a, that is m = 1, r = 1."""
    tree = [Branch(-1, "", False, False), Branch(0, "a", False, False), Branch(1, "b", False, False)]
    tree += [Branch(2, "end", True, True), Branch(1, "x", False, False), Branch(4, "y", True, False)]
    d, right = labels.reasoning_distances(tree)
    assert d == [4, 3, 2, 1, 3, 3] and right == [True, True, True, True, False, False]
    a = 1 / 3
    x = a + weighted_reward(a, 2, 1)  # 1/3 - (2/3) / 3 = 1/9
    y = max(x + weighted_reward(x, 2, 1), 0.0)  # 1/9 - (8/9) / 3 < 0
    assert labels.full(tree) == pytest.approx([0, a, 2 / 3, 1.0, x, y]) and x == pytest.approx(1 / 9) and y == 0.0


def test_rank_correlation_by_hand():
    assert measured.rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1.0)
    assert measured.rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: cov 4.5, variances 4.5 and 5
    assert measured.rank_correlation([0, 5, 5, 9], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert math.isnan(measured.rank_correlation([1, 1, 1], [1, 2, 3])) and math.isnan(
        measured.rank_correlation([1, 2], [1, 2])
    )


def test_inferred_values_are_compared_with_those_by_true_distance():
    wrong = [*RIGHT[:2], "9 + 2 = 1", "1 - 5 = 7"]
    exact = labels.by_distance(chain, PROBLEM, wrong)
    assert exact == pytest.approx([0.25, 0.5, 0.5 - 0.5 / 3, 1 / 3 - (2 / 3) / 3])  # d stays at 2 + 1
    table = pd.DataFrame(
        [
            {"path_id": "a", "problem_id": PROBLEM.id, "steps": RIGHT, "labels": [0.1, 0.2, 0.3, 0.4], "source": ""},
            {"path_id": "b", "problem_id": PROBLEM.id, "steps": wrong, "source": ""}
            | {"labels": [math.nan, math.nan, 0.05, 0.0]},
        ]
    )
    items = measured.values(table, {PROBLEM.id: PROBLEM}, [PROBLEM.id, "other"]).set_index(["metric", "item"])
    # told 0.1 0.2 0.3 0.4 0.05 0 against 0.25 0.5 0.75 1 1/3 1/9: ranks 3 4 5 6 2 1 against 2 4 5 6 3 1
    assert items.loc["value_rank", PROBLEM.id].tolist() == pytest.approx([1 - 6 * 2 / (6 * 35), 1.0])
    gap = (0.15 + 0.3 + 0.45 + 0.6 + (1 / 3 - 0.05) + 1 / 9) / 6
    assert items.loc["value_gap", PROBLEM.id].tolist() == pytest.approx([gap, 6.0])
    assert items.loc["value_rank", "other"]["weight"] == 0.0


def test_step_pairs_are_judged_by_the_exact_checker():
    def pair(chosen, rejected, steps=()):
        row = {"problem_id": PROBLEM.id, "steps": list(steps), "smoothing": 0.25}
        return row | {"chosen_steps": [chosen], "rejected_steps": [rejected]}

    right, wrong, other = "8 - 7 = 1", "8 - 7 = 2", "8 - 7 = 3"
    after = pair("1 * 9 = 9", "1 * 9 = 8", steps=[right])
    table = pd.DataFrame([pair(right, wrong), pair(wrong, right), pair(wrong, other), after])
    items = measured.step_pairs(table, {PROBLEM.id: PROBLEM}, [PROBLEM.id, "other"]).set_index(["metric", "item"])
    assert items.loc["step_pair_accuracy", PROBLEM.id].tolist() == [0.5, 4.0]
    assert items.loc["step_pair_inverted", PROBLEM.id]["value"] == 0.25
    empty = measured.step_pairs(table[:0], {PROBLEM.id: PROBLEM}, [PROBLEM.id])
    assert (empty["weight"] == 0).all()


def test_answers_by_score_majority_and_summed_scores():
    answers, scores = ["a", "b", "b", "a", "c"], [0.5, 0.3, 0.4, 0.1, 0.55]

    def pick(rule, scores=scores):
        return {answer.chosen(answers, scores, rule, random.Random(i)) for i in range(20)}

    assert pick("best") == {4}
    assert pick("vote") == {2}  # a 0.6, b 0.7, c 0.55; of the b the better one
    assert pick("majority", [0.0] * 5) == {0, 1, 2, 3}  # a tie of two answers


def run(module, tmp_path, output, params, **content):
    """Return (job, rows of the output) of a stage on results with the tables given."""
    inputs = {name: result(tmp_path / name, **{name: rows}) for name, rows in content.items()}
    job = Job(output, module.Params(**params), 1, inputs, tmp_path, tmp_path)
    module.run(job)
    return job, tables.read(output, tmp_path / f"{output}.parquet").to_dict("records")


def problem_row(problem):
    facts = {"problem_id": problem.id, "family": "chain", "prompt": problem.prompt, "answer": problem.answer}
    return {**facts, "split": "test", "meta": json.dumps(problem.meta)}


def test_a_problem_without_a_readable_solution_goes_unanswered(tmp_path):
    other = chain.build(3, [("+", 1)], 11)
    rows = [
        {"solution_id": "s", "problem_id": PROBLEM.id, "parsed": True, "answer": "6", "correct": True},
        {"solution_id": "t", "problem_id": other.id, "parsed": False, "answer": "", "correct": False},
    ]
    scores = [{"solution_id": r["solution_id"], "problem_id": r["problem_id"], "score": 0.5} for r in rows]
    asked = [problem_row(PROBLEM), problem_row(other)]
    _, (first, second) = run(answer, tmp_path, "solutions", {}, problems=asked, solutions=rows, scores=scores)
    assert first["solution_id"] == "s"
    assert (second["problem_id"], second["parsed"], second["correct"]) == (other.id, False, False)


def test_outcome_labels_stand_at_the_last_step_alone(tmp_path):
    wrong = [*RIGHT[:3], "0 - 5 = 7"]
    rows = [
        {"solution_id": str(i), "problem_id": PROBLEM.id, "parsed": True, "steps": steps}
        for i, steps in enumerate((RIGHT, wrong))
    ]
    params = {"source": "checker", "checker": "outcome"}
    job, made = run(label, tmp_path, "labels", params, problems=[problem_row(PROBLEM)], solutions=rows)
    for row, outcome in zip(made, (1.0, 0.0), strict=True):
        assert all(map(math.isnan, row["labels"][:-1])) and row["labels"][-1] == outcome
    assert job.cost.oracle_calls == 2
