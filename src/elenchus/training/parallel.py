"""Several processes that train one model: what each must know of the others, and what they exchange.

A process that nobody else works with (`world() == 1`) gets its own values back, unchanged and without torch.distributed.
Functions marked *collective* have to be called by all processes in the same order.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from elenchus.errors import UserError

if TYPE_CHECKING:
    import torch

    from elenchus.job import Cost
    from elenchus.training.settings import Training

_chosen = {"strategy": "none"}


def start(strategy: str) -> None:
    """Join the other processes, which the launcher's environment names. strategy: ddp or fsdp."""
    import os

    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    _chosen["strategy"] = strategy


def finish() -> None:
    """Part: the first process goes on alone, the others end here (SystemExit). *Collective.*"""
    if world() == 1:
        return
    import torch.distributed as dist

    others = not first()
    dist.barrier()
    dist.destroy_process_group()
    if others:
        raise SystemExit(0)


def world() -> int:
    """Return how many processes train together."""
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return which of them this one is, from 0."""
    import torch.distributed as dist

    return dist.get_rank() if world() > 1 else 0


def first() -> bool:
    """Return whether this is the process that writes."""
    return rank() == 0


def device() -> torch.device:
    """Return the device that this process trains on."""
    import torch

    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def total(values: Sequence[float]) -> list[float]:
    """Return the sums over all processes; whole numbers stay whole. *Collective.*"""
    if world() == 1:
        return list(values)
    import torch.distributed as dist

    found: list = [None] * world()
    dist.all_gather_object(found, list(values))
    return [sum(column) for column in zip(*found, strict=True)]


def mean(values: dict[str, float]) -> dict[str, float]:
    """Return the means over all processes. *Collective.*"""
    return dict(zip(values, (v / world() for v in total(list(values.values()))))) if world() > 1 else values


def from_first(find: Callable[[], Any]) -> Any:
    """Return what `find` returns in the first process, the only one that calls it; a UserError is everyone's. *Collective.*"""
    if world() == 1:
        return find()
    import torch.distributed as dist

    told: list = [None, None]
    if first():
        try:
            told[0] = find()
        except UserError as e:
            told[1] = e
    dist.broadcast_object_list(told)
    if told[1] is not None:
        raise told[1]
    return told[0]


def shared(pieces: int, make: Callable[[int], Any]) -> list:
    """Return [make(0), .., make(pieces - 1)], each made by one process and had by all. *Collective.*

    Every process calls `make` equally often, one without a piece the last one again: the weights may be spread.
    """
    n = world()
    if n == 1:
        return [make(piece) for piece in range(pieces)]
    import torch.distributed as dist

    own = [make(min(at + rank(), pieces - 1)) for at in range(0, pieces, n)]
    found: list = [None] * n
    dist.all_gather_object(found, own)
    return [found[piece % n][piece // n] for piece in range(pieces)]


@contextmanager
def counted(cost: Cost) -> Iterator[None]:
    """Let what each process adds to `cost` inside count for all of them. *Collective.*"""
    before = asdict(cost)
    yield
    if world() > 1:
        added = total([getattr(cost, name) - value for name, value in before.items()])
        for (name, value), own in zip(before.items(), added, strict=True):
            setattr(cost, name, value + own)


def share(units: int, settings: Training) -> float:
    """Return the weight of this process's mean over `units` tokens or labels, so that the mean of all is one mean.

    Where micro_batch is 0 a pass holds the whole batch, and a loss that is a mean over things of which examples have unlike
    many is one mean over it: each process's part of the pass then weighs as many things as it holds. *Collective.*
    """
    if world() == 1 or settings.micro_batch:
        return 1.0
    return units * world() / total([units])[0]


def passes(settings: Training) -> tuple[int, int]:
    """Return (examples in one forward-backward pass of one process, passes in one optimizer step).

    Their product with the processes is the batch, whatever their number; UserError where it does not come out even.
    """
    n = world()
    micro = settings.micro_batch or settings.batch // n
    if not micro or settings.batch % (micro * n):
        raise UserError(uneven(settings.batch, settings.micro_batch, n))
    return micro, settings.batch // (micro * n)


def uneven(batch: int, micro_batch: int, processes: int) -> str:
    """Return the message about processes that do not divide a batch."""
    part = f"micro_batch {micro_batch} x {processes} processes" if micro_batch else f"{processes} processes"
    fits = [n for n in range(1, processes + 1) if batch % (n * max(micro_batch, 1)) == 0]
    return (
        f"batch {batch} is not a multiple of {part}: every process takes as many examples of every step. In params.yaml, "
        f"another batch or micro_batch, or for example\n  training: {{processes: {fits[-1]}}}"
    )


# -- weights spread over processes (FSDP2: torch's fully_shard) --------------------------------------------------------


def transformer(model: torch.nn.Module) -> torch.nn.Module:
    """Return the transformers model that `model` is or holds."""
    from transformers import PreTrainedModel

    return next(m for m in model.modules() if isinstance(m, PreTrainedModel))


def shard(model: torch.nn.Module) -> Callable[[], None]:
    """Spread `model` over the processes where the strategy is fsdp; return what makes it plain again. *Both collective.*

    Each decoder layer is gathered when it computes and freed again. Trainer is told that the model looks after itself, as it
    is of models that transformers shards when it loads them: accelerate's own wrapping knows no CPUs. Afterwards the first
    process has all weights, on the CPU; what the others have is not to be used.
    """
    if not spread():
        return lambda: None
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from transformers.distributed import DistributedConfig

    empty = _without_weights(model)
    inner = transformer(model)
    mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (world(),))
    units = set(inner._no_split_modules or ())
    for module in inner.modules():
        if type(module).__name__ in units:
            fully_shard(module, mesh=mesh)
    fully_shard(inner, mesh=mesh)
    inner.config.distributed_config = DistributedConfig(fsdp_size=world(), dp_replicate_size=1)
    inner._is_distributed_loading_by_transformers = inner._is_fsdp_managed_module = True
    if inner is not model:
        model.is_distributed_loading_by_transformers = True
    return lambda: _make_plain(model, empty)


def spread() -> bool:
    """Return whether each process holds a part of the model only."""
    return _chosen["strategy"] == "fsdp" and world() > 1


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor that may be spread over the processes, whole, on the CPU. *Collective where it is spread.*"""
    return (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).detach().cpu()


def like(value: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Return a whole tensor on the device of `place`, spread as that is. *Collective where it is spread.*"""
    if not hasattr(place, "full_tensor"):
        return value.to(place.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(place.device), place.device_mesh, place.placements)


def _without_weights(model: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of `model` whose parameters take no memory."""
    import torch

    empty = {
        id(p): torch.nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=p.requires_grad)
        for p in model.parameters()
    }
    return copy.deepcopy(model, empty)


def _make_plain(model: torch.nn.Module, empty: torch.nn.Module) -> None:
    """Turn a spread model into the plain one that `empty` was before, with the weights as they are now."""
    import torch

    found = {name: whole(p) for name, p in model.named_parameters()}
    if not first():
        return
    made = {
        id(p): torch.nn.Parameter(found[name], requires_grad=p.requires_grad) for name, p in empty.named_parameters()
    }
    for module in empty.modules():
        for name, p in module._parameters.items():
            if p is not None:
                module._parameters[name] = made[id(p)]
    for live, plain in zip(list(model.modules()), list(empty.modules()), strict=True):
        live.__class__ = plain.__class__
        live.__dict__ = plain.__dict__
