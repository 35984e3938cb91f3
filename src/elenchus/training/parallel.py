"""Several processes that train one model: what each must know of the others, and what they exchange.

A process that nobody else works with (`world() == 1`) gets its own values back, unchanged and without torch.distributed.
Functions marked *collective* have to be called by all processes in the same order.
"""

from __future__ import annotations

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
# Process groups live as long as the process, which ends by os._exit. Where the last reference to one goes, Python, with its
# lock held, waits for gloo's thread, and that may be waiting for the lock, to let go of a barrier's tensor.
_kept: list = []


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
    keep(dist.group.WORLD)
    dist.barrier()
    dist.destroy_process_group()
    if others:
        raise SystemExit(0)


def keep(group: torch.distributed.ProcessGroup) -> None:
    """Keep a process group alive until the process ends."""
    _kept.append(group)


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


def own_share(pieces: int) -> Iterator[int]:
    """Yield the pieces, of `pieces`, that are this process's: every n-th of n processes.

    All get equally many, where it does not come out even the last piece again: what is done with them may be collective.
    """
    for at in range(0, pieces, world()):
        yield min(at + rank(), pieces - 1)


def shared(pieces: int, make: Callable[[int], Any]) -> list:
    """Return [make(0), .., make(pieces - 1)], each made by one process and had by all. *Collective.*"""
    own, n = [make(piece) for piece in own_share(pieces)], world()
    if n == 1:
        return own
    import torch.distributed as dist

    found: list = [None] * n
    dist.all_gather_object(found, own)
    return [found[piece % n][piece // n] for piece in range(pieces)]


def spread() -> bool:
    """Return whether each process holds a part of the model only (`elenchus.training.sharding`)."""
    return _chosen["strategy"] == "fsdp" and world() > 1


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
