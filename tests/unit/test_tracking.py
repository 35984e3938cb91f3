"""MLflow shows what the results say, once, however often it is told."""

import os
import shutil
import sqlite3
import time

import pytest

from elenchus import findings, plan, tracked, tracking
from elenchus.errors import UserError


@pytest.fixture(scope="module")
def recorded(done, tmp_path_factory):
    """A copy of the finished project, recorded once."""
    folder = tmp_path_factory.mktemp("recorded") / "project"
    shutil.copytree(done.root, folder, symlinks=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(folder)
        whole = plan.load(folder)
        tracking.ingest(whole, whole.recipe("small"))
    return whole


@pytest.fixture
def again(recorded, monkeypatch):
    """The recorded project, the working directory in it."""
    monkeypatch.chdir(recorded.root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return recorded


def store(whole):
    """Return {run name: {status, params, tags, metrics with their histories}} of the live runs, as SQLite holds them."""
    with sqlite3.connect(whole.root / "mlflow.db") as db:
        runs = db.execute("select run_uuid, status from runs where lifecycle_stage = 'active'").fetchall()
        found = {}
        for run, status in runs:
            tags = dict(db.execute("select key, value from tags where run_uuid = ?", [run]))
            params = dict(db.execute("select key, value from params where run_uuid = ?", [run]))
            query = "select key, step, value, timestamp from metrics where run_uuid = ? order by key, step, timestamp"
            metrics = db.execute(query, [run]).fetchall()
            assert tags["mlflow.runName"] not in found, "one run an arm and seed"
            found[tags["mlflow.runName"]] = {
                "id": run,
                "status": status,
                "tags": tags,
                "params": params,
                "metrics": metrics,
            }
    return found


def test_one_run_an_arm_and_seed_with_rounds_as_steps(again):
    recipe, found = again.recipe("small"), store(again)
    assert set(found) == {f"{arm}/seed{s}" for arm in ("critic", "b_star", "online_rft", "shared") for s in (0, 1)}
    run = found["b_star/seed1"]
    rows = [
        m for m in findings.measurements(again, recipe) if (m["arm"], m["seed"], m["metric"]) == ("b_star", 1, "pass@1")
    ]
    logged = [(step, value) for key, step, value, _ in run["metrics"] if key == "policy/pass_at_1"]
    assert logged == [(m["round"], m["value"]) for m in rows] and len(rows) == 2 and run["status"] == "FINISHED"
    assert (
        run["params"]["small.rounds"] == "2"
        and run["params"]["problems.train"] == "20"
        and run["params"]["seed"] == "1"
    )
    assert run["tags"]["stage.policy-round2"] in {s.digest for s in recipe.stages}
    assert run["tags"]["mlflow.source.git.commit"]
    assert any(key.startswith("train/policy-round1/loss") for key, *_ in run["metrics"])
    files = set(os.listdir(again.root / "mlartifacts" / "small" / run["id"] / "artifacts"))
    assert {"metrics.csv", "comparisons.md", "stages.json", "curve-pass-at-1.svg"} <= files


def test_recording_twice_changes_nothing(again):
    once = store(again)
    stamp = tracking.ingest(again, again.recipe("small"))
    assert store(again) == once
    assert len(set(stamp["runs"].values())) == len(once)


def test_results_made_anew_at_another_time_change_nothing(again):
    once = store(again)
    for path in again.root.glob("results/*/*/cost.json"):
        text = path.read_text()
        assert '"ended": "2' in text
        path.write_text(text.replace('"ended": "2', '"ended": "3'))
    tracking.ingest(again, again.recipe("small"))
    assert store(again) == once


def test_an_interrupted_recording_is_made_whole_without_doubles(again):
    once = store(again)
    with sqlite3.connect(again.root / "mlflow.db") as db:
        db.execute("update runs set status = 'RUNNING' where run_uuid = ?", [once["critic/seed0"]["id"]])
        db.execute("delete from metrics where run_uuid = ? and key like 'grpo/%'", [once["critic/seed0"]["id"]])
    tracking.ingest(again, again.recipe("small"))
    found = store(again)
    assert found.keys() == once.keys() and all(run["status"] == "FINISHED" for run in found.values())
    assert [m[:3] for m in found["critic/seed0"]["metrics"]] == [m[:3] for m in once["critic/seed0"]["metrics"]]
    assert found["b_star/seed0"] == once["b_star/seed0"]


def test_a_server_that_does_not_answer_is_one_plain_message_within_seconds(again, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    begin = time.monotonic()
    with pytest.raises(UserError, match=r"cannot record in MLflow at http://127.0.0.1:9.*") as told:
        tracking.ingest(again, again.recipe("small"))
    assert time.monotonic() - begin < 15 and "unset MLFLOW_TRACKING_URI" in str(told.value)


def test_versions_of_tracked_data_are_tags(again):
    (again.root / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  data:\n    cmd: x\n    outs:\n    - path: data/a\n      md5: abc.dir\n"
    )
    run = tracked.runs(again, again.recipe("small"))[0]
    assert run.tags["dvc.data/a"] == "abc.dir"
