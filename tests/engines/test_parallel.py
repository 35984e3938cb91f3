"""Tensor parallelism of the vLLM engine: matrices split over two processes on this machine's CPU."""

from __future__ import annotations

import signal
import threading

import psutil
import pytest
from real_vllm import MACHINE, require_vllm

from elenchus.engines import Sampling
from elenchus.engines.settings import Vllm
from elenchus.engines.vllm_engine import VllmEngine

CLOSE = 2e-3  # log-probabilities of float32 sums in another order


@pytest.fixture(scope="module")
def two(folder, tmp_path_factory):
    """Return the engine on two processes: each has one of the model's two heads."""
    require_vllm()
    work = tmp_path_factory.mktemp("two")
    engine = VllmEngine(folder, Vllm(tensor_parallel=2), MACHINE, batch_size=64, work=work, log=work / "log")
    yield engine
    engine.close()


def ranks(made: VllmEngine) -> list[psutil.Process]:
    """Return the processes over which matrices are split."""
    children = psutil.Process(made.worker.process.pid).children(recursive=True)
    return [p for p in children if "Worker_TP" in "".join(p.cmdline()[:1])]


def test_two_processes_write_what_one_writes(two, vllm, plain, prompts):
    sampling = Sampling(temperature=0.0, max_tokens=48)
    pairs = [(a, b) for (a,), (b,) in zip(vllm.sample(prompts, sampling, 0), two.sample(prompts, sampling, 0))]
    assert len(ranks(two)) == 2
    same = [(a, b) for a, b in pairs if a.tokens == b.tokens]
    apart = [abs(x - y) for a, b in same for x, y in zip(a.logprobs, b.logprobs, strict=True)]
    print(f"greedy: {len(same)} of {len(pairs)} outputs equal; log-probabilities apart by {max(apart):.1e} at most")
    assert len(same) >= len(pairs) - len(pairs) // 8 and max(apart) < CLOSE
    for a, b in pairs:  # outputs part where the other token was as likely
        if a.tokens != b.tokens:
            k = next(
                (k for k, (s, t) in enumerate(zip(a.tokens, b.tokens)) if s != t), min(len(a.tokens), len(b.tokens))
            )
            assert abs(a.logprobs[k] - b.logprobs[k]) < CLOSE


def test_two_processes_score_what_one_scores(two, plain, prompts):
    texts = ["1 + 1 = 2", "answer 3", ""]
    for a, b in zip(plain.score(prompts[:3], texts), two.score(prompts[:3], texts), strict=True):
        assert a.tokens == b.tokens and a.logprobs == pytest.approx(b.logprobs, abs=CLOSE)


def test_a_process_that_is_killed_at_work(folder, tmp_path, prompts, capsys):
    require_vllm()
    engine = VllmEngine(folder, Vllm(tensor_parallel=2), MACHINE, batch_size=2, work=tmp_path, log=tmp_path / "log")
    engine.sample(prompts[:1], Sampling(max_tokens=4), seed=0)
    first, doomed = engine.worker.process.pid, ranks(engine)
    threading.Timer(1.0, lambda: doomed[1].send_signal(signal.SIGKILL)).start()
    rows = engine.sample(prompts, Sampling(max_tokens=60), seed=0, n=16)
    assert len(rows) == len(prompts) and all(len(row) == 16 for row in rows)
    assert "was killed, most often for too much memory; on with 1 sequences" in capsys.readouterr().err
    assert not psutil.pid_exists(first) and not any(p.is_running() and p.status() != "zombie" for p in doomed)
    left = ranks(engine)
    engine.close()
    assert len(left) == 2 and not any(p.is_running() and p.status() != "zombie" for p in left)
