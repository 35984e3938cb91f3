"""Tokens per second of TransformersEngine over those of `model.generate`, both in this run, on the seed model's scale.

    python benchmarks/engine.py [--repeats 3] [--batch 256] [--threads 1]

generate runs with its default (dynamic) cache, in batches of the same size; tokens after a row's end do not count.
Prints JSON: tokens per second of processor time of both (what other processes take does not count; on one thread that
is the time on a free machine) and their ratio, medians over repeats, which alternate: where samples end as the random
model likes (lengths spread), and where none ends before max_tokens (lengths equal: no gain from refilled rows).
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time

import numpy as np
import torch
import transformers

from elenchus import conversation, models
from elenchus.engines import Sampling
from elenchus.engines.transformers_engine import TransformersEngine
from elenchus.problems import chain

transformers.logging.set_verbosity_error()  # an end token of -1 is meant
MAX_TOKENS = 48


def seed_scale():
    """Return (model, tokenizer, prompts): 0.57 M parameters, 128 chain problems."""
    options = chain.Options()
    tokenizer = models.new_tokenizer(chain.vocabulary(options))
    model = models.new_model(len(tokenizer), width=128, layers=3, heads=4, context=256, seed=0).eval()
    rng = random.Random(0)
    questions = [chain.generate(options, rng).prompt for _ in range(128)]
    return model, tokenizer, [conversation.render(tokenizer, conversation.solve(q), "assistant") for q in questions]


def ours(model, tokenizer, prompts, n, batch, endless) -> float:
    engine = TransformersEngine((model, tokenizer), batch_size=batch)
    if endless:
        engine.ends = np.array([-1])
    begin = time.process_time()
    engine.sample(prompts, Sampling(max_tokens=MAX_TOKENS), seed=1, n=n)
    return engine.sampled_tokens / (time.process_time() - begin)


def generate(model, tokenizer, prompts, n, batch, endless) -> float:
    rows, sampled = [p for p in prompts for _ in range(n)], 0
    eos = -1 if endless else tokenizer.eos_token_id
    begin = time.process_time()
    for i in range(0, len(rows), batch):
        inputs = tokenizer(rows[i : i + batch], return_tensors="pt", padding=True, add_special_tokens=False)
        out = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            do_sample=True,
            top_k=0,
            max_new_tokens=MAX_TOKENS,
            eos_token_id=eos,
            pad_token_id=tokenizer.pad_token_id,
        )
        new = out[:, inputs["input_ids"].shape[1] :]
        ended = (new == eos).long().cumsum(1) - (new == eos).long()
        sampled += int((ended == 0).sum())
    return sampled / (time.process_time() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, tokenizer, prompts = seed_scale()
    for run in (ours, generate):  # warm up
        run(model, tokenizer, prompts[:16], 2, options.batch, False)
    report = {"batch": options.batch, "threads": options.threads}
    for name, endless in (("lengths_spread", False), ("lengths_equal", True)):
        pairs = [
            [run(model, tokenizer, prompts, options.samples, options.batch, endless) for run in (ours, generate)]
            for _ in range(options.repeats)
        ]
        report[name] = {
            "engine_tokens_per_s": round(statistics.median(a for a, _ in pairs)),
            "generate_tokens_per_s": round(statistics.median(b for _, b in pairs)),
            "ratio": round(statistics.median(a / b for a, b in pairs), 2),
        }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
