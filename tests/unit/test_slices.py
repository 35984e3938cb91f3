"""Stages that read their tables in slices of problems: what they make does not depend on how large a slice is."""

from __future__ import annotations

import json
import random

import pandas as pd
import pytest
from finished import result

from elenchus import slices, solutions, stages, tables
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.metrics import bootstrap
from elenchus.problems import chain

OPTIONS = chain.Options(modulus=11, min_length=3, max_length=4)
INPUTS = {"problems": "problems", "solutions*": "solutions", "units?": "units"}


def run(kind, folder, params=None, seed=7, **inputs):
    """Return a result of a kind on inputs."""
    folder.mkdir(parents=True)
    module = stages.load(kind)
    params = module.Params.model_validate(params or {})
    job = Job(kind, params, seed, inputs, folder, folder.with_suffix(".work"))
    module.run(job)
    made = result(folder, params.model_dump())
    return made, job.cost


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Return results of 24 problems: solutions right and wrong, critiques of two critics, refinements, trees."""
    home, rng = tmp_path_factory.mktemp("given"), random.Random(0)
    problems, _ = run("problems", home / "problems", {"split": "train", "n": 24, "options": OPTIONS.model_dump()})
    made, _ = run("inject", home / "inject", {"n": 4, "fewest": 1, "most": 1, "clean": 0.5}, problems=problems)
    base = {"solutions": made, "problems": problems}
    critics = {
        name: run("critique", home / name, {"source": "oracle", "critic": name, "miss_rate": miss, "n": n}, **base)[0]
        for name, miss, n in (("sharp", 0.1, 1), ("dull", 0.5, 1), ("twice", 0.3, 2))
    }
    units, _ = run("aggregate", home / "units", {}, critiques=[critics["sharp"], critics["dull"]], **base)
    refined = []
    for row in critics["twice"].table("critiques").to_dict("records"):
        before = made.table("solutions").set_index("solution_id").loc[row["solution_id"]]
        facts = {key: row[key] for key in ("critique_id", "solution_id", "problem_id", "sample")}
        facts |= {"refinement_id": f"{row['critique_id']}>0", "text": before["text"], "steps": list(before["steps"])}
        now = bool(before["correct"]) if rng.random() < 0.6 else not before["correct"]
        refined.append(
            {**facts, "parsed": True, "correct": now, "was_correct": bool(before["correct"]), "first_error": -1}
        )
    scores = [
        {"solution_id": r["solution_id"], "problem_id": r["problem_id"], "score": s, "step_scores": [s, 1.0]}
        for r in made.table("solutions").to_dict("records")
        if (s := rng.random()) or True
    ]
    return {
        **base,
        **critics,
        "units": units,
        "refinements": result(home / "refinements", refinements=refined),
        "scores": result(home / "scores", scores=scores),
        "trees": trees(home / "trees", problems),
    }


def trees(folder, problems):
    """Return trees of a right and a wrong path each, and the solutions at their leaves."""
    from elenchus.critics.drafts import by_id

    nodes, leaves = [], []
    for problem in by_id(problems.table("problems")).values():
        right = chain.reference(problem)
        last = right[-1].rpartition(" ")
        wrong = [*right[:-1], f"{last[0]} {(int(last[2]) + 1) % 11}"]
        facts = {"problem_id": problem.id, "visits": 2, "prior": 0.5, "tokens": 5, "model_value": 0.5}
        nodes.append({**facts, "node": 0, "parent": -1, "depth": 0, "step": "", "value": 0.5, "terminal": False})
        at, place = 0, {}
        for k, step in enumerate([*right, wrong[-1]]):
            at = at if k < len(right) else len(right) - 1
            ends = k >= len(right) - 1
            place = {
                "node": k + 1,
                "parent": at,
                "depth": at + 1,
                "step": step,
                "terminal": ends,
                "value": float(k % 2),
            }
            nodes.append({**facts, **place, "correct": k == len(right) - 1 if ends else None})
            at = k + 1
        for sample, steps in ((len(right), right), (len(right) + 1, wrong)):
            text = chain.render(problem, steps)
            about = {"finish": "end", "tokens": 9, "logprob": -1.0, "temperature": 1.0}
            leaves.append(solutions.read(problem, text, sample, "abc", **about))
    return result(folder, {"exact": False, "commit": True}, nodes=nodes, solutions=leaves)


CASES = {
    "policy": ("evaluate", {"which": "policy"}, {"scores": "scores"}),
    "critic": ("evaluate", {"which": "critic"}, {"critiques": "twice"}),
    "vote": ("evaluate", {"which": "vote"}, {"critiques": "dull"}),
    "correction": ("evaluate", {"which": "correction"}, {"refinements": "refinements"}),
    "distances": ("label", {"source": "checker", "checker": "distance"}, {}),
    "tree": ("label", {"source": "tree"}, {"trees": "trees", "solutions": None}),
    "selected": ("select", {"threshold": -0.5, "wanted": 30, "reference": True}, {"scores": "scores"}),
    "filled": ("select", {"selector": "topk_fill", "wanted": 30}, {"scores": "scores"}),
    "balance": ("balance", {"temperatures": [0.0], "thresholds": [-0.5, 0.5]}, {"scores": "scores", "problems": None}),
    "aggregate": ("aggregate", {"judge_noise": 0.3}, {"critiques": ["sharp", "dull"]}),
    "severity": ("pairs", {}, {"critiques": ["sharp", "dull"], "units": "units"}),
    "jaccard": ("pairs", {"rule": "jaccard"}, {"critiques": ["sharp", "dull"]}),
    "contrast": ("contrast", {"most": 1}, {"trees": "trees", "solutions": "trees"}),
    "alone": ("contrast", {"most": 1, "aided": False, "miss_rate": 0.3}, {}),
    "steps": ("step_pairs", {"right_only": False}, {}),
    "mending": ("examples", {"keep": "mends", "of": "critiques"}, {"critiques": "twice", "refinements": "refinements"}),
    "limited": ("examples", {"of": "refinements", "limit": 17}, {"critiques": "twice", "refinements": "refinements"}),
    "references": ("examples", {"of": "references"}, {"solutions": None}),
    "natural": ("cases", {"limit": 20, "miss_rate": 0.2}, {}),
    "corrupted": ("cases", {"source": "corrupted", "teach": "generator", "limit": 20}, {}),
    "score": ("score", {"flip": 0.2, "blur": 0.1}, {}),
    "revised": ("revised", {}, {"refinements": "refinements"}),
    "answer": ("answer", {"rule": "vote"}, {"scores": "scores"}),
    "inject": ("inject", {"n": 2, "fewest": 1, "most": 2}, {}),
}


def by_row(made, name):
    """Return a table's rows, without their order, as text."""
    return sorted(map(json.dumps, json.loads(made.table(name).to_json(orient="records", double_precision=15))))


