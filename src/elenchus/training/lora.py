"""Low-rank adapters (LoRA, 2106.09685) through peft: put into a model before training, merged into its weights after it.

The model stays the same object with the same class, so that trainers treat it as any other; only its adapters are trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from elenchus import seeds
from elenchus.errors import UserError
from elenchus.training import sharding

if TYPE_CHECKING:
    import torch

    from elenchus.training.settings import Lora


def attach(model: torch.nn.Module, lora: Lora, seed: int) -> Callable[[], None]:
    """Put adapters into the transformer in `model`, all its other weights frozen; return what merges them into it.

    What is not of the transformer (a head) is trained whole. UserError where a target names no linear module.
    """
    import torch
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    inner = sharding.transformer(model)
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    _check(inner, targets)
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=targets, task_type=None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, "lora") % 2**63)
        tuner = LoraModel(inner, config, "default")

    def merge() -> None:
        tuner.merge_and_unload()
        for parameter in inner.parameters():
            parameter.requires_grad_(True)
        if hasattr(inner, "peft_config"):
            del inner.peft_config

    return merge


def _check(model: torch.nn.Module, targets: str | list[str]) -> None:
    """Raise UserError where one of the targets matches no linear module."""
    import torch

    if isinstance(targets, str):
        return
    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in linear):
            known = sorted({name.rpartition(".")[2] for name in linear})
            raise UserError(
                f"lora.targets: {target!r} matches no linear module of this model; it has {', '.join(known)}. For example\n"
                f"  lora: {{targets: [{', '.join(known[:2])}]}}"
            )
