"""MLflow on PostgreSQL, fed by many jobs at once: one run for each arm and seed, whatever is killed in between."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import servers

from elenchus import doctor_services, plan, tracked, tracking

pytestmark = pytest.mark.services
RECORD = """
import sys
from elenchus import config, plan, records
whole = plan.load(config.project_root())
sys.exit(records.main("tracking", "small", whole.root / whole.recipe("small").record("tracking"), {}))
"""
AT_ONCE = 8


@pytest.fixture(scope="module")
def clones(done, tmp_path_factory):
    """Eight checkouts with the same finished results."""
    folder = tmp_path_factory.mktemp("clones")
    return [shutil.copytree(done.root, folder / f"clone{i}", symlinks=True) for i in range(AT_ONCE)]


def start(project: Path, uri: str) -> subprocess.Popen:
    """Start recording a project's results, as the workflow's job does."""
    shutil.rmtree(project / "results" / "tracking", ignore_errors=True)
    source = str(Path(tracking.__file__).parents[1])
    env = {
        **os.environ,
        "MLFLOW_TRACKING_URI": uri,
        "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")]),
    }
    return subprocess.Popen(
        [sys.executable, "-c", RECORD],
        cwd=project,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ends(jobs: list[subprocess.Popen]) -> list[tuple[int, str]]:
    """Return (exit code, output) of each."""
    said = [j.communicate(timeout=540)[0] for j in jobs]
    return [(j.returncode, text) for j, text in zip(jobs, said, strict=True)]


def live(postgres) -> list[str]:
    """Return the names of all runs that are not deleted, sorted."""
    return [n for (n,) in postgres.rows("select name from runs where lifecycle_stage = 'active' order by name")]


def everything(postgres) -> dict[str, list[tuple]]:
    """Return all that the store holds of live runs, whoever recorded them."""
    of = "from {} t join runs r on r.run_uuid = t.run_uuid where r.lifecycle_stage = 'active' order by"
    found = {
        "runs": postgres.rows("select name, status, run_uuid from runs where lifecycle_stage = 'active' order by name")
    }
    found["metrics"] = postgres.rows(f"select r.name, key, step, value, timestamp {of.format('metrics')} 1, 2, 3, 5")
    for table in ("params", "tags"):
        found[table] = postgres.rows(f"select r.name, key, value {of.format(table)} 1, 2")
    return found


@pytest.fixture(scope="module")
def expected(done):
    """What a store has to hold: {run name: its metrics}, as the results on disk say."""
    found = {}
    for r in tracked.runs(done, done.recipe("small")):
        metrics = [(k, s, v) for k, v, _, s in r.metrics] + [(k, 0, v) for k, v in r.spent.items()]
        found[f"{r.arm}/seed{r.seed}"] = sorted(metrics)
    return found


def check_whole(postgres, expected) -> None:
    """Every run is there once, finished, with all of its metrics and its files."""
    held = everything(postgres)
    assert [n for n, *_ in held["runs"]] == sorted(expected), "one run an arm and seed, no more, no less"
    assert all(status == "FINISHED" for _, status, _ in held["runs"])
    for name, metrics in expected.items():
        assert sorted((k, s, v) for n, k, s, v, _ in held["metrics"] if n == name) == metrics
    assert sum(key == "artifacts" for _, key, _ in held["tags"]) == len(expected)


def test_eight_recording_at_once_leave_one_run_each_and_twice_changes_nothing(clones, mlflow, postgres, expected):
    said = ends([start(c, mlflow.uri) for c in clones])
    assert [code for code, _ in said] == [0] * AT_ONCE, said
    check_whole(postgres, expected)
    once = everything(postgres)
    said = ends([start(c, mlflow.uri) for c in clones])
    assert [code for code, _ in said] == [0] * AT_ONCE, said
    assert everything(postgres) == once


def test_a_server_killed_in_the_middle_loses_and_doubles_nothing(clones, tmp_path, postgres, expected):
    forget(postgres)
    server = servers.Mlflow(tmp_path / "mlflow", postgres.uri)
    server.start()
    jobs = [start(c, server.uri) for c in clones]
    half = f"select count(*) >= {len(expected) // 2} from runs where lifecycle_stage = 'active'"
    servers.wait_for("half of the runs", 300, lambda: postgres.rows(half)[0][0])
    server.running.kill()
    said = ends(jobs)
    assert any(code for code, _ in said), "the kill came too late to test anything"
    for code, text in said:
        assert "Traceback" not in text and (code == 0 or "cannot record in MLflow" in text), text
    try:
        server.start()
        said = ends([start(c, server.uri) for c in clones])
        assert [code for code, _ in said] == [0] * AT_ONCE, said
        check_whole(postgres, expected)
    finally:
        server.running.kill()


def test_a_database_that_is_gone_is_one_plain_message_and_the_doctor_says_it(clones, mlflow, postgres, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.uri)
    assert [f.level for f in doctor_services.mlflow_server()] == ["fine"]
    postgres.running.kill(servers.signal.SIGQUIT)
    try:
        (found,) = doctor_services.mlflow_server()
        assert found.level == "wrong" and "unset MLFLOW_TRACKING_URI" in found.mend
        ((code, text),) = ends([start(clones[0], mlflow.uri)])
        assert code == 1 and "cannot record in MLflow" in text and "Traceback" not in text, text
    finally:
        postgres.start()
    assert ends([start(clones[0], mlflow.uri)])[0][0] == 0


def forget(postgres) -> None:
    """Mark every run as deleted, so that recording begins anew."""
    import psycopg2

    with (
        psycopg2.connect(host="127.0.0.1", port=postgres.port, user="mlflow", dbname="postgres") as link,
        link.cursor() as c,
    ):
        c.execute("update runs set lifecycle_stage = 'deleted'")


def test_the_plan_of_a_clone_is_that_of_the_original(clones, done):
    """What makes the eight recorders rivals for the same runs."""
    assert plan.load(clones[0]).recipe("small").digest == done.recipe("small").digest
