"""The engine for OpenAI-compatible servers against a real one: vLLM's, on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from real_vllm import PYTHON, require_vllm

from elenchus import conversation, run_stage, seeds
from elenchus.engines import Sampling
from elenchus.engines.openai_engine import OpenAIEngine
from elenchus.engines.settings import Served, Server
from elenchus.errors import UserError
from elenchus.graph import kind_code
from elenchus.job import Result
from elenchus.stages import critique

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
import tiny

KEY = "sk-of-this-test"


@contextlib.contextmanager
def serving(folder: Path, log: Path, port: int) -> Iterator[subprocess.Popen]:
    """Run a vLLM server that wants a key, from when it answers on; what is left of it at the end is stopped."""
    environment = {
        **os.environ,
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    environment |= {"VLLM_API_KEY": KEY, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    command = [PYTHON, "-I", "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--served-model-name", "small", "--dtype", "float32", "--enforce-eager"]
    command += ["--kv-cache-memory-bytes", str(2**28), "--max-num-seqs", "32", "--load-format", "safetensors"]
    with log.open("ab") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, env=environment, process_group=0)
    end = time.monotonic() + 1500
    try:
        while True:
            assert server.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            try:
                if httpx2.get(f"http://127.0.0.1:{port}/health", trust_env=False, timeout=5).status_code == 200:
                    break
            except httpx2.TransportError:
                pass
            time.sleep(0.5)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def url(folder, tmp_path_factory):
    """Return the address of a vLLM server that wants a key."""
    require_vllm()
    port = free_port()
    with serving(folder, tmp_path_factory.mktemp("server") / "log", port):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture
def served(url, monkeypatch):
    """Return (url, the environment holds the server's key)."""
    monkeypatch.setenv("ELENCHUS_SERVER_KEY", KEY)
    return url


def test_greedy_completions_are_those_of_the_transformers_engine(served, folder, plain, prompts, tmp_path):
    made = OpenAIEngine(
        Served(model="small", api="completions", tokenizer=str(folder)), Server(url=served), work=tmp_path
    )
    sampling = Sampling(temperature=0.0, max_tokens=48)
    pairs = list(zip(plain.sample(prompts[:24], sampling, 0), made.sample(prompts[:24], sampling, 0)))
    same = [(a, b) for ((a,), (b,)) in pairs if a.text.split() == b.text.split()]
    print(f"served greedy: {len(same)} of {len(pairs)} outputs equal")
    assert len(same) >= len(pairs) - 3  # the others part at ties, as in test_vllm
    for a, b in same:
        assert a.finish == b.finish
        assert sum(b.logprobs[: len(a.tokens)]) == pytest.approx(sum(a.logprobs[: len(a.tokens)]), abs=0.02)
    assert made.sampled_tokens >= sum(len(a.tokens) for ((a,), _) in pairs)


def test_stop_words_of_a_real_server_are_kept(served, folder, prompts, tmp_path):
    made = OpenAIEngine(
        Served(model="small", api="completions", tokenizer=str(folder)), Server(url=served), work=tmp_path
    )
    rows = made.sample(prompts[:8], Sampling(temperature=0.0, max_tokens=48, stop=("answer",)), 0)
    assert {c.finish for (c,) in rows} >= {"stop"}
    assert all(c.text.split()[-1] == "answer" for (c,) in rows if c.finish == "stop")


def test_the_chat_interface_samples_by_seed_and_answers_are_kept(served, prompts, asked, tmp_path):
    def engine(work):
        return OpenAIEngine(Served(model="small"), Server(url=served, parallel=8), work=work)

    made = engine(tmp_path / "a")
    questions = [conversation.render(made.tokenizer, conversation.solve(p.prompt), "assistant") for p in asked[:8]]
    sampling = Sampling(temperature=1.0, max_tokens=24)
    rows = made.sample(questions, sampling, seed=4, n=2)
    assert len({c.text for row in rows for c in row}) > 4
    assert all(c.text.strip() and max(c.logprobs) <= 0 for row in rows for c in row)
    other = engine(tmp_path / "b").sample(questions, sampling, seed=4, n=2)
    same = sum(a.text == b.text for x, y in zip(rows, other) for a, b in zip(x, y))
    print(f"served, the same seeds again: {same} of 16 equal")
    assert same >= 12  # this server honours seeds, but for rounding in another batch
    kept = engine(tmp_path / "a")
    kept.client.server = kept.client.server.model_copy(update={"url": "http://127.0.0.1:9/v1"})  # nothing is there
    assert kept.sample(questions, sampling, seed=4, n=2) == rows


def test_a_kill_in_the_midst_loses_no_answer(served, tmp_path):
    """A process asks for long answers and is killed; the next one asks only for the rest."""
    code = (
        "import sys, pathlib\nfrom elenchus import conversation\nfrom elenchus.engines import Sampling\n"
        "from elenchus.engines.openai_engine import OpenAIEngine\nfrom elenchus.engines.settings import Served, Server\n"
        f"e = OpenAIEngine(Served(model='small'), Server(url={served!r}, parallel=1), work=pathlib.Path({str(tmp_path)!r}))\n"
        "ask = [conversation.render(e.tokenizer, conversation.solve(f'{k % 5} + 1'), 'assistant') for k in range(40)]\n"
        "e.sample(ask, Sampling(max_tokens=60), seed=0)\nprint(e.sampled_tokens)"
    )
    kept = tmp_path / "answers.jsonl"
    first = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    while first.poll() is None and not (kept.exists() and len(kept.read_bytes().splitlines()) >= 3):
        time.sleep(0.01)
    first.kill()
    assert first.wait() == -signal.SIGKILL, "it ended before it could be killed"
    before = [line for line in kept.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    after = kept.read_bytes().splitlines(keepends=True)
    assert after[: len(before)] == before and len(after) == 40


def test_a_wrong_key_is_said(url, monkeypatch, tmp_path):
    monkeypatch.setenv("ELENCHUS_SERVER_KEY", "sk-revoked")
    made = OpenAIEngine(Served(model="small"), Server(url=url), work=tmp_path)
    with pytest.raises(UserError, match=r"ELENCHUS_SERVER_KEY is set, but refused \(status 401"):
        made.sample([made.tokenizer.apply_chat_template(conversation.solve("1 + 1"), reply="assistant")], Sampling(), 0)


def test_an_unknown_model_is_said(served, tmp_path):
    made = OpenAIEngine(Served(model="large"), Server(url=served), work=tmp_path)
    with pytest.raises(UserError, match=r"refuses the request .status 404.*large"):
        made.sample([made.tokenizer.apply_chat_template(conversation.solve("1 + 1"), reply="assistant")], Sampling(), 0)


# -- a server that dies in the middle of a stage ---------------------------------------------------------------------------


def critiques(results: Path, port: int, retries: int, n: int = 6) -> dict:
    """Return the specification of a stage that asks the server for n critiques of each of 40 solutions, two at a time."""
    given = tiny.make(results)
    own = {"source": "server", "critic": "teacher", "n": n, "max_tokens": 60, "batch_size": 400}
    params = critique.Params(**own, engine=Served(model="small")).model_dump(mode="json")
    server = {"url": f"http://127.0.0.1:{port}/v1", "parallel": 2, "retries": retries}
    code = {"families": ["chain"], "code": kind_code("critique", ("chain",), "openai")}
    inputs = {name: given[name] for name in ("solutions", "problems")}
    spec = {"kind": "critique", "digest": f"{seeds.derive('critique', params) % 16**16:016x}", "params": params, **code}
    return {**spec, "inputs": inputs, "rng_seed": 5, "seed": 0, "machine": {"server": server}}


def kept_answers(results: Path) -> list[str]:
    """Return the keys of the answers that are on disk."""
    lines = [line for p in results.glob(".work/critique/*/checkpoints/answers.jsonl") for line in p.open()]
    return [json.loads(line)["key"] for line in lines if line.endswith("\n")]


def answered(port: int) -> int:
    """Return how many requests a server says that it has answered."""
    told = httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=5).text
    return round(sum(float(n) for n in re.findall(r"^vllm:request_success_total\{.*\} (\S+)$", told, re.M)))


def kill_in_the_middle(server: subprocess.Popen, results: Path) -> threading.Thread:
    """Start the thread that kills the server when thirty answers are on disk."""

    def wait() -> None:
        while len(kept_answers(results)) < 30:
            time.sleep(0.05)
        os.killpg(server.pid, signal.SIGKILL)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_a_server_that_is_killed_in_the_middle_of_a_stage_and_started_again(folder, tmp_path, monkeypatch):
    """The stage waits as long as `retries` say; then it ends with one message, and goes on when it is run again."""
    require_vllm()
    monkeypatch.setenv("ELENCHUS_SERVER_KEY", KEY)
    port = free_port()
    impatient, patient = (critiques(tmp_path / name / "results", port, n) for name, n in (("a", 1), ("b", 12)))
    with serving(folder, tmp_path / "log", port) as server:
        killed = kill_in_the_middle(server, tmp_path / "a/results")
        with pytest.raises(UserError, match=r"server\.url: .* gave no answer in 2 tries[\s\S]*Start the server"):
            run_stage.run(impatient, tmp_path / "a/results")
        killed.join()
    before = kept_answers(tmp_path / "a/results")
    assert 30 <= len(before) < 240
    with serving(folder, tmp_path / "log", port) as server:
        made = Result(run_stage.run(impatient, tmp_path / "a/results"))
        assert len(made.table("critiques")) == 240
        assert answered(port) == 240 - len(before), "what was answered before was not asked again"
        killed = kill_in_the_middle(server, tmp_path / "b/results")
        done: list = []
        stage = threading.Thread(target=lambda: done.append(run_stage.run(patient, tmp_path / "b/results")))
        stage.start()
        killed.join()
        server.wait()
    assert stage.is_alive() and not done
    before = kept_answers(tmp_path / "b/results")
    with serving(folder, tmp_path / "log", port):
        stage.join(timeout=300)
        assert done and len(Result(done[0]).table("critiques")) == 240
        assert answered(port) == 240 - len(before)
    print(f"{len(before)} of 240 answers were there when the server died, {240 - len(before)} came from the next one")
