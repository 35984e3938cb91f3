"""Tokens per second of tree search over those of flat sampling, both in this run, at the same sequences in flight.

    python benchmarks/search.py [--problems 400] [--repeats 3] [--batch 256] [--threads 1]

The policy is a model of the seed model's shape that has learned the form of solutions here, in about a minute (steps
and marks; its arithmetic is poor, which does not matter for speed). Tokens are those that the policy has sampled.
Search: with values 0 for unfinished nodes (no roll-outs, so that only the search itself is timed), with kept prefixes
and without; and with one roll-out per new node. Prints JSON: tokens per second of processor time (what other processes
take does not count; on one thread that is the time on a free machine) and the ratio to flat sampling (medians).
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time

import torch

from elenchus import conversation, models, solutions
from elenchus.engines import Sampling
from elenchus.engines.transformers_engine import TransformersEngine
from elenchus.problems import chain
from elenchus.search.mcts import Searcher
from elenchus.search.settings import Search

PREFIX_TOKENS = 65_536


def format_model(steps: int = 250):
    """Return (model, tokenizer) that writes well-formed chains: plain next-token training on exact solutions."""
    options, rng = chain.Options(), random.Random(0)
    tokenizer = models.new_tokenizer(chain.vocabulary(options))
    model = models.new_model(len(tokenizer), width=128, layers=3, heads=4, context=256, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for _ in range(steps):
        texts = []
        for _ in range(32):
            problem = chain.generate(options, rng)
            asked = conversation.render(tokenizer, conversation.solve(problem.prompt), "assistant")
            texts.append(f"{asked}{chain.render(problem, chain.reference(problem))} {tokenizer.eos_token}")
        batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval(), tokenizer


def flat(parts, problems, batch, rows) -> tuple[float, dict]:
    """Sample whole solutions, as many tokens as the searches about; `rows` samples per problem."""
    engine = TransformersEngine(parts, batch_size=batch)
    prompts = [solutions.prompt(engine.tokenizer, p) for p in problems]
    begin = time.process_time()
    engine.sample(prompts, Sampling(temperature=1.0, max_tokens=64), seed=1, n=rows)
    return engine.sampled_tokens / (time.process_time() - begin), {"tokens": engine.sampled_tokens}


def grow(parts, problems, batch, settings: Search, prefix_tokens: int) -> tuple[float, dict]:
    engine = TransformersEngine(parts, batch_size=batch, prefix_tokens=prefix_tokens)
    begin = time.process_time()
    trees = Searcher(engine, engine.tokenizer, settings).run(problems, seed=1)
    rate = engine.sampled_tokens / (time.process_time() - begin)
    return rate, {"tokens": engine.sampled_tokens, "nodes": sum(len(t.nodes) for t in trees)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    parts = format_model()
    rng = random.Random(1)
    problems = [chain.generate(chain.Options(), rng) for _ in range(options.problems)]
    alone = Search(value="outcome", simulations=12, breadth=3, c=1.0, temperature=1.0)
    rollouts = Search(value="rollouts", simulations=8, breadth=3, c=1.0, temperature=1.0)
    runs = {
        "flat": lambda: flat(parts, problems, options.batch, 4),
        "search": lambda: grow(parts, problems, options.batch, alone, PREFIX_TOKENS),
        "search_without_kept_prefixes": lambda: grow(parts, problems, options.batch, alone, 0),
        "search_with_rollouts": lambda: grow(parts, problems, options.batch, rollouts, PREFIX_TOKENS),
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    facts: dict[str, dict] = {}
    for _ in range(options.repeats):
        for name, run in runs.items():
            rate, facts[name] = run()
            rates[name].append(rate)
    report = {
        name: {
            "tokens_per_s": round(statistics.median(found)),
            "ratio_to_flat": round(statistics.median(a / b for a, b in zip(found, rates["flat"])), 2),
            **facts[name],
        }
        for name, found in rates.items()
    }
    print(json.dumps({"batch": options.batch, "threads": options.threads, **report}, indent=1))


if __name__ == "__main__":
    main()
