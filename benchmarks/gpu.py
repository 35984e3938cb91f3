"""What a GPU does with the stages' models: tokens a second, memory, and the share of what the card could do at most.

    python benchmarks/gpu.py                      # one GPU, no network; writes benchmarks/gpu/<card>.json and docs/gpu.md
    python benchmarks/gpu.py --device cpu         # a rehearsal at microscopic size, end to end; writes nothing unless --out
    python benchmarks/gpu.py --page               # docs/gpu.md again, from benchmarks/gpu/*.json

Two models with random weights and a tokenizer made here: one of the seed model's size, and Qwen2.5-0.5B's architecture. Each
is sampled from (transformers engine; vLLM where its environment is there) and trained (TRL's SFT, float32 and bfloat16).
The larger one then goes through the stages themselves: sample, sft, dpo, grpo, with the GPU memory that each of them took.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gpu_page import LARGE, PAGE, RUNS, SEED_SIZE, known_runs, line, memory_text, page

ROOT = Path(__file__).parent.parent

# By device: sequences, samples of each of 64 prompts, tokens of a sample, training steps, batch, stages' problems and steps
SIZES = {
    "cuda": {"sequences": 256, "n": 8, "tokens": 128, "steps": 12, "batch": 32, "problems": 64, "stage_steps": 4},
    "cpu": {"sequences": 16, "n": 1, "tokens": 6, "steps": 3, "batch": 4, "problems": 8, "stage_steps": 1},
}


def options() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu: microscopic, to see that it runs"
    )
    parser.add_argument(
        "--vllm", type=Path, default=ROOT / ".venv-vllm/bin/python", help="Python of vLLM's environment"
    )
    parser.add_argument("--out", type=Path, help="where the JSON goes; default with a GPU: benchmarks/gpu/<card>.json")
    parser.add_argument("--page", action="store_true", help="only write docs/gpu.md again")
    return parser.parse_args()


def device_name(device: str) -> str:
    """Return the GPU's name, "cpu" for the rehearsal; end with one sentence where there is no GPU."""
    import torch

    if device == "cpu":
        return "cpu"
    if not torch.cuda.is_available():
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        raise SystemExit(
            f"benchmarks/gpu.py: torch {torch.__version__}, built {built}, sees no GPU on this machine; "
            "--device cpu rehearses it at microscopic size."
        )
    return torch.cuda.get_device_name(0)


def vllm_works(python: Path, device: str) -> bool:
    """Return whether vLLM's environment is there and its torch sees the device."""
    if not python.exists():
        return False
    code = "import torch, vllm; print(torch.cuda.is_available())"
    said = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False).stdout.split()
    return bool(said) and (device == "cpu" or said[-1] == "True")


# -- models ------------------------------------------------------------------------------------------------------------


def shapes(device: str) -> dict:
    """Return {name: shape} of the two models."""
    from elenchus.architectures import SHAPES, Shape

    if device == "cpu":
        return {
            # heads of 32, the smallest that vLLM has on a CPU
            SEED_SIZE: Shape(64, 1, 2, 2, 64, 64, tied=True),
            LARGE: Shape(128, 2, 4, 2, 128, 256, tied=True, biases=True),
        }
    return {SEED_SIZE: Shape(128, 3, 4, 4, 320, 64, tied=True), LARGE: SHAPES["Qwen/Qwen2.5-0.5B"]}


