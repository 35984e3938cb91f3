"""Checkpoints of a training under way: complete or absent, weights and optimizer in safetensors, the rest in JSON.

A checkpoint is a folder `checkpoint-<step>`; it is written aside and renamed, so that a kill at any moment leaves the
one before. It holds no state of random generators: every step seeds its own (see `loop.py`).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from elenchus.errors import CorruptResult
from elenchus.job import check_file, file_entries

if TYPE_CHECKING:
    import torch

    from elenchus.training.loop import Run

WEIGHTS, OPTIMIZER, BEST, STATE = "model.safetensors", "optimizer.safetensors", "best.safetensors", "state.json"


def save(work: Path, run: Run, model: torch.nn.Module, optimizer: torch.optim.Optimizer, identity: dict) -> None:
    """Write the checkpoint of `run.step` below `work`, then remove the older ones."""
    from safetensors.torch import save_file, save_model

    done = work / f"checkpoint-{run.step:08d}"
    part = work / f"{done.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_model(model, str(part / WEIGHTS))
    save_optimizer(part / OPTIMIZER, model, optimizer)
    if run.best is not None:
        save_file(run.best, str(part / BEST))
    state = {"step": run.step, "history": run.history, "cost": asdict(run.cost), "extra": run.extra}
    (part / STATE).write_text(json.dumps({**state, "identity": identity, "files": file_entries(part)}))
    shutil.rmtree(done, ignore_errors=True)
    os.replace(part, done)
    for old in work.glob("checkpoint-*"):
        if old != done:
            shutil.rmtree(old, ignore_errors=True)


def restore(work: Path, run: Run, model: torch.nn.Module, optimizer: torch.optim.Optimizer, identity: dict) -> None:
    """Put the newest usable checkpoint below `work` into `run`, `model` and `optimizer`; leave them alone if none is.

    A checkpoint that is damaged, or of another training (`identity`) or another model, is removed, and stderr says so.
    """
    for folder in sorted(work.glob("checkpoint-*"), reverse=True):
        if folder.suffix == ".part":  # a kill while it was written
            shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            state = _read_state(folder, identity)
            _check_shapes(folder / WEIGHTS, {k: v.shape for k, v in model.state_dict().items()})
            load_optimizer(folder / OPTIMIZER, model, optimizer)
        except CorruptResult as e:
            print(f"  checkpoint not usable, removed: {e}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            continue
        _fill(folder, state, run, model)
        return


def save_optimizer(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write the optimizer's state to safetensors, `<state>/<parameter>` each (`exp_avg/model.norm.weight`)."""
    from safetensors.torch import save_file

    tensors = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}/{name}"] = value.detach().cpu().contiguous()
    save_file(tensors, str(path))


def save_no_optimizer(path: Path) -> None:
    """Write an optimizer's state that holds nothing; `load_optimizer` refuses it."""
    from safetensors.torch import save_file

    save_file({}, str(path))


def load_optimizer(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put a state written by `save_optimizer` into `optimizer`; CorruptResult where it is not of this model.

    Hyper-parameters such as the learning rate stay the optimizer's own.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(str(path))
    except (SafetensorError, OSError) as e:
        raise CorruptResult(f"{path}: not a readable optimizer state ({e})") from e
    if not tensors:
        raise CorruptResult(f"{path}: holds no optimizer state; it was made with save_optimizer: false")
    parameters, states = dict(model.named_parameters()), {}
    for key, value in tensors.items():
        kind, _, name = key.partition("/")
        if name not in parameters or (value.ndim and value.shape != parameters[name].shape):
            raise CorruptResult(f"{path}: {key} {list(value.shape)} is not of this model, which has another shape")
        states.setdefault(name, {})[kind] = value
    for name, state in states.items():
        optimizer.state[parameters[name]] = state


def _read_state(folder: Path, identity: dict) -> dict:
    """Return the parsed state.json of a checkpoint whose files are whole; CorruptResult otherwise."""
    try:
        state = json.loads((folder / STATE).read_text())
        files, found = state["files"], state["identity"]
        for name in ("step", "history", "cost", "extra"):
            state[name]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise CorruptResult(f"{folder / STATE}: unreadable ({type(e).__name__}: {e})") from e
    if found != json.loads(json.dumps(identity)):
        raise CorruptResult(f"{folder}: of another training (its parameters or seed differ)")
    for name, entry in files.items():
        check_file(folder / name, entry)
    return state


def _check_shapes(path: Path, expected: dict) -> None:
    """Raise CorruptResult where the tensors at `path` are not those of the model (tied ones are stored once)."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as f:
            found = {name: tuple(f.get_slice(name).get_shape()) for name in f.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as e:
        raise CorruptResult(f"{path}: not readable ({e})") from e
    wrong = next((n for n, shape in found.items() if tuple(expected.get(n, ())) != shape), None)
    if wrong is not None or not found:
        have = list(expected.get(wrong, ())) or "no such tensor"
        raise CorruptResult(f"{path}: {wrong} is {list(found.get(wrong, ()))}, the model has {have}")


def _fill(folder: Path, state: dict, run: Run, model: torch.nn.Module) -> None:
    """Put a checked checkpoint into `run` and `model`."""
    from safetensors.torch import load_file, load_model

    load_model(model, str(folder / WEIGHTS))
    run.step, run.extra = state["step"], state["extra"]
    run.history = [tuple(row) for row in state["history"]]
    for name, value in state["cost"].items():
        setattr(run.cost, name, value)
    run.best = load_file(str(folder / BEST)) if (folder / BEST).exists() else None
