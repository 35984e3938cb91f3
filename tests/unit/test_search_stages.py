"""The stages `search` and `label` end to end, on a tiny model that has learned the form of two-step chains."""

from __future__ import annotations

import json
import math
import random
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from finished import result

from elenchus import models, solutions
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.problems import chain
from elenchus.stages import label, search

OPTIONS = chain.Options(modulus=5, min_length=2, max_length=2)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Return a result with a model and problems."""
    torch.set_num_threads(1)
    folder, rng = tmp_path_factory.mktemp("world"), random.Random(0)
    tokenizer = models.new_tokenizer(chain.vocabulary(OPTIONS))
    model = models.new_model(len(tokenizer), width=64, layers=2, heads=2, context=96, seed=0)
    hidden = [w for name, w in model.named_parameters() if w.ndim == 2 and "embed" not in name]
    rest = [w for name, w in model.named_parameters() if w.ndim != 2 or "embed" in name]
    muon = torch.optim.Muon(hidden, lr=1e-2, weight_decay=0.0)
    adamw = torch.optim.AdamW(rest, lr=3e-3, weight_decay=0.0)
    for _ in range(200):
        problems = [chain.generate(OPTIONS, rng) for _ in range(16)]
        texts = [
            f"{solutions.prompt(tokenizer, p)}{chain.render(p, chain.reference(p))} {tokenizer.eos_token}"
            for p in problems
        ]
        batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
        for optimizer in (muon, adamw):
            optimizer.step()
            optimizer.zero_grad()
    models.save(model, tokenizer, folder / "model")
    found = {p.id: p for p in (chain.generate(OPTIONS, rng) for _ in range(12))}
    rows = [
        {"problem_id": p.id, "family": "chain", "split": "train", "prompt": p.prompt, "answer": p.answer}
        | {"meta": json.dumps(p.meta)}
        for p in found.values()
    ]
    return result(folder, problems=rows)


def run(module, tmp_path, name, inputs, **params):
    out = tmp_path / name
    out.mkdir()
    job = Job(name, module.Params(**params), 3, inputs, out, out.with_suffix(".work"))
    module.run(job)
    return job, result(out, job.params.model_dump())


@pytest.mark.parametrize(
    "params",
    [
        {"value": "rollouts", "backup": "mean"},
        {"value": "outcome", "select": "puct", "c": 1.0, "backup": "max", "leaves_per_round": 2},
        {"value": "self", "exact": False, "lookahead": 1},
    ],
)
def test_search_writes_trees_and_their_leaves(world, tmp_path, params):
    inputs = {"actor": world, "problems": world}
    settings = {"simulations": 6, "temperature": 1.0, "batch_size": 16, **params}
    job, made = run(search, tmp_path, "search", inputs, **settings)
    nodes, leaves = made.table("nodes"), made.table("solutions")
    problems = world.table("problems")
    assert nodes["problem_id"].unique().tolist() == problems["problem_id"].tolist()
    roots = nodes[nodes["node"] == 0]
    assert (roots["parent"] == -1).all() and (roots["visits"] >= 6).all()
    assert nodes["value"].between(0, 1).all()
    for _, below in nodes[nodes["node"] > 0].groupby(["problem_id", "parent"]):
        assert below["prior"].sum() == pytest.approx(1)
        assert below["step"].is_unique or below["terminal"].any()  # finished steps may differ in their answer alone
    ended = nodes[nodes["terminal"]]
    assert len(leaves) == len(ended) and ended["correct"].tolist() == leaves["correct"].tolist()
    assert leaves["parsed"].mean() > 0.5 and leaves["correct"].any()
    assert job.cost.sampled >= nodes["tokens"].sum() > 0
    assert (job.cost.oracle_calls == 0) == (params["value"] == "self")
    _, again = run(search, tmp_path, "again", inputs, **settings)
    for file in ("nodes.parquet", "solutions.parquet"):
        assert (again.folder / file).read_bytes() == (made.folder / file).read_bytes()


def test_a_tree_does_not_depend_on_the_other_problems(world, tmp_path):
    few_problems = result(tmp_path / "part", problems=world.table("problems").iloc[7:9])
    settings = {"simulations": 5, "temperature": 1.0, "value": "rollouts"}
    _, whole = run(search, tmp_path, "whole", {"actor": world, "problems": world}, **settings)
    _, few = run(search, tmp_path, "few", {"actor": world, "problems": few_problems}, batch_size=8, **settings)
    columns = ["problem_id", "node", "parent", "step", "visits", "value"]
    expected = whole.table("nodes")
    expected = expected[expected["problem_id"].isin(few.table("nodes")["problem_id"])]
    pd.testing.assert_frame_equal(few.table("nodes")[columns], expected[columns].reset_index(drop=True))


def test_value_model_and_its_input_belong_together(world, tmp_path):
    inputs = {"actor": world, "problems": world}
    with pytest.raises(UserError, match="needs input `value_model`"):
        run(search, tmp_path, "a", inputs, value="value_model")
    with pytest.raises(UserError, match="takes no input `value_model`"):
        run(search, tmp_path, "b", {**inputs, "value_model": world}, value="rollouts")


def test_value_model_is_asked_for_every_readable_node(world, tmp_path, monkeypatch):
    from elenchus.training import process_head

    scorer = SimpleNamespace(tokens=17, asked=0)

    def score_steps(questions, steps):
        scorer.asked += len(questions)
        return [[0.1] * (len(own) - 1) + [len(own) / 10] for own in steps]

    scorer.score_steps = score_steps
    monkeypatch.setattr(process_head, "load", lambda folder, batch_size: scorer)
    (tmp_path / "head" / "process_head").mkdir(parents=True)
    (tmp_path / "head" / "process_head" / "head.json").write_text("{}")
    inputs = {"actor": world, "problems": world, "value_model": result(tmp_path / "head")}
    job, made = run(search, tmp_path, "a", inputs, value="value_model", exact=False, simulations=4)
    nodes = made.table("nodes")
    judged = nodes[nodes["model_value"].notna()]
    assert len(judged) == scorer.asked and (judged["model_value"] == judged["depth"] / 10).all()
    assert job.cost.oracle_calls == 0 and job.cost.prompt > 17


# -- labels ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trees(world, tmp_path_factory):
    tmp = tmp_path_factory.mktemp("trees")
    inputs = {"actor": world, "problems": world}
    return run(search, tmp, "trees", inputs, simulations=8, temperature=1.0, value="rollouts")[1]


def test_tree_labels(world, trees, tmp_path):
    job, made = run(label, tmp_path, "full", {"problems": world, "trees": trees}, source="tree")
    rows = made.table("labels")
    nodes = trees.table("nodes")
    solved = nodes.groupby("problem_id")["correct"].agg(lambda c: any(x is True for x in c))
    assert set(rows["problem_id"]) == set(solved[solved].index)
    known = [x for own in rows["labels"] for x in own if not math.isnan(x)]
    assert all(0 <= x <= 1 for x in known) and len(known) <= len(nodes)
    assert sum(x == 1.0 for x in known) == sum(x is True for x in nodes["correct"])
    assert all(len(a) == len(b) for a, b in zip(rows["steps"], rows["labels"]))
    assert job.cost.oracle_calls == 0  # the search has paid for the outcomes
    unpaid = result(trees.folder, {"exact": False})
    job, _ = run(label, tmp_path, "unpaid", {"problems": world, "trees": unpaid}, source="tree")
    assert job.cost.oracle_calls == nodes["terminal"].sum()


def test_checker_labels_of_solutions_and_of_trees(world, trees, tmp_path):
    inputs = {"problems": world, "solutions": trees}
    job, made = run(label, tmp_path, "checker", inputs, source="checker", after_error="zero")
    table = trees.table("solutions")
    table = table[table["parsed"]].set_index("solution_id")
    rows = made.table("labels")
    assert rows["path_id"].tolist() == table.index.tolist()
    for path, values in zip(rows["path_id"], rows["labels"]):
        first = table.loc[path, "first_error"]
        length = len(table.loc[path, "steps"])
        assert list(values) == [1.0 if first < 0 or k < first else 0.0 for k in range(length)]
    assert job.cost.oracle_calls == sum(map(len, rows["steps"]))
    inputs = {"problems": world, "trees": trees}
    _, far = run(label, tmp_path, "distance", inputs, source="checker", checker="distance")
    assert all(0 <= x <= 1 for own in far.table("labels")["labels"] for x in own)


def test_rollout_labels(world, trees, tmp_path):
    inputs = {"problems": world, "solutions": trees, "actor": world}
    job, made = run(label, tmp_path, "rollouts", inputs, source="rollouts", rollouts=4)
    rows = made.table("labels")
    assert all(x in (0, 0.25, 0.5, 0.75, 1) for own in rows["labels"] for x in own)
    prefixes = {(p, tuple(s[:k])) for p, s in zip(rows["problem_id"], rows["steps"]) for k in range(1, len(s) + 1)}
    assert job.cost.oracle_calls == 4 * len(prefixes)
    assert job.cost.sampled > 0
    table = trees.table("solutions").set_index("solution_id")
    last = [(own[-1], table.loc[path, "correct"]) for path, own in zip(rows["path_id"], rows["labels"])]
    right, wrong = [x for x, ok in last if ok], [x for x, ok in last if not ok]
    assert sum(right) / len(right) > sum(wrong) / len(wrong) + 0.4  # all steps done: the answer is read off


def test_sources_and_inputs_belong_together(world, trees, tmp_path):
    problems = world
    for k, (inputs, source, message) in enumerate(
        [
            ({"solutions": trees}, "tree", "needs input `trees`"),
            ({}, "checker", "needs input `solutions`"),
            ({"solutions": trees}, "rollouts", "needs input `actor`"),
            ({"solutions": trees, "actor": problems}, "checker", "takes no input `actor`"),
        ]
    ):
        with pytest.raises(UserError, match=message):
            run(label, tmp_path, f"x{k}", {"problems": problems, **inputs}, source=source)


def test_estimates_bound_the_rows(world, trees):
    rows = {"problems": len(world.table("problems"))}
    estimate = search.estimate(search.Params(simulations=8), rows)
    assert len(trees.table("nodes")) <= estimate.rows and estimate.sampled > 0
    assert label.estimate(label.Params(source="rollouts", rollouts=2), {"solutions": 10}).sampled == 20 * 5 * 10 * 2