def make(shape, folder: Path) -> None:
    """Write a model of this shape with random weights, and a tokenizer of the chain problems' words."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    from elenchus import models
    from elenchus.problems import chain

    tokenizer = models.new_tokenizer(chain.vocabulary(chain.Options()))
    kind, config = (Qwen2ForCausalLM, Qwen2Config) if shape.biases else (LlamaForCausalLM, LlamaConfig)
    torch.manual_seed(0)
    model = kind(
        config(
            hidden_size=shape.width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            intermediate_size=shape.feed_forward,
            vocab_size=shape.vocabulary,
            tie_word_embeddings=shape.tied,
            max_position_embeddings=1024,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
    )
    if len(tokenizer) > shape.vocabulary or sum(p.numel() for p in model.parameters()) != shape.parameters:
        raise AssertionError(
            f"{shape} is not what was built, or has too few words for the tokenizer's {len(tokenizer)}"
        )
    models.save(model, tokenizer, folder)


def problems(n: int) -> list:
    """Return chain problems."""
    from elenchus.problems import chain

    rng = random.Random(0)
    return [chain.generate(chain.Options(), rng) for _ in range(n)]


# -- measuring ---------------------------------------------------------------------------------------------------------


class Memory:
    """The most memory since it was made, in bytes: the GPU's, or in the rehearsal the process's."""

    def __init__(self, device: str):
        import torch

        self.device = device
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        """Return the peak so far."""
        import torch

        if self.device == "cuda":
            torch.cuda.synchronize()
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def written(engine, shape, size: int, how: dict, card) -> dict:
    """Return a measurement of sampling, after one call that is not counted; size: bytes of a number."""
    from elenchus import solutions
    from elenchus.cluster_cost import most_written
    from elenchus.engines import Sampling

    prompts = [solutions.prompt(engine.tokenizer, p) for p in problems(64)]
    sampling = Sampling(max_tokens=how["tokens"])
    engine.sample(prompts[:4], sampling, seed=0)
    engine.sampled_tokens = engine.prompt_tokens = 0
    begin = time.monotonic()
    engine.sample(prompts, sampling, seed=1, n=how["n"])
    seconds, tokens = time.monotonic() - begin, engine.sampled_tokens
    share = None
    if card:
        context = engine.prompt_tokens // len(prompts) + how["tokens"] // 2
        share = tokens / seconds / most_written(shape, min(how["sequences"], 64 * how["n"]), size, context, card)
    return {"tokens": tokens, "seconds": round(seconds, 3), "share": share}


def sampled(folder: Path, shape, how: dict, device: str, card) -> dict:
    """Return the measurement of the transformers engine, whose weights are float32."""
    from elenchus.engines.transformers_engine import TransformersEngine

    memory = Memory(device)
    engine = TransformersEngine(folder, batch_size=how["sequences"])
    found = written(engine, shape, 4, how, card)
    where = engine.model.device.type
    return {"what": "sampling, transformers", "numbers": "float32", **found, "memory": memory.peak(), "on": where}


def sampled_by_vllm(folder: Path, shape, how: dict, device: str, card, python: Path, work: Path) -> dict:
    """Return the measurement of the vLLM engine; its memory is its own process's, and what it was given, so not told."""
    from elenchus.engines.settings import Machine, Vllm
    from elenchus.engines.vllm_engine import VllmEngine

    Memory(device)  # gives back what earlier models held: vLLM wants nearly all of the card
    numbers = "bfloat16" if device == "cuda" else "float32"
    machine = Machine(python=str(python), cache_gb=0 if device == "cuda" else 0.5)
    given = {"batch_size": how["sequences"], "work": work, "log": work / "vllm.log"}
    engine = VllmEngine(folder, Vllm(dtype=numbers), machine, **given)
    try:
        found = written(engine, shape, 2 if device == "cuda" else 4, how, card)
    finally:
        engine.close()
    return {"what": "sampling, vLLM", "numbers": numbers, **found, "memory": None, "on": device}


def trained(folder: Path, shape, how: dict, device: str, card, precision: str, work: Path) -> dict:
    """Return the measurement of SFT on exact solutions, its first step not counted."""
    from elenchus import examples, models
    from elenchus.job import Cost
    from elenchus.training import sft
    from elenchus.training.settings import OverData

    memory, cost, marks = Memory(device), Cost(), []
    model, tokenizer = models.load(folder)
    settings = OverData(steps=how["steps"], batch=how["batch"], learning_rate=1e-5, precision=precision)
    given = {"work": work / f"sft-{precision}", "seed": 0, "cost": cost}
    rows = examples.from_references(problems(how["problems"]))
    sft.train(
        model, tokenizer, rows, settings, **given, progress=lambda *_: marks.append((time.monotonic(), cost.trained))
    )
    (begin, before), (end, after) = marks[0], marks[-1]
    seconds, tokens, share = end - begin, after - before, None
    if card:
        share = 6 * shape.parameters * tokens / seconds / (card.bf16 if precision == "bfloat16" else card.float32)
    found = {"tokens": tokens, "seconds": round(seconds, 3), "share": share, "memory": memory.peak()}
    return {"what": "training, SFT", "numbers": precision, **found, "on": model.device.type}


