"""`snakemake bench` as a user runs it, at microscopic size: a model on a benchmark, its page and its numbers, then its export."""

from __future__ import annotations

import json
from pathlib import Path

import byte_llama
from conftest import ROOT, new_project, run

PARAMS = "recipes: [elenchus]\nseeds: [0]\nproblems: {test: 4}\n"


def test_a_model_is_evaluated_from_the_command_line(tmp_path):
    folder = new_project(tmp_path / "project", PARAMS)
    byte_llama.make(folder / "mine")
    first = run(folder, "snakemake", "bench")
    assert first.returncode == 1
    assert first.stdout.splitlines()[-3].startswith("elenchus: bench: name what is evaluated"), "and nothing around it"
    got = run(folder, "elenchus", "data", "get", "gsm8k", "--from", str(ROOT / "tests/fixtures/gsm8k"))
    assert got.returncode == 0, got.stdout
    asked = (
        "model=mine",
        "benchmarks=[gsm8k]",
        "roles=[solver]",
        "items=3",
        "max_tokens=8",
        "samples=2",
        "temperature=1.0",
    )
    done = run(folder, "snakemake", "bench", "--config", *asked)
    assert done.returncode == 0, done.stdout[-4000:]
    page = (folder / "results/by-recipe/bench/report.html").read_text()
    assert "On benchmarks" in page and "by sample 1" in page
    numbers = run(folder, "elenchus", "metrics", "bench", "--json")
    assert numbers.returncode == 0 and "gsm8k solver" in numbers.stdout, "what was evaluated last has its numbers"
    out = run(folder, "elenchus", "export", "--format", "inspect", "--to", "logs")
    logs = [json.loads(f.read_text()) for f in Path(folder, "logs").iterdir()]
    assert out.returncode == 0 and {log["eval"]["model"] for log in logs} == {"mine"}
