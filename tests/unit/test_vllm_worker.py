"""The vLLM engine's worker: started late, answered through files, gone with its parent. vLLM is stood in for here; the tests
in tests/engines run the real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from elenchus import models
from elenchus.engines import Sampling, vllm_engine, vllm_worker
from elenchus.engines.settings import Machine, Vllm
from elenchus.engines.vllm_engine import VllmEngine
from elenchus.engines.worker import Worker
from elenchus.errors import CorruptResult, UserError

HERE = Machine(python=sys.executable)
# What vLLM would answer: token 6 over and over, then the end token where there is room. `mood` says what goes wrong.
STAND_IN = """
import json, os, pathlib, signal, sys
sys.path.insert(0, {folder!r})
import vllm_worker

def start(settings):
    print("vLLM says something", settings["batch_size"], flush=True)
    if {mood!r} == "dies":
        sys.exit(3)
    if {mood!r} == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if {mood!r} == "never fits" or ({mood!r} == "big" and settings["batch_size"] > 5):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
    if {mood!r} == "cache":
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8589934592 bytes")
    return settings

def sample(llm, settings, request):
    if {mood!r} == "breaks":
        raise ValueError("a shape that nobody expected")
    if {mood!r} == "killed at work" and settings["batch_size"] > 5:
        os.kill(os.getpid(), signal.SIGKILL)
    lp = float("nan") if {mood!r} == "diverged" else -0.5
    rows = []
    for row in request["rows"]:
        k = min(3, row["max_tokens"])
        ended = k < row["max_tokens"]
        rows.append([[6] * k + [1] * ended, [lp] * (k + ended), 1 if ended else None])
    return {{"rows": rows, "read": sum(map(len, request["prompts"]))}}

sys.modules["vllm"] = type(sys)("vllm")
sys.modules["vllm"].__version__ = "0"
vllm_worker.start, vllm_worker.sample = start, sample
sys.exit(vllm_worker.main(pathlib.Path(sys.argv[1]), int(sys.argv[2])))
"""


@pytest.fixture
def folder(tmp_path):
    """Return a model folder with everything but weights, which the stand-in does not read."""
    tokenizer = models.new_tokenizer([f"w{i}" for i in range(4)])
    made = tmp_path / "model"
    models.save(
        models.new_model(len(tokenizer), width=32, layers=1, heads=1, context=32, seed=0).config, tokenizer, made
    )
    return made


def engine(folder, tmp_path, monkeypatch, mood="", **how) -> VllmEngine:
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN.format(folder=os.path.dirname(vllm_worker.__file__), mood=mood))
    monkeypatch.setattr(vllm_worker, "__file__", str(script))
    return VllmEngine(folder, Vllm(), how.pop("machine", HERE), work=tmp_path / "work", log=tmp_path / "log", **how)


def test_completions_counters_and_one_worker_for_all_calls(folder, tmp_path, monkeypatch):
    made = engine(folder, tmp_path, monkeypatch)
    assert made.worker is None  # not before it is needed
    rows = made.sample(["w0 w1", "w2"], Sampling(max_tokens=9), seed=0, n=2)
    first = made.worker.process.pid
    (cut,) = made.sample(["w0"], Sampling(max_tokens=2), seed=0)[0]
    assert made.worker.process.pid == first
    done = rows[1][1]
    assert (done.tokens, done.finish, done.logprobs) == ((6, 6, 6), "end", (-0.5,) * 4)
    assert (cut.tokens, cut.finish, len(cut.logprobs)) == ((6, 6), "length", 2)
    assert done.text == made.tokenizer.decode([6, 6, 6])
    assert (made.sampled_tokens, made.prompt_tokens, made.prefill_tokens) == (4 * 4 + 2, 4, 4)
    made.close()
    assert not list((tmp_path / "work").iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_the_worker_goes_with_the_engine(folder, tmp_path, monkeypatch):
    made = engine(folder, tmp_path, monkeypatch)
    made.sample(["w0"], Sampling(), seed=0)
    process = made.worker.process
    del made
    assert process.returncode == -signal.SIGKILL and not list((tmp_path / "work").iterdir())


def test_the_worker_dies_with_its_parent_however_that_dies(tmp_path):
    """The parent is killed while its worker is busy: only the system can tell the worker."""
    script = tmp_path / "busy.py"
    script.write_text(
        f"import sys, pathlib, time; sys.path.insert(0, {os.path.dirname(vllm_worker.__file__)!r}); import vllm_worker\n"
        "vllm_worker.die_with(int(sys.argv[2]))\n"
        "vllm_worker.answer(pathlib.Path(sys.argv[1]) / 'started.json', {}); time.sleep(600)"
    )
    code = (
        "import sys, pathlib; from elenchus.engines.worker import Worker\n"
        f"w = Worker(pathlib.Path(sys.executable), pathlib.Path({str(script)!r}), {{}}, pathlib.Path({str(tmp_path)!r}),"
        f" pathlib.Path({str(tmp_path / 'log')!r})); print(w.process.pid, flush=True); w.ask({{}})"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    end = time.monotonic() + 60
    while alive(worker) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(worker)


def alive(pid: int) -> bool:
    """Return whether a process runs (a dead one that nobody has waited for does not)."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_out_of_memory_goes_on_with_smaller_batches(folder, tmp_path, monkeypatch, capsys):
    made = engine(folder, tmp_path, monkeypatch, "big", batch_size=20)
    assert len(made.sample(["w0"], Sampling(), seed=0)) == 1 and made.batch_size == 5
    assert "on with 10 sequences" in capsys.readouterr().err
    assert "vLLM says something 20" in (tmp_path / "log").read_text()  # the log of all starts is kept


