"""Critic-V: injected errors, the rule-based score and the pairs made of it, on values worked out by hand."""

import json
import random
from collections import Counter

import pytest

from elenchus import stages, tables
from elenchus.critics import inject, oracle, pairs
from elenchus.critics.drafts import Draft
from elenchus.errors import UserError
from elenchus.job import Job, Result, file_entries
from elenchus.problems import chain, countdown

# 8 - 7 = 1, 1 * 9 = 9, 9 + 4 = 2, 2 + 5 = 7 (mod 11)
PROBLEM = chain.build(8, [("-", 7), ("*", 9), ("+", 4), ("+", 5)], 11)


def wrong_steps(family, problem, steps):
    return [i for i, check in enumerate(family.check_steps(problem, steps)) if not check.ok]


@pytest.mark.parametrize("family", (chain, countdown))
def test_as_many_errors_as_asked_for_and_a_wrong_answer(family):
    rng = random.Random(0)
    for _ in range(20):
        problem = family.generate(family.Options(), rng)
        for errors in range(1, len(family.reference(problem)) + 1):
            steps = inject.inject(problem, rng, errors)
            assert len(wrong_steps(family, problem, steps)) == errors
            solution = family.parse(problem, family.render(problem, steps))
            assert solution.ok and not family.check_answer(problem, solution.answer)


def test_types_are_kept_to_and_what_cannot_be_is_none():
    for name in ("result", "carry", "operator", "operand"):
        steps = inject.inject(PROBLEM, random.Random(1), 1, (name,))
        assert [c.error for c in chain.check_steps(PROBLEM, steps) if not c.ok] == [name]
    assert inject.inject(PROBLEM, random.Random(1), 5) is None  # four steps
    assert inject.inject(PROBLEM, random.Random(1), 1, ("format",)) is None  # no family writes such a step
    with pytest.raises(UserError, match=r"no error type 'opernad' in this family.*operand"):
        inject.check_types(["opernad"], chain.error_types())


def test_a_given_solution_is_kept_up_to_its_first_wrong_step():
    problem = countdown.build([2, 3, 4, 6], 24, 100)
    source = ["2 * 3 = 6", "6 * 4 = 24"]
    for seed in range(20):
        steps = inject.inject(problem, random.Random(seed), 1, (), source)
        first = wrong_steps(countdown, problem, steps)[0]
        assert steps[:first] == source[:first]


class Folder:
    """Runs kinds in a folder."""

    def __init__(self, path):
        self.path, self.count = path, 0

    def result(self, **content):
        out = self.path / f"given{self.count}"
        out.mkdir()
        self.count += 1
        for name, rows in content.items():
            tables.write(name, rows, out / f"{name}.parquet")
        return self.close(out)

    def run(self, kind, params, **inputs):
        out = self.path / f"{kind}{self.count}"
        out.mkdir()
        self.count += 1
        module = stages.load(kind)
        module.run(Job(kind, module.Params.model_validate(params), 3, inputs, out, out.with_suffix(".work")))
        return self.close(out)

    def close(self, out):
        (out / "stage.json").write_text(json.dumps({"files": file_entries(out)}))
        return Result(out)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


@pytest.fixture
def problems(folder):
    rng = random.Random(4)
    rows = [
        {"problem_id": p.id, "family": "chain", "split": "train", "prompt": p.prompt, "answer": p.answer}
        | {"meta": json.dumps(p.meta)}
        for p in (chain.generate(chain.Options(), rng) for _ in range(40))
    ]
    return folder.result(problems=rows)


def test_the_kind_writes_solutions_and_the_labels_of_their_steps(folder, problems):
    made = folder.run("inject", {"n": 3, "fewest": 1, "most": 2, "clean": 0.25}, problems=problems)
    solutions, labels = made.table("solutions"), made.table("labels")
    assert len(solutions) == 120 and solutions["parsed"].all() and solutions["solution_id"].is_unique
    assert list(labels["path_id"]) == list(solutions["solution_id"])
    errors = [int(sum(1 - x for x in own)) for own in labels["labels"]]
    assert set(errors) == {0, 1, 2} and 10 < Counter(errors)[0] < 55  # a quarter of 120, give or take
    for steps, label, row in zip(solutions["steps"], labels["labels"], solutions.to_dict("records")):
        first = list(label).index(0.0) if 0.0 in label else -1
        assert len(steps) == len(label) and row["first_error"] == first and row["correct"] == (first == -1)
    again = folder.run("inject", {"n": 3, "fewest": 1, "most": 2, "clean": 0.25}, problems=problems)
    assert again.manifest["files"] == made.manifest["files"]


