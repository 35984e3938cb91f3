"""A real lack of memory, and how the vLLM engine gets on: limits of the system around its process, and processes that die."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import psutil
import pytest
from real_vllm import PYTHON, require_vllm

from elenchus import models
from elenchus.engines import Sampling
from elenchus.engines.settings import Machine, Vllm
from elenchus.engines.vllm_engine import VllmEngine
from elenchus.errors import UserError

GREEDY = Sampling(temperature=0.0, max_tokens=8)


def engine(folder: Path, at: Path, first: str = ":", batch_size: int = 4, cache_gb: float = 0.1, **how) -> VllmEngine:
    """Return an engine whose worker's shell runs the line `first` before it becomes vLLM's Python."""
    require_vllm()
    python = at / "python"
    python.write_text(f'#!/bin/sh\n{first}\nexec {PYTHON} "$@"\n')
    python.chmod(0o755)
    machine = Machine(python=str(python), cache_gb=cache_gb)
    return VllmEngine(folder, Vllm(**how), machine, batch_size=batch_size, work=at, log=at / "log")


@pytest.fixture(scope="module")
def wordy(tmp_path_factory) -> Path:
    """Return a random model of 200,000 words: what sampling takes is the batch times them."""
    tokenizer = models.new_tokenizer([f"w{i}" for i in range(200_000)])
    model = models.new_model(len(tokenizer), width=32, layers=1, heads=1, context=64, seed=0)
    folder = tmp_path_factory.mktemp("wordy")
    models.save(model, tokenizer, folder)
    return folder


@pytest.fixture
def confined(request):
    """Return (line that puts a shell into a memory cgroup, what sets its limit in MB, what counts its kills)."""
    group = Path(f"/sys/fs/cgroup/memory/elenchus-test-{os.getpid()}-{time.monotonic_ns()}")
    try:
        group.mkdir()
    except OSError as e:
        pytest.skip(f"no memory cgroup (version 1) can be made here: {e}")

    def limit(mb: int) -> None:
        (group / "memory.limit_in_bytes").write_text(str(mb * 2**20))

    def kills() -> int:
        return int((group / "memory.oom_control").read_text().split("oom_kill ")[1].split()[0])

    yield f"echo $$ > {group}/cgroup.procs", limit, kills
    for _ in range(100):
        try:
            group.rmdir()
            break
        except OSError:  # the worker is on its way out
            time.sleep(0.1)


# -- too much for the machine: one message, the key of params.yaml in it ---------------------------------------------------


def refused(made: VllmEngine, prompt: str) -> str:
    """Return the message with which the engine gives up at its start, within the time of one start."""
    begin = time.monotonic()
    with pytest.raises(UserError) as e:
        made.sample([prompt], GREEDY, seed=0)
    print(f"said after {time.monotonic() - begin:.0f} s")
    assert made.worker is None and "Traceback" not in str(e.value) and str(made.log) in str(e.value)
    return str(e.value)


@pytest.mark.parametrize("tensor_parallel", [1, 2])
def test_keys_and_values_larger_than_the_machine(folder, tmp_path, prompts, tensor_parallel):
    gb = 8 * psutil.virtual_memory().total // 2**30
    made = engine(folder, tmp_path, cache_gb=gb, tensor_parallel=tensor_parallel)
    assert f"do not fit the memory. In params.yaml, for example\n  engine: {{cache_gb: {gb / 2:.2g}}}" in refused(
        made, prompts[0]
    )


def test_keys_and_values_larger_than_a_limit(folder, tmp_path, prompts):
    made = engine(folder, tmp_path, first=f"ulimit -v {6 * 2**20}", cache_gb=8)
    said = refused(made, prompts[0])
    assert "engine: {cache_gb: 4}" in said and "you tried to allocate 8589934592 bytes" in said


def test_a_limit_at_which_the_system_kills_at_the_start(folder, tmp_path, prompts, confined):
    enter, limit, kills = confined
    limit(300)
    said = refused(engine(folder, tmp_path, first=enter, cache_gb=0.25), prompts[0])
    assert "was killed: most often" in said and "engine: {cache_gb: 0.12}" in said and kills()


# -- too much for a batch: on with a smaller one ---------------------------------------------------------------------------


def test_an_allocation_that_fails_at_work(wordy, tmp_path, capsys):
    made = engine(wordy, tmp_path, batch_size=64)
    ask = [f"w{i} w{i + 1}" for i in range(64)]
    whole = made.sample(ask[:1], GREEDY, seed=0)
    pid = made.worker.process.pid
    taken = psutil.Process(pid).memory_info().vms
    resource.prlimit(pid, resource.RLIMIT_AS, (taken + 40 * 2**20,) * 2)  # 64 x 200,000 numbers take 49 MB
    rows = made.sample(ask, GREEDY, seed=0)
    assert made.batch_size == 32 and "ran out of memory; on with 32 sequences in flight" in capsys.readouterr().err
    assert len(rows) == 64 and rows[:1] == whole
    made.close()


def test_a_limit_at_which_the_system_kills_at_work(wordy, tmp_path, confined, capsys):
    enter, limit, kills = confined
    made = engine(wordy, tmp_path, first=enter, batch_size=256)
    made.sample(["w0"], GREEDY, seed=0)
    limit(int(psutil.Process(made.worker.process.pid).memory_info().rss / 2**20) + 300)
    rows = made.sample([f"w{i} w{i + 1}" for i in range(256)], GREEDY, seed=0)
    print(f"{kills()} kills, {made.batch_size} sequences in flight at last")
    assert kills() and made.batch_size < 256 and len(rows) == 256
    assert "was killed, most often for too much memory" in capsys.readouterr().err
    made.close()
