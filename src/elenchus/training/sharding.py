"""Weights spread over processes: FSDP2, torch's `fully_shard`. Where the strategy is another, all of this does nothing.

The first process reads the weights; the others build the model without and get their parts from it, tensor by tensor, so
that a node's memory holds one model, whatever the number of its processes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from elenchus import models
from elenchus.training import parallel

if TYPE_CHECKING:
    import torch


def load(folder: Path):
    """Return (model, tokenizer) of a folder as `models.load`; without weights where `shard` will bring them."""
    if not parallel.spread() or parallel.first():
        return models.load(folder)
    from transformers import AutoModelForCausalLM

    return empty(folder, AutoModelForCausalLM), models.load_tokenizer(folder)


def empty(folder: Path, auto_class) -> torch.nn.Module:
    """Return the model of a folder with parameters and buffers that take no memory; auto_class: transformers'."""
    import torch
    from transformers import AutoConfig, GenerationConfig

    local = {"local_files_only": True, "trust_remote_code": False}
    with torch.device("meta"):
        model = auto_class.from_config(AutoConfig.from_pretrained(folder, **local), dtype=torch.float32)
    if model.can_generate() and (folder / "generation_config.json").exists():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model.eval()


def transformer(model: torch.nn.Module) -> torch.nn.Module:
    """Return the transformers model that `model` is or holds."""
    from transformers import PreTrainedModel

    return next(m for m in model.modules() if isinstance(m, PreTrainedModel))


def shard(model: torch.nn.Module) -> Callable[[], None]:
    """Spread `model` over the processes where the strategy is fsdp; return what makes it plain again. *Both collective.*

    Each decoder layer is gathered when it computes and freed again. Trainer is told that the model looks after itself, as it
    is of models that transformers shards when it loads them: accelerate's own wrapping knows no CPUs. The weights are the
    first process's. Afterwards it has all of them, on the CPU; what the others have is not to be used.
    """
    if not parallel.spread():
        return lambda: None
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from transformers.distributed import DistributedConfig

    plain = _without_weights(model)
    weights = model.state_dict() if parallel.first() else {}
    buffers = [b.clone() for b in model.buffers()] if parallel.first() else []
    inner = transformer(model)
    mesh = init_device_mesh(parallel.device().type, (parallel.world(),))
    parallel.keep(mesh.get_group())
    units = set(inner._no_split_modules or ())
    for module in inner.modules():
        if type(module).__name__ in units:
            fully_shard(module, mesh=mesh)
    fully_shard(inner, mesh=mesh)
    _bring(model, weights, buffers)
    inner.config.distributed_config = DistributedConfig(fsdp_size=parallel.world(), dp_replicate_size=1)
    inner._is_distributed_loading_by_transformers = inner._is_fsdp_managed_module = True
    if inner is not model:
        model.is_distributed_loading_by_transformers = True
    return lambda: _make_plain(model, plain)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor that may be spread over the processes, whole, on the CPU. *Collective where it is spread.*"""
    return (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).detach().cpu()


def like(value: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Return a whole tensor on the device of `place`, spread as that is. *Collective where it is spread.*"""
    if not hasattr(place, "full_tensor"):
        return value.to(place.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(place.device), place.device_mesh, place.placements)


@contextmanager
def gathered(model: torch.nn.Module) -> Iterator[None]:
    """Let every process have all weights of the causal LM `model` inside, to compute by itself. *Collective.*"""
    if not parallel.spread():
        yield
        return
    import torch

    inner, parts = transformer(model), _parts(model)
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
    with torch.no_grad():  # a pass gathers all that it needs, and now leaves it
        inner(input_ids=torch.zeros(1, 1, dtype=torch.long, device=parallel.device()), use_cache=False)
    try:
        yield
    finally:
        release(model)
        for part in parts:
            part.set_reshard_after_forward(part is not inner, recurse=False)  # torch's own default


def release(model: torch.nn.Module) -> None:
    """Let go of weights that a pass has gathered and no backward pass has freed: the model's parameters are its parts again."""
    for part in _parts(model):
        part.reshard()


def _parts(model: torch.nn.Module) -> list:
    """Return the modules that gather and free their weights by themselves."""
    if not parallel.spread():
        return []
    from torch.distributed.fsdp import FSDPModule

    return [m for m in model.modules() if isinstance(m, FSDPModule)]


def _bring(model: torch.nn.Module, weights: dict[str, torch.Tensor], buffers: list[torch.Tensor]) -> None:
    """Give each process its parts of the first one's weights, and its buffers. *Collective.*"""
    import torch.distributed as dist
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    if parallel.first():
        model.to(parallel.device())  # all on one device, as where it is received
    else:
        model.to_empty(device=parallel.device())
        transformer(model).tie_weights()
    given = iter(buffers)
    for buffer in model.buffers():
        if parallel.first():
            buffer.copy_(next(given))
        dist.broadcast(buffer, 0)
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(model, weights, options=options)


def _without_weights(model: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of `model` whose parameters take no memory."""
    import torch

    bare = {
        id(p): torch.nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=p.requires_grad)
        for p in model.parameters()
    }
    return copy.deepcopy(model, bare)


def _make_plain(model: torch.nn.Module, plain: torch.nn.Module) -> None:
    """Turn a spread model, in the first process, into the one that `plain` was, with the weights as they are now."""
    import torch

    found = {}
    for name, p in model.named_parameters():
        tensor = whole(p)
        if parallel.first():
            found[name] = tensor
    if not parallel.first():
        return
    made = {
        id(p): torch.nn.Parameter(found[name], requires_grad=p.requires_grad) for name, p in plain.named_parameters()
    }
    for module in plain.modules():
        for name, p in module._parameters.items():
            if p is not None:
                module._parameters[name] = made[id(p)]
    for live, bare in zip(list(model.modules()), list(plain.modules()), strict=True):
        live.__class__ = bare.__class__
        live.__dict__ = bare.__dict__
