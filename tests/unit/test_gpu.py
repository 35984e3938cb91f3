"""The measurement of a GPU: rehearsed end to end on the CPU, refused where there is none, told on its page."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from elenchus import cluster_cost, gpus
from elenchus.architectures import SHAPES

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu
    import gpu_page

    return SimpleNamespace(gpu=gpu, page=gpu_page)


def run(*args):
    return subprocess.run(
        [sys.executable, BENCHMARKS / "gpu.py", *args],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        check=False,
    )


def test_without_a_gpu_it_says_so_in_one_sentence():
    said = run()
    assert said.returncode == 1 and said.stdout == ""
    assert "sees no GPU on this machine" in said.stderr and len(said.stderr.splitlines()) == 1


def test_the_rehearsal_goes_through_everything(tmp_path):
    said = run("--device", "cpu", "--vllm", tmp_path / "none", "--out", tmp_path / "cpu.json")
    assert said.returncode == 0, said.stderr
    found = json.loads((tmp_path / "cpu.json").read_text())
    assert found["machine"]["card"] == "cpu" and not found["machine"]["known"] and not found["machine"]["vllm"]
    rows = [(r["model"], r["what"], r["numbers"]) for r in found["measured"]]
    assert len(rows) == len(set(rows)) == 6 and {r["on"] for r in found["measured"]} == {"cpu"}
    for r in found["measured"]:
        assert r["tokens"] > 0 and r["seconds"] > 0 and r["memory"] > 4 * r["parameters"] and r["share"] is None
    stages = {s["kind"]: s for s in found["stages"]}
    assert list(stages) == ["sample", "sft", "dpo", "grpo"]
    assert stages["sample"]["sampled"] > 0 and all(stages[k]["trained"] > 0 for k in ("sft", "dpo", "grpo"))
    assert "no share of what it could do at most" in said.stdout
    assert (ROOT / "docs" / "gpu.md").read_text().count("\n## ") >= 2, "the rehearsal leaves the page alone"


def test_the_page_is_made_of_the_runs_that_there_are(scripts):
    assert scripts.page.PAGE.read_text() == scripts.page.page(scripts.page.known_runs()), "benchmarks/gpu.py --page"


def test_a_run_on_a_gpu_takes_the_place_of_the_confession(scripts):
    measured = {"model": "m", "what": "sampling", "numbers": "float32", "tokens": 3000, "seconds": 1.5, "share": 0.25}
    stage = {"kind": "sft", "sampled": 0, "trained": 1234, "seconds": 2.0, "memory": 5e9, "on": "cuda"}
    machine = {
        "card": "A card",
        "known": True,
        "vllm": False,
        "torch": "2",
        "machine": "x",
        "ended": "2026-01-02T",
        "commit": "c",
    }
    run = {"machine": machine, "measured": [{**measured, "memory": 4e9, "on": "cuda"}], "stages": [stage]}
    text = scripts.page.page([run])
    assert "never run on a GPU" in scripts.page.page([]) and "never run on a GPU" not in text
    assert "| m | sampling | float32 | 2,000 | 25.0% | 4.00 GB, on cuda |" in text
    assert "| `sft` | 0 | 1,234 | 2.0 | 5.00 GB, on cuda |" in text and "vLLM's environment was not there" in text


def test_the_share_is_of_what_the_card_could_write_at_most(scripts, monkeypatch):
    card, shape = gpus.CARDS["NVIDIA H200"], SHAPES["Qwen/Qwen2.5-0.5B"]
    clock = iter([10.0, 12.0])
    monkeypatch.setattr(scripts.gpu.time, "monotonic", lambda: next(clock))

    class Engine:
        tokenizer = None

        def sample(self, prompts, sampling, seed, n=1):
            self.sampled_tokens = len(prompts) * n * sampling.max_tokens
            self.prompt_tokens = len(prompts) * 20

    monkeypatch.setattr("elenchus.solutions.prompt", lambda tokenizer, problem: "a prompt")
    found = scripts.gpu.written(Engine(), shape, 2, {"sequences": 128, "n": 4, "tokens": 100}, card)
    assert found["tokens"] == 64 * 4 * 100 and found["seconds"] == 2.0
    # 128 sequences of 70 tokens: 0.988 GB of weights and 0.22 GB of keys and values at 4.8 TB/s are slower than computing
    step = 2 * (shape.parameters + 128 * 70 * 2 * 24 * 2 * 64) / 4.8e12
    assert cluster_cost.most_written(shape, 128, 2, 70, card) == pytest.approx(128 / step)
    assert found["share"] == pytest.approx(12_800 * step / 128)


def test_a_card_that_computes_too_slowly_is_bound_by_that():
    slow = gpus.Card(1e12, 1e12, 1e15, 1e9, "made up")
    shape = SHAPES["Qwen/Qwen2.5-0.5B"]
    assert cluster_cost.most_written(shape, 8, 2, 10, slow) == pytest.approx(1e12 / (2 * shape.parameters))


def test_cards_have_sensible_peaks_and_a_source():
    for name, card in gpus.CARDS.items():
        assert name.startswith("NVIDIA") and card.source
        assert 1 < card.bf16 / card.float32 < 20 and 50 < card.bf16 / card.bandwidth < 600
    assert gpus.card("NVIDIA L4").memory == 24e9
