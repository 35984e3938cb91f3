"""docs/gpu.md, made of the runs of `benchmarks/gpu.py` on GPUs that benchmarks/gpu/*.json hold."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUNS, PAGE = ROOT / "benchmarks" / "gpu", ROOT / "docs" / "gpu.md"
SEED_SIZE, LARGE = "seed model's size", "Qwen2.5-0.5B's architecture"


def known_runs() -> list[dict]:
    """Return the runs on GPUs that benchmarks/gpu holds, by name."""
    return [json.loads(p.read_text()) for p in sorted(RUNS.glob("*.json"))]


def memory_text(row: dict) -> str:
    """Return the peak memory for people."""
    return "–" if row["memory"] is None else f"{row['memory'] / 1e9:.2f} GB, on {row['on']}"


def share_text(row: dict) -> str:
    """Return the share of what the card could do at most, a dash where it is not known."""
    return "–" if row["share"] is None else f"{row['share']:.1%}"


def line(model: str, row: dict) -> str:
    """Return a measurement as a line."""
    rate = row["tokens"] / row["seconds"]
    return (
        f"{model}: {row['what']}, {row['numbers']}: {rate:,.0f} tokens/s, {memory_text(row)}, share {share_text(row)}"
    )


def page(runs: list[dict]) -> str:
    """Return docs/gpu.md, made of the runs on GPUs."""
    head = """# On a GPU

`python benchmarks/gpu.py`, or `make gpu`, on a machine with a GPU; no network. It builds two models with random weights, one of the
seed model's size and one of Qwen2.5-0.5B's architecture, samples from them and trains them, runs stages on the larger one,
writes what it measured to `benchmarks/gpu/<card>.json` and makes this page of it. `--device cpu` rehearses all of it at microscopic
size, which a test does. It needs a build of torch with CUDA; the one that `make` installs has none. vLLM is measured where
`--vllm` names the Python of an environment whose torch has CUDA, too ([engines](engines.md#vllm)).

*Share*: of sampling, the tokens a second over the most that the card's memory bandwidth and FLOP/s allow at this batch
(`elenchus.cluster_cost.most_written`); of training, 6 x parameters x tokens a second over its peak FLOP/s in the same
numbers. Peaks by card, with their sources: `src/elenchus/gpus.py`. These shares are what
[the plan of the full reproduction](full-reproduction.md) assumes as `writing`, `own_writing` and `training`.
"""
    never = """
## It has never run on a GPU
No machine with a GPU was to be had. Nothing on this page is measured; the shares that the plan assumes are assumptions.
"""
    not_measured = """
## What this does not measure
- models of 3 to 14 billion parameters, which the papers use, and their real tokenizers and chat templates
- several GPUs: tensor parallelism, trainings that one card cannot hold
- long contexts, LoRA adapters, what a search gains from cached prefixes
- whether two GPUs, or two runs on one, give the same bytes

## Where stages put their models
By reading, not by running: `sample` and all that samples goes to the GPU where torch sees one, and so does whatever a
trainer trains. Not so the passes before a training in which `step_dpo`'s reference and `offline_rl`'s model read all
examples: these models are still on the CPU then, right but slow. The seed model is always trained on the CPU.
"""
    told = "".join(run_section(run) for run in runs) or never
    return head + told + not_measured


def run_section(run: dict) -> str:
    """Return a run as a section: what was measured, and what its stages took."""
    m = run["machine"]
    lines = ["", f"## {m['card']}", f"torch {m['torch']}, {m['machine']}, {m['ended'][:10]}, commit {m['commit']}.", ""]
    lines += ["| model | what | numbers | tokens/s | share | peak memory |", "|---|---|---|---:|---:|---:|"]
    for row in run["measured"]:
        cells = [row["model"], row["what"], row["numbers"], f"{row['tokens'] / row['seconds']:,.0f}", share_text(row)]
        lines.append("| " + " | ".join([*cells, memory_text(row)]) + " |")
    lines += ["", "| stage | sampled | trained on | seconds, with loading | peak memory |", "|---|---:|---:|---:|---:|"]
    for row in run["stages"]:
        cells = [
            f"`{row['kind']}`",
            f"{row['sampled']:,}",
            f"{row['trained']:,}",
            f"{row['seconds']:.1f}",
            memory_text(row),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    if not m["known"]:
        lines += ["", "This card is not in `src/elenchus/gpus.py`, so there are no shares."]
    if not m["vllm"]:
        lines += ["", "vLLM's environment was not there, or saw no GPU."]
    return "\n".join(lines) + "\n"
