"""A folder that several users, or several login nodes, work in: what is said of whoever else runs there, and owns it."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from elenchus import run_stage, workflow
from elenchus.errors import UserError, to_make_writable

ROOT = Path("/shared/project")


@pytest.mark.parametrize(
    ("who", "where", "words"),
    [
        ("me", "here", "stop it with\n  kill 42"),
        ("me", "login2", "stop it with\n  ssh login2 kill 42"),
        (
            "alice",
            "login2",
            "(process 42 of alice on login2) runs in /shared/project. Wait until it ends, or ask alice",
        ),
    ],
)
def test_a_snakemake_that_runs_elsewhere_is_stopped_elsewhere(who, where, words):
    holder = {"process": 42, "user": workflow.user() if who == "me" else who}
    holder["host"] = socket.gethostname() if where == "here" else where
    assert words in workflow.running(json.dumps(holder), ROOT)


@pytest.mark.parametrize("said", ["", "4242", "{"])
def test_a_lock_that_says_nothing_yet(said):
    assert workflow.running(said, ROOT) == "another snakemake runs in /shared/project. Wait until it ends"


def test_what_is_written_to_the_lock_is_what_is_read(tmp_path):
    workflow.exclusive(tmp_path)
    said = workflow.running((tmp_path / "results/.lock").read_text(), tmp_path)
    workflow._held.pop().close()
    assert f"(process {os.getpid()} of {workflow.user()} on {socket.gethostname()})" in said


def test_another_user_s_folder_is_asked_for(tmp_path):
    assert to_make_writable(tmp_path) == f"Make it writable, for example\n  chmod -R u+w {tmp_path}"
    assert "chmod" in to_make_writable(tmp_path / "absent")
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(tmp_path, 65534, 65534)  # nobody
    assert "It is nobody's: work in a folder of your own, or ask nobody" in to_make_writable(tmp_path)


def test_results_that_are_another_user_s(tmp_path):
    with (
        pytest.raises(UserError, match=r"cannot write here \(Permission denied\)\. "),
        run_stage.plain_disk_errors(tmp_path),
    ):
        raise PermissionError(13, "Permission denied", str(tmp_path / "sft"))


@pytest.mark.parametrize(("number", "words"), [(30, "read-only now"), (116, "does not answer"), (5, "does not answer")])
def test_a_file_system_that_fails(tmp_path, number, words):
    with pytest.raises(UserError, match=words), run_stage.plain_disk_errors(tmp_path):
        raise OSError(number, os.strerror(number), str(tmp_path / "x"))


def test_a_log_that_cannot_be_written_leaves_the_terminal(tmp_path, capfd):
    (tmp_path / "log").write_text("a file in the folder's place")
    with run_stage.tee_stderr(tmp_path / "log" / "sft.log"):
        os.write(2, b"still said\n")
    assert "still said" in capfd.readouterr().err