@pytest.mark.parametrize("case", CASES)
def test_slices_change_nothing(given, tmp_path, monkeypatch, case):
    kind, params, also = CASES[case]
    names = {"solutions": "solutions", "problems": "problems", **also}
    inputs = {
        name: [given[x] for x in of] if isinstance(of, list) else given[of]
        for name, of in names.items()
        if of is not None
    }
    if case == "steps":
        inputs["solutions"], inputs["trees"] = given["trees"], given["trees"]
        inputs["solutions"] = result(tmp_path / "ends", solutions=given["trees"].table("solutions").iloc[::2])
    whole, cost = run(kind, tmp_path / "whole", params, **inputs)
    walked = []
    rows = slices._rows
    monkeypatch.setattr(slices, "ROWS", 9)
    monkeypatch.setattr(slices, "_rows", lambda table, *at: walked.append(len(found := rows(table, *at))) or found)
    sliced, same = run(kind, tmp_path / "sliced", params, **inputs)
    assert len(walked) > 2 and max(walked) <= 32 and same == cost  # a problem has up to 32 judged units
    for path in (tmp_path / "whole").iterdir():
        if path.suffix == ".parquet":
            # items stand slice by slice, and by metric in each; all else is in the same order
            if path.stem == "items":
                assert by_row(sliced, path.stem) == by_row(whole, path.stem) != []
            else:
                pd.testing.assert_frame_equal(sliced.table(path.stem), whole.table(path.stem))
                assert len(whole.table(path.stem))
        elif path.name != "stage.json":
            assert (tmp_path / "sliced" / path.name).read_bytes() == path.read_bytes()


def test_counts_at_k_are_those_of_all_problems_and_not_of_a_slice(given, tmp_path, monkeypatch):
    table = given["solutions"].table("solutions")
    first = table["problem_id"] == table["problem_id"].iloc[0]
    fewer = result(
        tmp_path / "fewer", solutions=table[~first | (table["sample"] < 2)]
    )  # two samples, the others have four
    inputs = {"solutions": fewer, "problems": given["problems"]}
    whole, _ = run("evaluate", tmp_path / "whole", {"which": "policy"}, **inputs)
    monkeypatch.setattr(slices, "ROWS", 9)
    sliced, _ = run("evaluate", tmp_path / "sliced", {"which": "policy"}, **inputs)
    assert by_row(sliced, "items") == by_row(whole, "items")
    assert {"pass@1", "pass@2"} <= set(whole.table("metrics")["metric"]) and "pass@4" not in set(
        whole.table("metrics")["metric"]
    )


