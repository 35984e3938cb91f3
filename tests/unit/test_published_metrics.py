"""Metrics as published: by hand, and against values that were computed from the same files with other code."""

import csv
import json
import math
import random
import time

import numpy as np
import pytest
from real import FIXTURES, REAL, needs_real

from elenchus import benchmarks
from elenchus.benchmarks.sets import pcbench_judged
from elenchus.metrics import correction
from elenchus.metrics.critique import first_error
from elenchus.metrics.published import (
    contamination,
    criticbench,
    games,
    metacritique,
    pairwise,
    pcbench,
    processbench,
    ranking,
    realcritic,
    rounds,
    self_knowledge,
)


def golden():
    return json.loads((REAL / "golden.json").read_text())


# ProcessBench

PREDICTORS = {
    "always_-1": lambda s: -1,
    "always_0": lambda s: 0,
    "outcome_then_first_step": lambda s: -1 if s.correct else 0,
    "outcome_then_last_step": lambda s: -1 if s.correct else len(s.steps) - 1,
    "outcome_then_middle_step": lambda s: -1 if s.correct else (len(s.steps) - 1) // 2,
    "oracle": lambda s: s.first_error,
}


def processbench_scores(folder):
    solutions = {}
    for item in benchmarks.items("processbench", folder):
        solutions.setdefault(item.problem.meta["split"], []).append(item.solutions[0])
    labels = {k: [s.first_error for s in v] for k, v in solutions.items()}
    return {
        name: processbench.report(labels, {k: [predict(s) for s in v] for k, v in solutions.items()})
        for name, predict in PREDICTORS.items()
    }


@needs_real
def test_processbench_on_all_items_to_the_printed_digit():
    expected = golden()["processbench"]
    found = processbench_scores(REAL / "processbench")
    for name, report in found.items():
        # the recorded average is of the printed values, hence a unit in its last digit
        assert 100 * report["average_f1"] == pytest.approx(expected["average_f1"][name], abs=1e-4)
        for subset, score in report["subsets"].items():
            e = expected[subset][name]
            assert round(100 * score.f1, 4) == e["f1"], (subset, name)
            assert round(100 * score.acc_error, 4) == e["error_acc"]
            assert round(100 * score.acc_correct, 4) == e["correct_acc"]
            assert (score.erroneous, score.correct) == (e["n_error"], e["n_correct"])


def test_processbench_on_an_excerpt():
    found = processbench_scores(FIXTURES / "processbench")
    assert found["oracle"]["average_f1"] == 1.0 and found["always_-1"]["average_f1"] == 0.0
    assert 0 < found["outcome_then_middle_step"]["average_f1"] < 1


def test_processbench_is_quick_enough_for_all_items():
    rng = random.Random(0)
    replies = [[rf"so \boxed{{{rng.randint(-1, 8)}}}" for _ in range(8)] for _ in range(3400)]
    labels = [rng.randint(-1, 8) for _ in range(3400)]
    scores = [[rng.random() for _ in range(9)] for _ in range(3400)]
    began = time.process_time()
    first_error(labels, [processbench.vote(r) for r in replies])
    processbench.best_threshold(labels, scores)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("replies", "index"),
    [
        ([r"\boxed{2}", r"\boxed{3}", r"\boxed{3}"], 3),
        ([r"\boxed{1} then \boxed{2}"], 2),
        ([r"\boxed{02}", r"\boxed{2}", r"\boxed{1}", r"\boxed{1}"], 1),  # strings are counted, not numbers
        ([r"\boxed{4}", r"\boxed{5}"], 4),
        ([r"\boxed{none}", "nothing", r"\boxed{-1}"], -1),
        (["nothing"], None),
        ([], None),
    ],
)
def test_processbench_vote(replies, index):
    assert processbench.vote(replies) == index


def test_processbench_threshold_is_the_best_of_all():
    rng = random.Random(1)
    for _ in range(50):
        scores = [[rng.randint(0, 9) / 10 for _ in range(rng.randint(1, 5))] for _ in range(20)]
        labels = [rng.randint(-1, len(s) - 1) for s in scores]

        def f1(t, scores=scores, labels=labels):
            return first_error(labels, [processbench.first_below(s, t) for s in scores]).f1

        threshold, score = processbench.best_threshold(labels, scores)
        assert score.f1 == pytest.approx(max(f1(t / 20) for t in range(-1, 22)))
        assert f1(threshold) == score.f1


