"""Stages in parts: the same bytes and costs in one job, in several, and after a kill."""

import json
import shutil

import pandas as pd
import pyarrow.parquet as pq
import pytest

from elenchus import models, parts, run_stage, tables
from elenchus.errors import UserError
from elenchus.graph import make
from elenchus.job import file_entries, read_manifest
from elenchus.problems import chain
from elenchus.stages import critique, refine

OPTIONS = {"modulus": 5, "min_length": 1, "max_length": 3}
ACTOR = make("seed_model", {"options": OPTIONS}, seed=0)
PROBLEMS = make("problems", {"options": OPTIONS, "split": "test", "n": 21}, seed=0)
SAMPLES = make("sample", {"n": 4, "max_tokens": 24, "batch_size": 2}, seed=0, actor=ACTOR, problems=PROBLEMS)
SPOILT = make("inject", {}, seed=0, problems=PROBLEMS)
GIVEN = {"solutions": SPOILT, "problems": PROBLEMS}
ORACLE = make("critique", {"source": "oracle", "miss_rate": 0.3}, seed=0, **GIVEN)
SEARCH = {"simulations": 3, "breadth": 2, "leaves_per_round": 1, "solution_tokens": 24}
STAGES = {
    "sample": SAMPLES,
    "several temperatures": make(
        "sample", {**SAMPLES.params, "temperature": [0.5, 1.0]}, seed=0, actor=ACTOR, problems=PROBLEMS
    ),
    "search": make("search", {**SEARCH, "batch_size": 4}, seed=0, actor=ACTOR, problems=PROBLEMS),
    "oracle": ORACLE,
    "critique": make("critique", {"max_tokens": 30, "n": 2}, seed=0, critic=ACTOR, **GIVEN),
    "refine": make("refine", {"when": "wrong", "max_tokens": 24}, seed=0, reviser=ACTOR, critiques=ORACLE, **GIVEN),
    "guided": make(
        "guided_search", {"n": 2, "batch_size": 1, "max_steps": 3}, seed=0, actor=ACTOR, critic=ACTOR, problems=PROBLEMS
    ),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a results folder with an untrained actor, problems, spoilt solutions and their critiques."""
    results = tmp_path_factory.mktemp("given") / "results"
    folder = results / "seed_model" / ACTOR.digest
    tokenizer = models.new_tokenizer(chain.vocabulary(chain.Options(**OPTIONS)))
    models.save(
        models.new_model(len(tokenizer), width=32, layers=1, heads=2, context=192, seed=0), tokenizer, folder / "model"
    )
    (folder / "stage.json").write_text(json.dumps({**ACTOR.spec(), "files": file_entries(folder)}))
    for s in (PROBLEMS, SPOILT, ORACLE):
        run_stage.run(s.spec(), results)
    return results


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for kind in (critique, refine):
        monkeypatch.setattr(kind, "CHUNK", 8)
        monkeypatch.setattr(run_stage, "same_code", lambda spec: None)


def copy(results, goal, without):
    """Return a copy of the results without one stage's."""
    shutil.copytree(results, goal)
    shutil.rmtree(goal / without.folder.relative_to("results"), ignore_errors=True)
    return goal


def cost(folder):
    found = json.loads((folder / "cost.json").read_text())
    return {k: found[k] for k in ("sampled", "prompt", "trained", "oracle_calls")}


@pytest.mark.parametrize("name", STAGES)
def test_shards_change_no_byte_and_no_cost(results, tmp_path, name):
    stage = STAGES[name]
    whole = run_stage.run(stage.spec(), copy(results, tmp_path / "whole", stage))
    files = read_manifest(whole)["files"]
    for n in (2, 3):
        shared = copy(results, tmp_path / str(n), stage)
        for i in reversed(range(n)):
            assert (
                run_stage.run({**stage.spec(), "shard": [i, n]}, shared)
                and not (shared / stage.kind / stage.digest).exists()
            )
            made = list((shared / ".work" / stage.kind / stage.digest / "checkpoints" / "parts").glob("*/part.json"))
        assert len(made) >= 3, "too few parts to share"
        folder = run_stage.run({**stage.spec(), "joins": True}, shared)
        assert read_manifest(folder) == read_manifest(whole) and read_manifest(folder)["files"] == files
        assert cost(folder) == cost(whole)
        assert sorted(p.name for p in (shared / "shards" / stage.kind / stage.digest).iterdir()) == sorted(
            f"{i}-of-{n}.json" for i in range(n)
        )
        assert not (shared / ".work" / stage.kind / stage.digest).exists()
    assert len(pq.read_table(whole / f"{sorted(files)[-1]}")) > 0


def test_a_killed_stage_goes_on_behind_its_last_part(results, tmp_path, monkeypatch):
    stage = STAGES["sample"]
    whole = run_stage.run(stage.spec(), copy(results, tmp_path / "whole", stage))
    cut = copy(results, tmp_path / "cut", stage)
    keep, kept = parts.keep, []

    def killed(job, part, rows, spent):
        if len(kept) == 1:
            raise KeyboardInterrupt
        kept.append(part)
        keep(job, part, rows, spent)

    monkeypatch.setattr(parts, "keep", killed)
    with pytest.raises(KeyboardInterrupt):
        run_stage.run(stage.spec(), cut)
    monkeypatch.setattr(parts, "keep", lambda job, part, *rest: (kept.append(part), keep(job, part, *rest)))
    folder = run_stage.run(stage.spec(), cut)
    assert kept == list(range(len(kept))) and len(kept) >= 2, "each part once"
    assert read_manifest(folder) == read_manifest(whole) and cost(folder) == cost(whole)


def test_a_lost_part_is_named_with_the_line_that_mends_it(results, tmp_path):
    stage = STAGES["oracle"]
    shared = copy(results, tmp_path / "lost", stage)
    run_stage.run({**stage.spec(), "shard": [0, 2]}, shared)
    with pytest.raises(UserError, match=f"rm -r {shared}/shards/critique/{stage.digest}"):
        run_stage.run({**stage.spec(), "joins": True}, shared)
    assert not (shared / "critique" / stage.digest).exists()
    run_stage.run({**stage.spec(), "shard": [1, 2]}, shared)
    assert run_stage.run({**stage.spec(), "joins": True}, shared).exists()


def test_a_shard_of_a_finished_stage_has_nothing_to_do(results, tmp_path):
    shared = copy(results, tmp_path / "done", PROBLEMS)
    run_stage.run(PROBLEMS.spec(), shared)
    run_stage.run({**ORACLE.spec(), "shard": [4, 5]}, shared)
    assert (shared / "shards" / "critique" / ORACLE.digest / "4-of-5.json").exists()


def frame(n, first=0):
    return pd.DataFrame({"step": range(first, first + n), "metric": "loss", "value": 0.5})


def test_a_joined_table_has_the_bytes_of_one_written_whole(tmp_path):
    tables.write("history", frame(10), tmp_path / "whole")
    for cuts in ([10], [0, 10], [3, 3, 4], [1] * 10):
        paths, first = [], 0
        for k, n in enumerate(cuts):
            paths.append(tmp_path / f"{k}")
            tables.write("history", frame(n, first), paths[-1])
            first += n
        tables.join("history", paths, tmp_path / "joined")
        assert (tmp_path / "joined").read_bytes() == (tmp_path / "whole").read_bytes()
    tables.write("history", [], tmp_path / "none")
    tables.join("history", [], tmp_path / "joined")
    assert (tmp_path / "joined").read_bytes() == (tmp_path / "none").read_bytes()


def test_a_large_table_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "GROUP_ROWS", 4)
    tables.write("history", frame(10), tmp_path / "whole")
    tables.join("history", [tmp_path / "whole"], tmp_path / "groups")
    assert pq.ParquetFile(tmp_path / "groups").num_row_groups == 3
    for start, stop in ((0, 10), (3, 5), (4, 8), (9, 12), (5, 5)):
        found = tables.rows("history", tmp_path / "groups", start, stop)
        assert found["step"].tolist() == list(range(10))[start:stop]
    assert len(tables.those("history", tmp_path / "groups", "metric", ["loss"])) == 10
    assert len(tables.those("history", tmp_path / "groups", "metric", [])) == 0
