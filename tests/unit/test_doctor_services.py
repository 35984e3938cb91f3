"""What the doctor says of DVC remotes and of the MLflow server, without a network: a remote in a folder, servers of a line."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from elenchus import doctor, doctor_services, scratch


def dvc(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    """A DVC project whose data lies in a remote that is a folder."""
    folder = tmp_path_factory.mktemp("dvc")
    project = folder / "project"
    (project / "data" / "pairs").mkdir(parents=True)
    (project / "data" / "pairs" / "pairs.jsonl").write_text("{}\n" * 9)
    (project / "data" / "pairs" / "README.md").write_text("# pairs\n")
    dvc(project, "init", "-q", "--no-scm")
    dvc(project, "config", "core.analytics", "false")
    dvc(project, "add", "-q", "data/pairs")
    dvc(project, "remote", "add", "-q", "-d", "store", str(folder / "store"))
    return project


def test_a_remote_from_empty_to_damaged(pushed):
    found, trust = doctor_services.dvc_remotes(pushed)
    assert found.level == "note" and "lacks" in found.what, "nothing was pushed yet"
    assert trust.level == "note" and trust.mend == "dvc remote modify store verify true"
    dvc(pushed, "push", "-q")
    dvc(pushed, "remote", "modify", "store", "verify", "true")
    (found,) = doctor_services.dvc_remotes(pushed)
    assert found.level == "fine" and "3 files" in found.what
    stored = next(p for p in (pushed.parent / "store").rglob("*") if p.is_file() and p.read_bytes() == b"{}\n" * 9)
    stored.chmod(0o644)
    stored.write_bytes(b"{}\n" * 5)
    (found,) = doctor_services.dvc_remotes(pushed)
    assert found.level == "wrong" and "data/pairs/pairs.jsonl: 15 bytes that are not those of its name" in found.found


def test_a_remote_whose_library_is_not_installed_and_no_dvc(pushed, tmp_path):
    if "dvc_s3" in sys.modules or not missing("dvc_s3"):
        pytest.skip("dvc-s3 is installed here; tests/services is for that")
    told = {"error": "remote: URL 's3://lab/x' is supported but requires these missing dependencies", "kind": ""}
    assert "requirements/s3.txt" in doctor_services.remote_mend("store", told)
    dvc(pushed, "remote", "modify", "store", "url", "s3://lab/x")
    found = next(doctor_services.dvc_remotes(pushed))
    assert found.level == "wrong" and "requirements/s3.txt" in found.mend, found
    (found,) = doctor_services.dvc_remotes(tmp_path)
    assert found.level == "note" and found.mend == "dvc init"


def missing(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is None


@pytest.fixture
def server():
    """Return a function that starts a server which gives every request one answer; it returns the address."""
    running = []

    def start(status: int, body: bytes, kind: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        made = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=made.serve_forever, daemon=True).start()
        running.append(made)
        return f"http://127.0.0.1:{made.server_port}"

    yield start
    for made in running:
        made.shutdown()
        made.server_close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "level", "says"),
    [
        (200, b'{"experiments": []}', "application/json", "fine", "answers, and its store"),
        (401, b"no", "text/plain", "wrong", "does not let you in"),
        (500, b'{"error_code": "INTERNAL_ERROR"}', "application/json", "wrong", "not as MLflow with its store does"),
        (200, b"<html>a portal</html>", "text/html", "wrong", "not as MLflow with its store does"),
    ],
)
def test_an_mlflow_server_and_what_only_looks_like_one(server, monkeypatch, status, body, kind, level, says):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server(status, body, kind))
    (found,) = doctor_services.mlflow_server()
    assert found.level == level and says in found.what
    assert level == "fine" or "unset MLFLOW_TRACKING_URI" in found.mend


def test_no_mlflow_server_and_none_that_answers(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert next(doctor_services.mlflow_server()).level == "fine"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (found,) = doctor_services.mlflow_server()
    assert found.level == "wrong" and "does not answer" in found.what


def test_scratch_is_looked_at_where_it_will_be_used(tmp_path, monkeypatch):
    monkeypatch.setenv(scratch.VARIABLE, str(tmp_path))
    (found,) = doctor.scratch_folder(cluster=False)
    assert found.where == str(tmp_path) and "GB free" in found.what
    monkeypatch.setenv(scratch.VARIABLE, "$SLURM_TMPDIR")
    monkeypatch.delenv("SLURM_TMPDIR", raising=False)
    (found,) = doctor.scratch_folder(cluster=True)
    assert found.level == "note" and found.mend == "elenchus doctor --job"
    (found,) = doctor.scratch_folder(cluster=False)
    assert found.level == "wrong" and "not set" in found.found and found.mend == "unset ELENCHUS_SCRATCH"
