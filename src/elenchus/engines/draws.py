"""Random draws that depend on a row and a position only, so that a sample does not change with its batch."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from elenchus import seeds
from elenchus.engines import Sampling

if TYPE_CHECKING:
    import torch

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def row_seeds(prompts: list[str], n: int, seed: int) -> list[list[int]]:
    """Return a 63-bit seed for each of the n samples of each prompt.

    A row's seed depends on (seed, prompt, how many equal prompts stand before it, sample). So neither the other prompts
    nor their order matter, and equal prompts still get different samples.
    """
    seen: Counter[str] = Counter()
    rows = []
    for prompt in prompts:
        rows.append([seeds.derive(seed, prompt, seen[prompt], j) for j in range(n)])
        seen[prompt] += 1
    return rows


def uniforms(row_seed: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Return float64 uniforms in [0, 1) with 32 bits: SplitMix64 of each row's seed (uint64) at `position`.

    Steele, Lea, Flood (2014), "Fast splittable pseudorandom number generators": state = seed + (position + 1) * GOLDEN.
    """
    z = row_seed + (position.astype(np.uint64) + np.uint64(1)) * GOLDEN  # wraps around, as it should
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(32)).astype(np.float64) / 2.0**32


def choose(logits_BV: torch.Tensor, uniform_B: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (tokens, their untempered log-probabilities) of one draw per row, by inverting the distribution's CDF.

    Filters act on the tempered distribution, top_k before top_p, as in transformers and vLLM. ValueError where the
    logits are not finite: a diverged model.
    """
    import torch

    logprobs_BV = logits_BV.log_softmax(-1)
    if sampling.temperature == 0:
        token_B = logits_BV.argmax(-1)
    else:
        tempered = logprobs_BV if sampling.temperature == 1 else (logits_BV / sampling.temperature).log_softmax(-1)
        weights_BV, index_BV = _filtered(tempered.exp(), sampling)
        # In float64 a uniform below 1 - 2**-32 never reaches the total, whatever the size of the vocabulary.
        cumulative_BV = weights_BV.double().cumsum(-1)
        place_B1 = torch.searchsorted(cumulative_BV, uniform_B[:, None] * cumulative_BV[:, -1:], right=True)
        place_B1.clamp_(max=logits_BV.shape[-1] - 1)  # reached by NaN only; the check below raises then
        token_B = (place_B1 if index_BV is None else index_BV.gather(1, place_B1))[:, 0]
    logprob_B = logprobs_BV.gather(1, token_B[:, None])[:, 0]
    if not torch.isfinite(logprob_B).all():
        raise ValueError("the model gives logits that are not finite: it has diverged, or its weights are damaged")
    return token_B, logprob_B


def _filtered(weights_BV: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the weights that top_k and top_p leave, sorted, with their tokens; all and None where both are off."""
    if not sampling.top_k and sampling.top_p >= 1:
        return weights_BV, None
    weights_BV, index_BV = weights_BV.sort(dim=-1, descending=True, stable=True)
    if sampling.top_k:
        weights_BV[:, sampling.top_k :] = 0
    if sampling.top_p < 1:
        before_BV = weights_BV.cumsum(-1) - weights_BV
        weights_BV = weights_BV.masked_fill(before_BV >= sampling.top_p * weights_BV.sum(-1, keepdim=True), 0)
    return weights_BV, index_BV
