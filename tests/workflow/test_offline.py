"""No stage, record or command of the workflow reaches for the network: every process of these tests runs without one."""

from __future__ import annotations

import sys

from conftest import SOCKETS, run


def test_the_main_job_and_its_records_ask_nothing_outside_this_machine(finished):
    project, _ = finished
    assert list(project.glob("results/view/elenchus/*.json")) and (project / "mlflow.db").is_file()
    assert not SOCKETS.exists(), SOCKETS.read_text()


def test_the_refusal_itself(tmp_path):
    """What the test above rests on: another machine, by name or by address, is refused and written down."""
    try:
        for call in ("socket().connect(('192.0.2.1', 443))", "getaddrinfo('huggingface.co', 443)"):
            done = run(tmp_path, sys.executable, "-c", f"import socket; socket.{call}")
            assert "Network is unreachable (test)" in done.stdout, done.stdout
        told = SOCKETS.read_text()
        assert "socket.connect 192.0.2.1" in told and "socket.getaddrinfo huggingface.co" in told
    finally:
        SOCKETS.unlink(missing_ok=True)
    near = run(tmp_path, sys.executable, "-c", "import socket; socket.create_server(('127.0.0.1', 0))")
    assert near.returncode == 0 and not SOCKETS.exists()
