"""MMC's pairs on a tree drawn by hand, and the stages around them on small tables."""

import json

import pytest

from elenchus import graph, stages, tables
from elenchus.critics import siblings
from elenchus.critics.drafts import Draft
from elenchus.critics.format import parse, render
from elenchus.errors import UserError
from elenchus.job import Job, Result, file_entries
from elenchus.problems import chain
from elenchus.search.labels import Branch
from elenchus.solutions import read

# 8 - 7 = 1, 1 * 9 = 9, 9 + 4 = 2 modulo 11
PROBLEM = chain.build(8, [("-", 7), ("*", 9), ("+", 4)], 11)

#   0
#   |- 1  8 - 7 = 1
#   |   |- 3  1 * 9 = 9
#   |   |   |- 5  9 + 4 = 2   right
#   |   |   '- 6  9 + 4 = 3   wrong, parts from 5 at the third step
#   |   '- 4  1 * 9 = 7
#   |       '- 7  7 + 4 = 0   wrong, parts from 5 at the second step
#   '- 2  8 - 7 = 2
#       '- 8  2 * 9 = 7       not finished
#           '- 9  7 + 4 = 0   wrong, parts from 5 at the first step
STEPS = [
    (-1, ""),
    (0, "8 - 7 = 1"),
    (0, "8 - 7 = 2"),
    (1, "1 * 9 = 9"),
    (1, "1 * 9 = 7"),
    (3, "9 + 4 = 2"),
    (3, "9 + 4 = 3"),
    (4, "7 + 4 = 0"),
    (2, "2 * 9 = 7"),
    (8, "7 + 4 = 0"),
]
TREE = [Branch(parent, step, i in (5, 6, 7, 9), i == 5) for i, (parent, step) in enumerate(STEPS)]


def draft(*steps):
    checks = chain.check_steps(PROBLEM, list(steps))
    first = next((i for i, c in enumerate(checks) if not c.ok), -1)
    return Draft("d", PROBLEM, chain.render(PROBLEM, list(steps)), steps, first == -1, first)


def test_every_wrong_leaf_is_paired_with_the_right_one_of_the_deepest_ancestor():
    found = {d.wrong: (d.right, d.at) for d in siblings.divergences(TREE)}
    assert found == {6: (5, 2), 7: (5, 1), 9: (5, 0)}


def test_of_two_right_leaves_the_nearer_one_is_taken():
    tree = [*TREE, Branch(4, "7 + 4 = 2", True, True)]  # errors that cancel: right, below the wrong step
    found = {d.wrong: (d.right, d.at) for d in siblings.divergences(tree)}
    assert found == {6: (5, 2), 7: (10, 2), 9: (5, 0)}  # the assumed first error of 7 is now behind the true one


def test_a_tree_without_a_right_leaf_has_no_pairs():
    assert siblings.divergences([b for b in TREE[:5]]) == []


def test_the_annotator_mends_the_deviating_step_by_the_right_branch():
    text = render(siblings.contrast(draft("8 - 7 = 1", "1 * 9 = 7", "7 + 4 = 0"), 1, "1 * 9 = 9"))
    assert text == "#1 8 - 7 -> 1 1 good #2 1 * 9 -> 9 7 bad result #3 7 + 4 -> 0 0 good wrong"


def test_the_annotator_trusts_the_pairing_even_where_the_step_is_innocent():
    said = siblings.contrast(draft("8 - 7 = 1", "1 * 9 = 9", "9 + 4 = 3"), 1, "1 * 9 = 9")
    assert [u.ok for u in said] == [True, False, False] and said[1].expected == "9"


def test_a_right_path_is_accepted_whole():
    said = parse(render(siblings.fine(draft("8 - 7 = 1", "1 * 9 = 9", "9 + 4 = 2"))), 3, chain.error_types())
    assert said.verdict == "right" and said.first_error == -1