def staged(folder: Path, how: dict, device: str, vllm: bool, python: Path, work: Path) -> list[dict]:
    """Run the stages themselves on the model and return what each took; seconds include loading."""
    from elenchus import graph, run_stage

    def stage(kind: str, params: dict | None = None, **inputs):
        return graph.make(kind, params, seed=0, **inputs)

    steps = {"steps": how["stage_steps"], "batch": 8, "learning_rate": 1e-5}
    model = stage("pretrained", {"name": str(folder)})
    train = stage("problems", {"family": "chain", "split": "train", "n": how["problems"]})
    drawn = {"n": 2, "max_tokens": how["tokens"], "batch_size": how["sequences"]}
    wrong = stage("inject", {"n": 1}, problems=train)
    said = [
        stage(
            "critique",
            {"source": "oracle", "critic": name, "miss_rate": rate},
            solutions=wrong,
            problems=train,
        )
        for name, rate in (("strict", 0.0), ("blind", 1.0))
    ]
    pairs = stage("pairs", {"rule": "judge", "judge_noise": 0.0}, critiques=said, solutions=wrong, problems=train)
    learned = stage("examples", {"of": "references"}, problems=train)
    wanted = [
        stage("sample", drawn, actor=model, problems=train),
        stage("sft", {**steps, "precision": "bfloat16"}, model=model, examples=[learned]),
        stage("dpo", {**steps, "precision": "bfloat16", "use_filtered": False}, model=model, pairs=pairs),
        stage(
            "grpo",
            {**steps, "num_generations": 4, "max_tokens": how["tokens"]},
            critic=model,
            solutions=wrong,
            problems=train,
        ),
    ]
    if vllm:
        numbers = "bfloat16" if device == "cuda" else "float32"
        wanted.insert(
            1, stage("sample", {**drawn, "engine": {"kind": "vllm", "dtype": numbers}}, actor=model, problems=train)
        )
    weights, found = sum(f.stat().st_size for f in folder.glob("*.safetensors")), []
    machine = {"engine": {"python": str(python), "cache_gb": 0 if device == "cuda" else 0.5}}
    for s in graph.walk(wanted):
        memory = Memory(device)
        out = run_stage.run({**s.spec(), "machine": machine}, work / "results")
        if s in wanted:
            cost, peak = json.loads((out / "cost.json").read_text()), memory.peak()
            tokens = {k: cost[k] for k in ("sampled", "trained", "seconds")}
            own = (s.params.get("engine") or {}).get("kind") != "vllm"  # else the worker's memory, another process
            on = "cuda" if device == "cuda" and peak >= weights else "cpu"
            found.append(
                {
                    "kind": s.kind + ("" if own else ", vLLM"),
                    **tokens,
                    "memory": peak if own else None,
                    "on": on if own else "",
                }
            )
    return found


def measure(given: argparse.Namespace, name: str) -> dict:
    """Return all measurements of this machine as plain data."""
    import torch

    from elenchus import environment, gpus, run_stage

    environment.torch_setup(1)
    how, card, rows = SIZES[given.device], gpus.CARDS.get(name), []
    vllm = vllm_works(given.vllm, given.device)
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        for model, shape in shapes(given.device).items():
            folder = work / ("large" if shape.biases else "small")
            make(shape, folder)
            found = [sampled(folder, shape, how, given.device, card)]
            if vllm:
                found.append(sampled_by_vllm(folder, shape, how, given.device, card, given.vllm, work))
            found += [trained(folder, shape, how, given.device, card, p, folder) for p in ("float32", "bfloat16")]
            rows += [{"model": model, "parameters": shape.parameters, **row} for row in found]
            for row in found:
                print(line(model, row), flush=True)
        stages = staged(work / "large", how, given.device, vllm, given.vllm, work)
        for row in stages:
            print(f"stage {row['kind']}: {row['seconds']:.1f} s with loading, {memory_text(row)}", flush=True)
    around = run_stage.surroundings()
    machine = {
        "card": name,
        "known": card is not None,
        "vllm": vllm,
        "torch": torch.__version__,
        **around,
        "sizes": how,
    }
    if not card:
        print(f"{name!r} is not in src/elenchus/gpus.py: no share of what it could do at most")
    return {"machine": machine, "measured": rows, "stages": stages}


def main() -> None:
    """Measure, write, make the page."""
    given = options()
    if given.page:
        PAGE.write_text(page(known_runs()))
        return
    if given.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch looks
    from elenchus import environment

    environment.quiet()
    name = device_name(given.device)
    found = measure(given, name)
    out = given.out or (RUNS / f"{name.lower().replace(' ', '-')}.json" if given.device == "cuda" else None)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        print(out)
    if out and out.parent == RUNS:
        PAGE.write_text(page(known_runs()))
        print(PAGE)


if __name__ == "__main__":
    sys.exit(main())