def test_only_sound_solutions_of_a_stage_are_corrupted(folder, problems):
    exact = folder.run("inject", {"clean": 1.0}, problems=problems)
    broken = folder.run("inject", {"most": 1}, problems=problems)
    made = folder.run("inject", {"n": 2, "most": 1}, problems=problems, solutions=exact).table("solutions")
    assert len(made) == 80 and not made["correct"].any()
    with pytest.raises(UserError, match="no solution of 40 problems"):
        folder.run("inject", {}, problems=problems, solutions=broken)
    with pytest.raises(ValueError, match="fewest 3 is above most 2"):
        stages.load("inject").Params(fewest=3, most=2)


def test_the_rules_score_by_hand():
    rng = random.Random(0)
    # Injected: steps 2, 3. Found: 2, 4. Jaccard 1/3; recall 1/2, one of two right steps flagged: 10 (1/2 - 1/4) -> 2.
    judged = pairs.judge_score([1, 2], [1, 3], 4, 0.0, rng)
    assert judged == 2 and pairs.rule_score([1, 2], [1, 3], judged) == pytest.approx(1 / 3 + 0.2)
    # The nit-picker flags all four: Jaccard 1/2, 10 (1 - 1/2) = 5. The one who finds one error of two: 1/2 too, 5 too.
    assert pairs.rule_score([1, 2], range(4), pairs.judge_score([1, 2], range(4), 4, 0.0, rng)) == pytest.approx(1.0)
    assert pairs.rule_score([1, 2], [2], pairs.judge_score([1, 2], [2], 4, 0.0, rng)) == pytest.approx(1.0)
    # A clean answer: nothing found is perfect, anything found has no overlap.
    assert pairs.rule_score([], [], pairs.judge_score([], [], 4, 0.0, rng)) == pytest.approx(2.0)
    assert pairs.rule_score([], [0], pairs.judge_score([], [0], 4, 0.0, rng)) == pytest.approx(0.1 * 9)  # 8.75 -> 9


def judged_pairs(folder, problems, **params):
    """Return the pairs table of three critics on an answer with one error in four steps."""
    steps = ["8 - 7 = 1", "1 * 9 = 3", "3 + 4 = 7", "7 + 5 = 1"]
    solution = {"solution_id": "s0", "problem_id": PROBLEM.id, "family": "chain", "sample": 0, "temperature": 0.0}
    solution |= {"text": chain.render(PROBLEM, steps), "steps": steps, "answer": "1", "parsed": True, "correct": False}
    solution |= {"first_error": 1, "error": "result", "finish": "end", "tokens": 0, "logprob": 0.0}
    row = {"problem_id": PROBLEM.id, "family": "chain", "split": "train", "prompt": PROBLEM.prompt, "answer": "7"}
    given = {
        "solutions": folder.result(solutions=[solution]),
        "problems": folder.result(problems=[row | {"meta": json.dumps(PROBLEM.meta)}]),
    }
    draft = Draft("s0", PROBLEM, solution["text"], tuple(steps), False, 1)
    dials = {"finds": {}, "nitpicks": {"false_alarm_rate": 1.0}, "sleeps": {"miss_rate": 1.0}}
    critiques = [
        folder.result(critiques=[oracle.criticise(draft, name, oracle.Dials(**own), 0)]) for name, own in dials.items()
    ]
    return folder.run("pairs", {"judge_noise": 0.0, **params}, critiques=critiques, **given).table("pairs")


def test_all_strictly_ordered_pairs_and_their_margins(folder, problems):
    # finds: 1 + 1 = 2. nitpicks: 1/4 + 0.1 * 5 = 0.75. sleeps: 0 + 0 = 0.
    got = judged_pairs(folder, problems, rule="jaccard")
    found = [(r["chosen_critic"], r["rejected_critic"], r["margin"]) for r in got.to_dict("records")]
    assert found == [
        ("finds", "sleeps", pytest.approx(2.0)),
        ("finds", "nitpicks", pytest.approx(1.25)),
        ("nitpicks", "sleeps", pytest.approx(0.75)),
    ]
    assert got["kept"].all()
    assert len(judged_pairs(folder, problems, rule="jaccard", min_margin=1.0)) == 2


def test_the_judge_alone_punishes_nit_picking_less(folder, problems):
    # 10, 5, 0: the nit-picker lies halfway, with the Jaccard index it lies below the middle (0.75 of 2).
    got = judged_pairs(folder, problems, rule="judge").set_index(["chosen_critic", "rejected_critic"])["margin"]
    assert got.to_dict() == {("finds", "sleeps"): 10, ("finds", "nitpicks"): 5, ("nitpicks", "sleeps"): 5}