# RealCritic


@needs_real
def test_realcritic_identity_critic():
    expected = golden()["realcritic"]
    for task, e in expected.items():
        before = [i.solutions[0].correct for i in benchmarks.items("realcritic", REAL / "realcritic", task)]
        found = realcritic.closed_loop(before, before)
        assert (found.items, round(found.before * found.items)) == (e["rows"], e["originally_correct"])
        assert (found.delta, found.c2c, found.i2c) == (0, 1, 0)
        assert found.acc == pytest.approx(found.before)


def test_realcritic_by_hand():
    found = realcritic.closed_loop([1, 1, 0, 0, 0], [1, 0, 1, 0, 0])
    assert (found.before, found.acc, found.delta) == pytest.approx((0.4, 0.4, 0.0))
    assert (found.c2c, found.c2i, found.i2c, found.i2i) == pytest.approx((1 / 2, 1 / 2, 1 / 3, 2 / 3))
    assert found.acc == pytest.approx(found.before * found.c2c + (1 - found.before) * found.i2c)
    turns = realcritic.iterative([1, 0], [[1, 1], [0, 1]])
    assert [t.delta for t in turns] == [0.5, 0.0] and turns[1].c2i == 1.0
    assert realcritic.average({"a": turns[0], "b": turns[1]}) == {"acc": 0.75, "delta": 0.25}
    assert math.isnan(realcritic.closed_loop([0], [1]).c2c)
    with pytest.raises(ValueError, match="no items"):
        realcritic.closed_loop([], [])


# CriticBench


def test_criticbench_by_hand():
    labels, verdicts = [True, False, False, True], [True, False, None, False]
    # None counts as "right" for the wrong response: found 1, said wrong 2, wrong 2
    assert criticbench.critique_f1(labels, verdicts) == pytest.approx(0.5)
    assert criticbench.accuracy(labels, verdicts) == 0.5
    assert criticbench.verdict_lin("it is [[wrong]]") is False and criticbench.verdict_lin("[[correct]]") is True
    assert criticbench.verdict_lin("this is not correct") is False and criticbench.verdict_lin("hm") is None
    assert criticbench.verdict_luo("Judgment: incorrect.") is False and criticbench.verdict_luo("ok") is None


def test_criticbench_always_wrong_and_random():
    labels = [True] * 50 + [False] * 50
    assert criticbench.critique_f1(labels, [False] * 100) == pytest.approx(2 / 3)
    assert criticbench.critique_f1(labels, [None] * 100) == 0.0


def test_self_check():
    answers = ["x", "x", "x", "y", "y"]
    assert criticbench.certainty(answers) == pytest.approx(math.log(1.5))
    assert criticbench.certainty(["x"]) == math.inf
    judged = [False, False, False, True, True]
    assert criticbench.self_check(answers, judged, 1.0) == "y"
    assert criticbench.self_check(answers, judged, 0.1) == "x"
    assert criticbench.self_check(answers, [False] * 5, 1.0) == "x"
    assert criticbench.self_check([None], [None], 1.0) is None


# MetaCritique


def metacritique_scores(folder):
    found, stored, units = {}, True, {}
    for item in benchmarks.items("metacritique", folder):
        for name, c in zip(
            ("human_critique", "llm1_critique", "llm2_critique"), item.solutions[0].critiques, strict=True
        ):
            meta = metacritique.item(c.labels["precision"], c.labels["recall"])
            found.setdefault(name, []).append(meta)
            units[name] = units.get(name, 0) + len(c.labels["precision"])
            p = c.labels["published"]
            stored &= (meta.precision, meta.recall, meta.f1) == pytest.approx((p["precision"], p["recall"], p["f1"]))
    return {k: metacritique.corpus(v) for k, v in found.items()}, units, stored


@needs_real
def test_metacritique_on_human_labels_to_the_printed_digit():
    found, units, stored = metacritique_scores(REAL / "metacritique")
    assert stored
    for name, e in ((k, v) for k, v in golden()["metacritique"].items() if k.endswith("_critique")):
        got = [round(100 * x, 4) for x in (found[name].precision, found[name].recall, found[name].f1)]
        assert got == [e["meta_p"], e["meta_r"], e["meta_f1"]]
        assert units[name] == e["n_aiu"]


