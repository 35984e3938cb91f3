"""From a stage's parameters to its engine: the one place where kinds of stages get what they sample with."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from elenchus.engines.transformers_engine import TransformersEngine

if TYPE_CHECKING:
    from elenchus.engines import Engine
    from elenchus.job import Job, Result


def opened(job: Job, model: str | Result | None, prefix_tokens: int = 0, beside: int = 0) -> Engine:
    """Return the engine that the job's parameters ask for, on input `model` (a name or a result; None: a server's).

    prefix_tokens: tokens that the transformers engine keeps between calls; vLLM caches prefixes by itself. beside: engines that
    the stage has open at the same time, which share the memory.
    """
    p = job.params
    source = job.inputs[model] if isinstance(model, str) else model
    if p.engine is None:  # sources of models only: what has none names an engine
        return TransformersEngine(source.dir("model"), batch_size=p.batch_size, prefix_tokens=prefix_tokens)
    # By a string: a stage's digest then covers this engine's code only where its parameters name it (`graph.kind_code`).
    module = importlib.import_module(f"elenchus.engines.{p.engine.kind}_engine")
    return module.for_job(job, source.dir("model") if source else None, beside)


def spent(job: Job, *engines: Engine) -> None:
    """Add what the engines have sampled and read to the job's cost."""
    for engine in engines:
        job.cost.sampled += engine.sampled_tokens
        job.cost.prompt += engine.prompt_tokens
