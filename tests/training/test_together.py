"""The same training in one process and in two (gloo): losses, weights, costs; and going on with another number of them.

Two processes add the same numbers up in another order. Of the losses that leaves a relative difference of at most a few
1e-7, the rounding of float32; weights differ a little more, where AdamW divides a gradient of almost nothing by its own
size. Where both meet in a tie, a sampled token or an argmax could differ; here none does.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trainings

LOSS, WEIGHT = 5e-6, 2e-4  # relative; absolute
LORA = {"lora": trainings.LORA}


def job(name: str, kind: str, strategy: str = "ddp", stop: int = 0, **changes) -> dict:
    return {"name": name, "kind": kind, "strategy": strategy, "changes": changes, "stop": stop}


QUICK = [
    job("sft", "sft"),
    job("dpo", "dpo"),
    job("grpo", "grpo", steps=4, validated=False),
    job("sft-spread", "sft", "fsdp", **LORA),
]
WHOLE = [
    *(job(f"{kind}-ddp", kind) for kind in ("sft_turns", "step_dpo", "process_head", "offline_rl")),
    *(job(f"{kind}-fsdp", kind, "fsdp") for kind in ("sft", "dpo", "step_dpo", "process_head", "offline_rl")),
    *(job(f"{kind}-lora", kind, **LORA) for kind in ("dpo", "grpo", "process_head")),
    job("grpo-fsdp", "grpo", "fsdp", validated=False),
    job("grpo-validated", "grpo"),
    job("grpo-fsdp-validated", "grpo", "fsdp"),
    job("grpo-kl", "grpo", beta=0.1, num_iterations=2),
    job("grpo-means", "grpo", loss_type="grpo", scale_rewards="batch"),
    job("sft-packed", "sft", packing=True),
    job("sft-passes", "sft", "fsdp", micro_batch=2),
    job("sft-dft", "sft", loss_type="dft"),
    job("sft-recomputed", "sft", activation_checkpointing=True, **LORA),
    job("dpo-recomputed", "dpo", "fsdp", activation_checkpointing=True),
    job("head-fsdp-lora", "process_head", "fsdp", **LORA),
]


def together(folder: Path, jobs: list[dict]) -> None:
    """Run the jobs in two processes."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launcher, trainings.__file__, str(folder), str(folder / "jobs.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def alone(folder: Path, given: dict, name: str) -> dict:
    """Run a job in this process and return its record."""
    changes = dict(given["changes"])
    try:
        found = trainings.train(given["kind"], folder / "model", folder / name, given["stop"], **changes)
    except SystemExit as e:
        assert e.code == 143 and given["stop"]
        return {}
    trainings.record(folder / name, *found)
    return read(folder / name)


def read(at: Path) -> dict:
    from safetensors.torch import load_file

    return json.loads((at / "run.json").read_text()) | {"weights": load_file(str(at / "weights.safetensors"))}


def compare(one: dict, two: dict) -> None:
    first, second = ({(s, m): v for s, m, v in r["history"]} for r in (one, two))
    assert first.keys() == second.keys() and one["cost"] == two["cost"] and one["class"] == two["class"]
    exact = [k for k in first if k[1] in ("loss", "grad_norm", "reward", "terms/format", "learning_rate")]
    assert {m for _, m in exact} >= {"loss", "grad_norm"}
    for key in exact:
        assert second[key] == pytest.approx(first[key], rel=LOSS if key[1] != "grad_norm" else 1e-4, abs=LOSS), key
    assert one["weights"].keys() == two["weights"].keys()
    for name, w in one["weights"].items():
        assert (w - two["weights"][name]).abs().max().item() < WEIGHT, name


def moved(folder: Path, record: dict) -> bool:
    """Return whether training has changed the weights by more than what is let pass."""
    from elenchus import models

    start = dict(models.load(folder / "model")[0].named_parameters())
    known = [n for n in record["weights"] if n in start]
    return not known or max((start[n] - record["weights"][n]).abs().max().item() for n in known) > 10 * WEIGHT


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory) -> Path:
    at = tmp_path_factory.mktemp("together")
    shutil.copytree(made, at / "model")
    return at


@pytest.fixture(scope="module")
def quick(folder) -> Path:
    """All quick jobs in two processes, one more stopped there to be gone on with by one, one stopped before by one."""
    alone(folder, job("one-then-two", "sft", stop=3), "one-then-two")
    stopped = [job("two-then-one", "sft", stop=3), job("one-then-two", "sft")]
    together(folder, [*QUICK, *stopped])
    return folder


@pytest.mark.parametrize("given", QUICK, ids=lambda g: g["name"])
def test_two_processes_train_as_one(quick, given):
    one = alone(quick, given, f"{given['name']}-alone")
    compare(one, read(quick / given["name"]))
    assert moved(quick, one)


def test_another_number_of_processes_goes_on(quick):
    whole = alone(quick, job("whole", "sft"), "whole")
    compare(whole, read(quick / "one-then-two"))
    assert [p.name for p in (quick / "two-then-one" / "work").glob("checkpoint-*")] == ["checkpoint-00000004"], (
        "after the step under way"
    )
    compare(whole, alone(quick, job("two-then-one", "sft"), "two-then-one"))


@pytest.mark.several_processes
def test_every_trainer_in_two_processes(folder):
    together(folder, WHOLE)
    for given in WHOLE:
        compare(alone(folder, given, f"{given['name']}-alone"), read(folder / given["name"]))


@pytest.mark.several_processes
@pytest.mark.parametrize("kind", ["dpo", "grpo", "process_head"])
def test_every_order_of_processes_goes_on(folder, kind):
    orders = {"1-2": ("one", "ddp"), "2-1": ("ddp", "one"), "ddp-fsdp": ("ddp", "fsdp"), "fsdp-ddp": ("fsdp", "ddp")}
    more = {"validated": False} if kind == "grpo" else {}
    whole = alone(folder, job("w", kind, **more), f"{kind}-whole")
    for name, (before, after) in orders.items():
        at = f"{kind}-{name}"
        shutil.rmtree(folder / at, ignore_errors=True)
        for how, stop in ((before, 4), (after, 0)):
            given = job(at, kind, how if how != "one" else "ddp", stop=stop, **more)
            if how == "one":
                alone(folder, given, at)
            else:
                together(folder, [given])
        compare(whole, read(folder / at))
