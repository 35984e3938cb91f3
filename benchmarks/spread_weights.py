"""Peak memory of each of two processes that spread a model's weights (fsdp): when they are there, and after a training of 2 steps.

python benchmarks/spread_weights.py [--width 768] [--layers 12]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from elenchus import conversation, models
from elenchus.environment import torch_setup
from elenchus.job import Cost
from elenchus.training.settings import OverData


def make(folder: Path, width: int, layers: int) -> int:
    """Write an untrained model and return its parameters."""
    tokenizer = models.new_tokenizer([str(i) for i in range(100)])
    model = models.new_model(len(tokenizer), width=width, layers=layers, heads=width // 64, context=64, seed=0)
    models.save(model, tokenizer, folder)
    return sum(p.numel() for p in model.parameters())


def train(folder: Path) -> None:
    """Be one of the processes; print a line of JSON: rank, and MB of memory at most so far, step by step."""
    torch_setup(1)
    from elenchus.training import parallel, sft, sharding

    parallel.start("fsdp")
    from transformers import AutoModelForCausalLM, Trainer  # noqa: F401 (so that their memory is not counted as the model's)
    from trl import SFTTrainer  # noqa: F401

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    told = {"rank": parallel.rank(), "before": peak()}
    model, tokenizer = sharding.load(folder)
    shard = sharding.shard

    def sharded(module):
        found = shard(module)
        told["spread"] = peak()
        return found

    def finish() -> None:
        told["trained"] = peak()
        print(json.dumps(told), flush=True)
        os._exit(0)

    sharding.shard = sharded
    sharding._make_plain = lambda *_: finish()
    row = {"prompt": json.dumps(conversation.solve("1 2")), "reply": "assistant", "completion": "3"}
    around = {"work": folder / "work", "seed": 0, "cost": Cost(), "progress": lambda *_: None}
    sft.train(model, tokenizer, [row] * 4, OverData(steps=2, batch=2), **around)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.train:
        return train(asked.train)
    with tempfile.TemporaryDirectory() as folder:
        parameters = make(Path(folder), asked.width, asked.layers)
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        done = subprocess.run(
            [*launcher, __file__, "--train", folder], stdout=subprocess.PIPE, text=True, check=True, timeout=500
        )
    print(
        f"{parameters / 1e6:.0f} M parameters, {4 * parameters / 1e6:.0f} MB in float32; peaks in MB, above what imports take"
    )
    for line in sorted(x for x in done.stdout.splitlines() if x.startswith("{")):
        told = json.loads(line)
        spread, trained = (told[k] - told["before"] for k in ("spread", "trained"))
        print(f"  rank {told['rank']}: {spread:6.0f} once the weights are spread, {trained:6.0f} after two steps")


if __name__ == "__main__":
    main()
