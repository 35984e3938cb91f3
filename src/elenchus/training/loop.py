"""One training loop for all trainers: transformers' `Trainer` (TRL's are such), with resumption exact to the byte.

Trainer's own resumption is not used: it replays samplers, pickles random states and does not know TRL's buffers.
Instead everything that a step depends on is a function of its number: the data come in an order fixed beforehand,
the learning rate is computed from the step, and each step seeds all generators anew. A resumed training is then a new
Trainer on the rest of the data, with the weights, the optimizer's state, the history and the costs of the checkpoint.

Nothing of that knows how many processes train together. Each takes its part of every batch, batches are the same, and
sums differ in their order only; so a training may go on with another number of processes.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from elenchus import seeds
from elenchus.errors import UserError
from elenchus.job import Cost
from elenchus.training import checkpoints, lora, parallel, sharding
from elenchus.training.settings import Training, rate

if TYPE_CHECKING:
    import torch
    from transformers import Trainer

# What Trainer logs and history leaves out: clocks (never the same twice) and counts that start anew on resumption.
UNTOLD = ("epoch", "num_tokens", "step_time", "total_flos", "num_input_tokens_seen")
TERMINATED = 128 + signal.SIGTERM


@dataclass
class Run:
    """What a training has done so far, and what survives a kill.

    step: optimizer steps done. history: (step, metric, value). cost: the job's own, restored with the checkpoint.
    extra: plain data of the trainer's own. best: weights of the best validation so far, None where there is no such.
    """

    cost: Cost
    step: int = 0
    history: list[tuple[int, str, float]] = field(default_factory=list)
    extra: dict = field(default_factory=dict)
    best: dict[str, torch.Tensor] | None = None
    stop: bool = False  # SIGTERM has come

    def note(self, metric: str, value: float) -> None:
        """Add one row to the history, at the present step."""
        self.history.append((self.step, metric, float(value)))

    def rows(self) -> list[dict]:
        """Return the rows of a `history` table."""
        return [{"step": s, "metric": m, "value": v} for s, m, v in self.history]


def fit(
    model: torch.nn.Module,
    settings: Training,
    build: Callable[[int, dict, dict], Trainer],
    *,
    work: Path,
    seed: int,
    cost: Cost,
    progress: Callable[[float, float, str], None],
    inherit: Path | None = None,
    save_optimizer: Path | None = None,
    from_origin: Callable[[], None] = lambda: None,
    at_start: Callable[[Run], None] | None = None,
    after_step: Callable[[Run], None] = lambda run: None,
    at_end: Callable[[Run], None] = lambda run: None,
    boundary: int = 1,
) -> Run:
    """Train `model` in place for `settings.steps` steps and return the finished run.

    build(first, arguments, common) makes the Trainer for the steps from `first` on: `arguments` are for its
    configuration, `common` (optimizers, callbacks) for the Trainer itself. inherit, save_optimizer: an optimizer's
    state to start from, and where to leave it. from_origin is called when the model is on the device that it trains on, with
    the weights that the training starts from, also where it goes on from a checkpoint. at_start is called before the first
    step, after_step after every one; both may add to the history and costs; at_end may change the weights once more, before
    adapters are merged. boundary: checkpoints are taken only after multiples of so many steps (a trainer may hold a buffer
    in between). Where several processes train together, all but the first end here, by SystemExit(0); with the first, `model` is
    plain again. SIGTERM ends the training after the step under way: a checkpoint, then SystemExit(143), so that the
    job is tried again.
    """
    import torch
    from transformers import PrinterCallback

    if settings.lora is not None and inherit is not None:
        raise UserError(
            "an optimizer's state from the round before (`previous`) cannot go with `lora`: the adapters that it belongs to "
            "were merged into the weights. Train all weights (lora: null), or leave `previous` out"
        )
    merge = lora.attach(model, settings.lora, seed) if settings.lora is not None else lambda: None
    make_plain = sharding.shard(model)
    model.to(parallel.device())
    from_origin()
    sharding.release(model)
    optimizer = torch.optim.AdamW(_groups(model, settings.weight_decay), lr=settings.learning_rate)
    run = Run(cost)
    identity = {"seed": seed, "settings": settings.model_dump(mode="json")}
    use_cache = getattr(model.config, "use_cache", None)
    checkpoints.restore(work, run, model, optimizer, identity)
    first = run.step
    if inherit is not None and not first:
        checkpoints.load_optimizer(inherit, model, optimizer)
    if first and parallel.first():
        print(f"  resumes after step {first} of {settings.steps}", file=sys.stderr, flush=True)

    def save() -> None:
        checkpoints.save(work, run, model, optimizer, identity)

    if first < settings.steps:
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(settings, first + step))
        callback = _callback(run, model, settings, seed, progress, after_step, save, boundary)
        common = {"optimizers": (optimizer, schedule), "callbacks": [callback]}
        trainer = build(first, _arguments(settings, settings.steps - first, work, seed), common)
        trainer.remove_callback(PrinterCallback)
        if at_start is not None and not first:
            at_start(run)
        with _on_sigterm(run):
            trainer.train()
        if run.step < settings.steps:
            if parallel.first():
                print(f"  stopped after step {run.step}: run again to go on", file=sys.stderr, flush=True)
            raise SystemExit(TERMINATED)
    if save_optimizer is not None:
        checkpoints.save_optimizer(save_optimizer, model, optimizer)
    make_plain()
    parallel.finish()
    if use_cache is not None:
        model.config.use_cache = use_cache  # Trainer turns it off, and it is saved with the model
    at_end(run)
    merge()
    return run


def _callback(run, model, settings, seed, progress, after_step, save, boundary):
    """Return the TrainerCallback that seeds steps, keeps the history, takes checkpoints and stops."""
    from transformers import TrainerCallback, set_seed

    every = boundary * math.ceil(settings.save_steps / boundary)

    class Steps(TrainerCallback):
        def on_step_begin(self, args, state, control, **_):
            set_seed(seeds.derive(seed, "step", run.step) % 2**31)

        def on_log(self, args, state, control, logs=None, **_):
            if "loss" not in logs:  # Trainer's summary at the end
                return
            run.step += 1
            for name in sorted(set(logs) - set(UNTOLD)):
                if logs[name] is not None:
                    run.note(name, logs[name])
            if not math.isfinite(logs["loss"]):
                lower = f"lower learning_rate (it is {settings.learning_rate})"
                raise UserError(f"the loss is {logs['loss']} after step {run.step}; {lower}")
            after_step(run)
            sharding.release(model)
            stop = sum(parallel.total([run.stop])) > 0  # SIGTERM may have reached some processes only
            control.should_training_stop = stop and run.step % boundary == 0 and run.step < settings.steps
            if control.should_training_stop or run.step % every == 0:
                save()
            told = "reward" if logs.get("reward") is not None else "loss"
            if parallel.first():
                progress(run.step, settings.steps, f"{told} {logs[told]:.4f}")

    return Steps()


@contextmanager
def _on_sigterm(run: Run) -> Iterator[None]:
    """Turn SIGTERM into a wish to stop, where signals can be had (the main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def wish(signum, frame):
        run.stop = True

    before = signal.signal(signal.SIGTERM, wish)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _groups(model: torch.nn.Module, decay: float) -> list[dict]:
    """Return AdamW's parameter groups: decay on matrices, none on norms and biases (one group where decay is 0)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not decay:
        return [{"params": parameters, "weight_decay": 0.0}]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def _arguments(settings: Training, steps: int, work: Path, seed: int) -> dict:
    """Return what every TrainingArguments gets; TRL's defaults of bfloat16 and activation checkpointing are undone."""
    import torch

    micro, accumulated = parallel.passes(settings)
    several = {"ddp_find_unused_parameters": False} if parallel.world() > 1 else {}
    return several | {
        "output_dir": str(work / "trainer"),
        "use_cpu": not torch.cuda.is_available(),
        "bf16": settings.precision == "bfloat16",
        "activation_checkpointing": settings.activation_checkpointing,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": accumulated,
        "max_steps": steps,
        "max_grad_norm": settings.max_grad_norm,
        "seed": seed % 2**31,
        "train_sampling_strategy": "sequential",  # the data come in their order
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
