"""Stages in forks of one process: their order, what a failure stops, how they end."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from elenchus import forks
from elenchus.errors import UserError


def stage(name, *parents, seed=0):
    return SimpleNamespace(digest=name, kind="evaluate", parents=parents, seed=seed, manifest=Path(f"{name}.json"))


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """Let forks write their stage's manifest, or fail where it is called bad; return the order in which they ended."""

    def fork(s, machine):
        pid = os.fork()
        if pid == 0:
            if all((tmp_path / p.manifest).exists() for p in s.parents) and not s.digest.startswith("bad"):
                (tmp_path / s.manifest).write_text("done")
                os._exit(0)
            os._exit(1)
        return pid

    monkeypatch.setattr(forks, "fork", fork)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder):
    return {p.stem for p in folder.glob("*.json")}


def test_parents_come_first_and_what_is_done_is_left(ran):
    a = stage("a")
    b, c = stage("b", a), stage("c", a)
    d = stage("d", b, c)
    (ran / "a.json").write_text("before")
    said = []
    forks.run(ran, [a, b, c, d], 2, str, said.append)
    assert names(ran) == {"a", "b", "c", "d"} and (ran / "a.json").read_text() == "before"
    assert said[0] == "3 stages to run on 2 cores" and "3 of 3" in said[-1] and "d" in said[-1]
    forks.run(ran, [a, b, c, d], 2, str, said.append)
    assert said[-1] == "0 stages to run on 2 cores"


@pytest.mark.parametrize("cores", [1, 3])
def test_a_failure_stops_what_needs_it_and_nothing_else(ran, cores):
    bad, good = stage("bad"), stage("good")
    child, grandchild, other = stage("child", bad), None, stage("other", good)
    grandchild = stage("grandchild", child, other)
    with pytest.raises(UserError, match="1 stages failed, 2 that need them did not run") as e:
        forks.run(ran, [bad, good, child, other, grandchild], cores, str, lambda _: None)
    assert names(ran) == {"good", "other"}
    assert "results/log/evaluate/bad.log" in str(e.value)


def test_stages_of_some_seeds_are_those_that_need_no_other():
    shared = stage("shared", seed=None)
    zero, one = stage("zero", shared, seed=0), stage("one", shared, seed=1)
    both = stage("both", zero, one, seed=None)
    found = [s.digest for s in forks.of_seeds([shared, zero, one, both], [1])]
    assert found == ["shared", "one"]


def test_stopping_ends_forks_at_once():
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(60)
        os._exit(0)
    since = time.monotonic()
    forks.stop({pid: ()})
    assert time.monotonic() - since < 5
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
