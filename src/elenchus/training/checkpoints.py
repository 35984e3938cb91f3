"""Checkpoints of a training under way: complete or absent, weights and optimizer in safetensors, the rest in JSON.

A checkpoint is a folder `checkpoint-<step>`; it is written aside and renamed, so that a kill at any moment leaves the
one before. It holds no state of random generators: every step seeds its own (see `loop.py`). It holds whole tensors of what
is trained, whatever number of processes has them in parts, so that another number can go on from it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from elenchus.errors import CorruptResult
from elenchus.job import check_file, file_entries
from elenchus.training import parallel, sharding

if TYPE_CHECKING:
    import torch

    from elenchus.training.loop import Run

WEIGHTS, OPTIMIZER, BEST, STATE = "model.safetensors", "optimizer.safetensors", "best.safetensors", "state.json"


def save(work: Path, run: Run, model: torch.nn.Module, optimizer: torch.optim.Optimizer, identity: dict) -> None:
    """Write the checkpoint of `run.step` below `work`, then remove the older ones. All processes together; the first writes."""
    from safetensors.torch import save_file

    trained, states = weights(model), optimizer_state(model, optimizer)
    if not parallel.first():
        return
    done = work / f"checkpoint-{run.step:08d}"
    part = work / f"{done.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_file(trained, str(part / WEIGHTS))
    save_file(states, str(part / OPTIMIZER))
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
    folder = parallel.from_first(lambda: _newest(work, model, identity))
    if folder is not None:
        _fill(folder, _read_state(folder, identity), run, model)
        load_optimizer(folder / OPTIMIZER, model, optimizer)


def _newest(work: Path, model: torch.nn.Module, identity: dict) -> Path | None:
    """Return the newest usable checkpoint's folder, the unusable ones before it removed; None where there is none."""
    for folder in sorted(work.glob("checkpoint-*"), reverse=True):
        if folder.suffix == ".part":  # a kill while it was written
            shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            _read_state(folder, identity)
            _check_shapes(folder / WEIGHTS, {k: v.shape for k, v in model.state_dict().items()})
            _check_optimizer(folder / OPTIMIZER, model)
        except CorruptResult as e:
            print(f"  checkpoint not usable, removed: {e}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            continue
        return folder
    return None


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors that training changes, each storage once (tied embeddings), whole, on the CPU. *Collective.*

    Where they are spread, the first process alone gets them.
    """
    owners, seen, found = dict(model.named_parameters(remove_duplicate=False)), set(), {}
    for name, tensor in model.state_dict().items():
        owner = owners.get(name)
        if owner is not None and (not owner.requires_grad or id(owner) in seen):
            continue
        seen.add(id(owner))
        value = sharding.whole(tensor)
        if parallel.first() or not parallel.spread():
            found[name] = value.contiguous()
    return found


def put(model: torch.nn.Module, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Copy (name, tensor) as `weights` returned them into `model`, spread as the model is."""
    import torch

    own = model.state_dict()
    with torch.no_grad():
        for name, value in tensors:
            own[name].copy_(sharding.like(value, own[name]))


def optimizer_state(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return the optimizer's state, `<state>/<parameter>` each (`exp_avg/model.norm.weight`), as `weights` does. *Collective.*"""
    tensors = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            found = sharding.whole(value)
            if parallel.first() or not parallel.spread():
                tensors[f"{key}/{name}"] = found.contiguous()
    return tensors


def save_optimizer(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write the optimizer's state to safetensors. All processes together; the first writes."""
    from safetensors.torch import save_file

    tensors = optimizer_state(model, optimizer)
    if parallel.first():
        save_file(tensors, str(path))


def save_no_optimizer(path: Path) -> None:
    """Write an optimizer's state that holds nothing; `load_optimizer` refuses it."""
    from safetensors.torch import save_file

    save_file({}, str(path))


def load_optimizer(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put a state written by `save_optimizer` into `optimizer`; CorruptResult where it is not of this model.

    Hyper-parameters such as the learning rate stay the optimizer's own.
    """
    _check_optimizer(path, model)
    parameters = dict(model.named_parameters())
    for key, value in _tensors(path):
        kind, _, name = key.partition("/")
        owner = parameters[name]
        optimizer.state[owner][kind] = sharding.like(value, owner) if value.ndim else value


def _check_optimizer(path: Path, model: torch.nn.Module) -> None:
    """Raise CorruptResult where a file is not as `save_optimizer` writes it for this model."""
    try:
        found = _shapes(path)
    except CorruptResult as e:
        raise CorruptResult(f"{path}: not a readable optimizer state ({e.__cause__})") from e
    if not found:
        raise CorruptResult(f"{path}: holds no optimizer state; it was made with save_optimizer: false")
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    for key, shape in found.items():
        name = key.partition("/")[2]
        if name not in shapes or (shape and shape != shapes[name]):
            raise CorruptResult(f"{path}: {key} {list(shape)} is not of this model, which has another shape")


def _tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (name, tensor) of a safetensors file, one in memory at a time."""
    from safetensors import safe_open

    with safe_open(str(path), "pt") as f:
        for name in f.keys():  # noqa: SIM118 (not a dict)
            yield name, f.get_tensor(name)


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return {name: shape} of a safetensors file; CorruptResult where it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as f:
            return {name: tuple(f.get_slice(name).get_shape()) for name in f.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as e:
        raise CorruptResult(f"{path}: not readable ({e})") from e


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
    found = _shapes(path)
    wrong = next((n for n, shape in found.items() if tuple(expected.get(n, ())) != shape), None)
    if wrong is not None or not found:
        have = list(expected.get(wrong, ())) or "no such tensor"
        raise CorruptResult(f"{path}: {wrong} is {list(found.get(wrong, ()))}, the model has {have}")


def _fill(folder: Path, state: dict, run: Run, model: torch.nn.Module) -> None:
    """Put a checked checkpoint into `run` and `model`."""
    from safetensors.torch import load_file

    put(model, _tensors(folder / WEIGHTS))
    run.step, run.extra = state["step"], state["extra"]
    run.history = [tuple(row) for row in state["history"]]
    for name, value in state["cost"].items():
        setattr(run.cost, name, value)
    if (folder / BEST).exists():
        run.best = load_file(str(folder / BEST)) if parallel.first() else {}