def test_metacritique_on_an_excerpt_and_at_the_edges():
    found, _, stored = metacritique_scores(FIXTURES / "metacritique")
    assert stored and found["human_critique"].precision > found["human_critique"].recall
    assert metacritique.item([], [True]) == metacritique.Meta(0.0, 1.0, 0.0)
    assert metacritique.item([True, False], []) == metacritique.Meta(0.5, 1.0, pytest.approx(2 / 3))
    assert metacritique.units("- a b.\n\n2. c\n* d\n") == ["a b.", "c", "d"]


# PCBench


@needs_real
def test_pcbench_rates_and_costs_of_six_models_are_the_published_ones():
    expected = golden()["pcbench"]
    with (REAL / "pcbench/statistics/all_models_overall_summary.csv").open() as f:
        official = {row["Model"].lower(): row for row in csv.DictReader(f)}
    models = {}
    for item in benchmarks.items("pcbench_judged", REAL / "pcbench"):
        models.setdefault(item.problem.meta["split"], []).append(pcbench_judged.judged(item))
    assert set(models) == set(expected)
    for model, items in models.items():
        found = pcbench.score(items)
        assert (round(found.active, 4), round(found.passive, 4)) == (
            expected[model]["active"],
            expected[model]["passive"],
        )
        row = official[model.lower()]
        for kind in ("active", "passive"):
            overall, success = getattr(found, f"{kind}_cost"), getattr(found, f"{kind}_cost_on_success")
            assert f"{overall:.4f}" == row[f"{kind}_criticism_efficiency_overall"]
            assert f"{success:.4f}" == row[f"{kind}_criticism_efficiency_on_success"]


def test_pcbench_on_an_excerpt_and_false_alarms():
    items = [pcbench_judged.judged(i) for i in benchmarks.items("pcbench_judged", FIXTURES / "pcbench")]
    found = pcbench.score(items)
    assert found.items == 20 and found.passive >= found.active and math.isnan(found.false_alarm)
    always = pcbench.score([pcbench.Judged(True, True, 10, 20, 30, True)])
    assert (always.active, always.false_alarm, always.active_cost, always.passive_cost) == (1, 1, 2, 3)


# CL, CS, RSS


def test_confidence_and_critique_from_logits_is_the_limit_of_samples():
    rng = np.random.default_rng(0)
    first = rng.dirichlet(np.ones(3), size=40)
    second = rng.dirichlet(np.ones(3), size=(40, 3))
    gold = rng.integers(0, 3, size=40)
    exact = correction.by_logits(first, second, gold)
    assert exact.acc2 == pytest.approx(exact.acc1 * exact.cl + (1 - exact.acc1) * exact.cs)
    problem, before, after = [], [], []
    for i in range(40):
        for y in rng.choice(3, size=4000, p=first[i]):
            problem.append(i)
            before.append(y == gold[i])
            after.append(rng.random() < second[i, y, gold[i]])
    sampled = correction.by_sampling(problem, before, after)
    for name in ("acc1", "acc2", "cl", "cs", "rss"):
        assert getattr(sampled, name) == pytest.approx(getattr(exact, name), abs=0.02)


# P(True), P(IK)


def test_p_true_and_its_scores():
    p = self_knowledge.p_true(np.log([0.6, 0.1]), np.log([0.2, 0.3]))
    assert p == pytest.approx([0.75, 0.25])
    spelled = self_knowledge.p_true(np.log([[0.3, 0.3]]), np.log([[0.1, 0.1]]))
    assert spelled == pytest.approx([0.75])
    found = self_knowledge.evaluate([0.9, 0.8, 0.3, 0.6], [True, True, False, False])
    assert found.accuracy == 0.5 and found.accuracy_above == pytest.approx(2 / 3) and found.auroc == 1.0
    assert found.brier == pytest.approx((0.01 + 0.04 + 0.09 + 0.36) / 4) and found.brier_constant == 0.25


def test_p_ik():
    right = np.array([[1, 1, 1, 0], [0, 0, 0, 1], [1, 1, 1, 1]])
    truth = self_knowledge.p_ik_truth(right)
    assert truth == pytest.approx([0.75, 0.25, 1.0])
    perfect = self_knowledge.evaluate_p_ik(truth, right)
    assert perfect["auroc"] == 1.0
    # no prediction has a lower Brier score over samples than the true shares
    assert perfect["brier"] < self_knowledge.evaluate_p_ik(truth + 0.05, right)["brier"]
    assert perfect["brier"] < perfect["brier_constant"]


# rounds and games