def test_a_kill_at_work_goes_on_with_smaller_batches(folder, tmp_path, monkeypatch, capsys):
    made = engine(folder, tmp_path, monkeypatch, "killed at work", batch_size=20)
    assert len(made.sample(["w0"], Sampling(), seed=0)) == 1 and made.batch_size == 5
    assert "was killed, most often for too much memory; on with 10 sequences" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mood", "words"),
    [
        ("never fits", ["one sequence in flight", "tensor_parallel", "CUDA out of memory"]),
        ("dies", ["exit code 3", "vLLM says something 2"]),
        ("killed", ["SIGKILL", "too much memory", "vLLM says something 2", "engine: {cache_gb: 0.5}"]),
        ("cache", ["do not fit the memory", "engine: {cache_gb: 0.5}", "can't allocate memory"]),
        ("breaks", ["ValueError: a shape that nobody expected"]),
    ],
)
def test_failures_are_one_plain_message(folder, tmp_path, monkeypatch, mood, words):
    made = engine(folder, tmp_path, monkeypatch, mood, batch_size=2)
    with pytest.raises(UserError) as e:
        made.sample(["w0"], Sampling(), seed=0)
    assert all(w in str(e.value) for w in [*words, str(tmp_path / "log")]), str(e.value)


def test_a_diverged_model_is_refused(folder, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="not finite"):
        engine(folder, tmp_path, monkeypatch, "diverged").sample(["w0"], Sampling(), seed=0)


def test_an_absent_environment_is_said_with_the_line_that_makes_it(folder, tmp_path, monkeypatch):
    made = engine(folder, tmp_path, monkeypatch, machine=Machine(python=str(tmp_path / "no" / "python")))
    with pytest.raises(UserError, match=r"(?s)engine\.python.*make vllm.*kind: transformers"):
        made.sample(["w0"], Sampling(), seed=0)


def test_stop_words_are_tokens_where_they_can_be(folder, tmp_path, monkeypatch):
    made = engine(folder, tmp_path, monkeypatch)
    assert made._stops(("w1", "unheard")) == ([made.tokenizer.get_vocab()["w1"]], [])


def test_an_adapter_names_its_base(folder, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"r": 8, "base_model_name_or_path": str(folder)}))
    assert vllm_engine.lora_of(adapter) == ({"folder": str(adapter), "rank": 8}, folder)
    assert vllm_engine.lora_of(folder) == (None, folder)
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "some/hub-id"}))
    with pytest.raises(CorruptResult, match="'some/hub-id', which is no folder"):
        vllm_engine.lora_of(adapter)


def test_a_worker_s_tail_is_its_own(tmp_path):
    (tmp_path / "log").write_text("an earlier worker's words\n")
    script = tmp_path / "s.py"
    script.write_text(
        "import sys, pathlib; print('mine', flush=True); p = pathlib.Path(sys.argv[1], 'part')\n"
        "p.write_text('{}'); p.rename(p.with_name('started.json'))"
    )
    worker = Worker(HERE.python, script, {}, tmp_path, tmp_path / "log")
    worker.process.wait()
    assert worker.tail() == "  mine"