def test_references_that_are_selected_are_among_the_examples(given, tmp_path):
    inputs = {"solutions": given["solutions"], "problems": given["problems"]}
    for reference, most in ((True, 24), (False, 0)):
        made, _ = run("select", tmp_path / str(reference), {"threshold": 0.5, "reference": reference}, **inputs)
        names = made.table("examples")["example_id"]
        kept = json.loads((made.folder / "selection.json").read_text())["kept"]
        assert len(names) == kept and names.is_unique
        assert (
            0 < names.str.endswith("~reference").sum() <= most
            if reference
            else not names.str.endswith("~reference").any()
        )


def walk(job, *names):
    return list(slices.walk(job, INPUTS, *names))


def job(tmp_path, **inputs):
    return Job("kind", None, 0, inputs, tmp_path, tmp_path)


def table(folder, name, *ids):
    own = {} if name == "problems" else {"solution_id": "{}-x.{}"}
    rows = [{"problem_id": i, **{c: text.format(i, k) for c, text in own.items()}} for k, i in enumerate(ids)]
    return result(folder, **{name: rows})


def test_a_walk_by_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(slices, "ROWS", 3)
    monkeypatch.setattr(tables, "GROUP_ROWS", 2)  # rows of a problem lie in several row groups
    problems = table(tmp_path / "p", "problems", "a", "b", "c", "d", "unused")
    first = table(tmp_path / "s1", "solutions", "c", "a", "a", "b", "a")
    second = table(tmp_path / "s2", "solutions", "d", "c")
    units = [{"solution_id": f"{i}-x.0"} for i in ("b", "a", "b")]
    at = job(tmp_path, problems=problems, solutions=[first, second], units=result(tmp_path / "u", units=units))
    found = walk(at, "solutions", "problems", "units")
    # in the order of the first solutions: c; a, three rows; b and d
    assert [[list(t["problem_id"]) for t in part["solutions"]] for part in found] == [
        [["c"], ["c"]],
        [["a", "a", "a"], []],
        [["b"], ["d"]],
    ]
    assert [list(part["problems"]["problem_id"]) for part in found] == [["c"], ["a"], ["b", "d"]]
    assert [list(part["units"]["solution_id"]) for part in found] == [[], ["a-x.0"], ["b-x.0", "b-x.0"]]
    assert [list(part["problems"]["problem_id"]) for part in walk(at, "problems")] == [["a", "b", "c"], ["d", "unused"]]
    monkeypatch.setattr(slices, "ROWS", 1)  # a problem's rows stay together
    assert [len(part["solutions"][0]) for part in walk(at, "solutions")] == [1, 3, 1]


def test_no_rows_are_one_empty_slice(tmp_path):
    at = job(tmp_path, problems=table(tmp_path / "p", "problems"), solutions=table(tmp_path / "s", "solutions"))
    (part,) = walk(at, "problems", "solutions", "units")
    assert part.keys() == {"problems", "solutions"} and len(part["problems"]) == len(part["solutions"]) == 0


def test_rows_of_a_problem_that_is_not_given_are_refused(tmp_path):
    problems, solved = table(tmp_path / "p", "problems", "a"), table(tmp_path / "s", "solutions", "a", "lost", "away")
    with pytest.raises(
        UserError, match="`solutions`: 2 of its problems are not among the 1 problems given, the first: away"
    ):
        walk(job(tmp_path, problems=problems, solutions=solved), "solutions", "problems")


def test_draws_in_blocks_are_the_same_draws(monkeypatch):
    values = random.Random(0)
    z = [[values.random() for _ in range(40)] for _ in range(3)]
    cells = tuple(bootstrap.np.array(x)[None] for x in (z, [[1.0] * 40] * 3))
    whole = bootstrap.interval(*cells)
    monkeypatch.setattr(bootstrap, "BLOCK", 1000)
    bootstrap._resample.cache_clear()
    blocks = bootstrap.interval(*cells)
    assert blocks.low == pytest.approx(whole.low, rel=1e-12) and blocks.high == pytest.approx(whole.high, rel=1e-12)
    counts = bootstrap._resample(40, 2000, 0, "problems")
    assert (counts.sum(axis=1, dtype=int) == 40).all()