def test_rounds_flips_explain_the_course():
    rng = np.random.default_rng(3)
    found = rounds.by_round(rng.random((200, 6)) < 0.5)
    steps = found.accuracy[:-1] + found.correct_flips[1:] - found.incorrect_flips[1:]
    assert found.accuracy[1:] == pytest.approx(steps)
    assert (np.diff(found.cumulative) >= 0).all() and found.cumulative[0] == found.accuracy[0]
    with pytest.raises(ValueError, match="shape"):
        rounds.by_round([True, False])


def test_games_by_hand():
    found = games.score([False, True, True, False], [10, 12, 12, 14], budget=12)
    assert (found.win_rate, found.over_budget, found.overcorrection) == pytest.approx((0.5, 0.25, 2 / 3))
    assert (found.success, found.after_loss) == (0.5, 1.0)
    assert found.slope == pytest.approx(np.polyfit(range(4), [0, 1, 1, 0], 1)[0])
    assert games.score([True], [1], 1).slope == 0.0
    assert games.revised_rounds([1, 2, 3, 4, 5], first=True) == [1, 3]
    assert games.revised_rounds([1, 2, 3, 4, 5], first=False) == [2, 4]
    assert games.winner(11, 10, 20, 20, "a") == "b" and games.winner(11, 10, 24, 20, "b") == "a"
    assert games.winner(9, 10, 20, 20, "a") == "a" and games.winner(11, 10, 22, 20, "a") == "draw"
    slope = games.score([False, False, True, True], [1, 2, 3, 4], 10).slope
    assert slope == pytest.approx(0.4)


def test_pairwise_judges_without_knowledge_have_a_half():
    assert pairwise.score([("1", "1")] * 10) == 0.5 == pairwise.score([("tie", "?")] * 10)
    assert pairwise.score([("1", "2")] * 10) == 1.0 and pairwise.score([("2", "1")]) == 0.0
    a, strict, half = pairwise.graded(["CORRECT", "CORRECT BUT BAD FORMATTING", "INCORRECT", "INCORRECT"])
    assert (a, strict, half) == pytest.approx((0.5, 0.25, 1.96 * math.sqrt(0.25 / 4)))


# contamination and ranking


def test_contamination_scores_by_hand():
    top = np.log([[0.5, 0.25], [0.9, 0.05]])
    assert contamination.entropies(top)[0] == pytest.approx(-0.5 * math.log(0.5) - 0.25 * math.log(0.25))
    assert contamination.self_critique([1, 2, 3], [1, 2, 3]) == pytest.approx(1.0)
    assert contamination.self_critique([1, 0], [1, 0, 0, 0]) == pytest.approx(0.5)
    assert contamination.self_critique([1, 0], [0, 1]) == 0.0 == contamination.self_critique([], [1.0])
    assert contamination.self_critique([0, 0], [0, 0]) == 0.0
    lp = np.log([0.5, 0.5])
    assert contamination.perplexity(lp) == pytest.approx(-2.0)
    assert contamination.min_k(np.log([0.1] + [0.9] * 9)) == pytest.approx(-(math.log(0.1) + math.log(0.9)) / 2)
    assert contamination.recall(lp * 2, lp) == pytest.approx(2.0)
    assert contamination.edits("kitten", "sitting") == 3
    assert contamination.peakedness("abcd", ["abcd", "abcd", "wxyz"]) == pytest.approx(2 / 3)
    certain = contamination.min_k_plus(np.log([0.5]), np.log([[0.5, 0.5]]))
    assert certain == 0.0  # a distribution that does not vary says nothing
    assert contamination.min_k_plus(np.log([0.9]), np.log([[0.9, 0.1]])) > 0


def test_auroc_and_thresholds():
    y, s = [1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1]
    assert ranking.auroc(y, s) == 0.75
    assert ranking.auroc(y, [1, 1, 1, 1]) == 0.5 and ranking.auroc([1, 0], [math.nan, 1]) is not None
    found = ranking.thresholds(y, s)
    assert found == {"best_f1": pytest.approx(0.8), "youden": 0.5, "tpr_at_fpr": 0.5}
    rng = np.random.default_rng(0)
    labels, scores = rng.random(300) < 0.3, rng.normal(size=300).round(1)
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[labels] for b in scores[~labels]]
    assert ranking.auroc(labels, scores) == pytest.approx(np.mean(pairs))
    with pytest.raises(ValueError, match="equal shapes"):
        ranking.auroc([1, 0], [1.0])