class Workshop:
    """Runs kinds on tables."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0

    def new(self):
        self.count += 1
        out = self.folder / str(self.count)
        out.mkdir()
        return out

    def close(self, out):
        (out / "stage.json").write_text(json.dumps({"files": file_entries(out)}))
        return Result(out)

    def result(self, **content):
        out = self.new()
        for name, rows in content.items():
            tables.write(name, rows, out / f"{name}.parquet")
        return self.close(out)

    def run(self, kind, params=None, **inputs):
        out, module = self.new(), stages.load(kind)
        job = Job(kind, module.Params.model_validate(params or {}), 7, inputs, out, out.with_suffix(".work"))
        module.run(job)
        return self.close(out)


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path)


def problems_table():
    meta = json.dumps(PROBLEM.meta)
    row = {"problem_id": PROBLEM.id, "family": "chain", "split": "train", "prompt": PROBLEM.prompt, "meta": meta}
    return [{**row, "answer": PROBLEM.answer}]


def solution(steps, sample):
    facts = {"finish": "end", "tokens": 20, "logprob": -1.0, "temperature": 1.0}
    return read(PROBLEM, chain.render(PROBLEM, steps), sample, "abc", **facts)


def searched(workshop):
    """The tree above as a search stage leaves it: nodes, and leaves as solutions."""
    node = {
        "problem_id": PROBLEM.id,
        "depth": 0,
        "visits": 1,
        "value": 0.0,
        "prior": 1.0,
        "model_value": None,
        "tokens": 6,
    }
    nodes = [
        {**node, "node": i, "parent": b.parent, "step": b.step, "terminal": b.terminal, "correct": b.correct}
        for i, b in enumerate(TREE)
    ]
    leaves = [
        solution([TREE[i].step for i in siblings.paths(TREE, leaf)[1:]], leaf)
        for leaf, b in enumerate(TREE)
        if b.terminal
    ]
    return workshop.result(nodes=nodes, solutions=leaves)


def test_contrasts_of_a_tree_name_the_first_errors(workshop):
    trees, problems = searched(workshop), workshop.result(problems=problems_table())
    made = workshop.run("contrast", {"most": 5}, trees=trees, solutions=trees, problems=problems)
    found = made.table("critiques").set_index("solution_id")["first_error"]
    truth = trees.table("solutions").set_index("solution_id")["first_error"]
    assert len(found) == 4 and (found == truth[found.index]).all()


def test_an_annotator_without_the_right_branch_has_its_faults(workshop):
    trees, problems = searched(workshop), workshop.result(problems=problems_table())
    params = {"most": 5, "aided": False, "miss_rate": 1.0}
    made = workshop.run("contrast", params, trees=trees, solutions=trees, problems=problems)
    assert set(made.table("critiques")["first_error"]) == {-1}
    with pytest.raises(UserError, match="give the input"):
        workshop.run("contrast", {}, solutions=trees, problems=problems)


def test_a_turn_leaves_the_refinement_or_what_stood(workshop):
    problems = workshop.result(problems=problems_table())
    wrong, other = (
        solution(["8 - 7 = 2", "2 * 9 = 7", "7 + 4 = 0"], 0),
        solution(["8 - 7 = 1", "1 * 9 = 7", "7 + 4 = 0"], 1),
    )
    right = ["8 - 7 = 1", "1 * 9 = 9", "9 + 4 = 2"]
    refined = {
        "refinement_id": "r", "critique_id": "c", "solution_id": wrong["solution_id"], "problem_id": PROBLEM.id,
        "sample": 0, "text": chain.render(PROBLEM, right), "steps": right, "answer": "2", "parsed": True,
        "correct": True, "was_correct": False, "first_error": -1, "tokens": 21, "logprob": -2.0,
    }  # fmt: skip
    made = workshop.run(
        "revised",
        refinements=workshop.result(refinements=[refined]),
        solutions=workshop.result(solutions=[wrong, other]),
        problems=problems,
    ).table("solutions")
    assert made["correct"].tolist() == [True, False] and made["text"][1] == other["text"]
    assert made["tokens"].tolist() == [21, 20] and made["sample"].tolist() == [0, 1]


def test_kinds_are_wired_by_what_they_offer():
    problems = graph.make("problems", {"family": "chain", "split": "train", "n": 3, "options": {}}, seed=0)
    with pytest.raises(UserError, match="lacks its input"):
        graph.make("contrast", {}, seed=0, problems=problems)
