"""What GPUs can do at most, from their makers' data sheets: what a plan divides by, and what a measurement is held against."""

from __future__ import annotations

from dataclasses import dataclass

from elenchus.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Card:
    """Peaks of a GPU. bf16: dense tensor-core FLOP/s (no sparsity), float32: FLOP/s outside tensor cores."""

    bf16: float
    float32: float
    bandwidth: float  # bytes of memory a second
    memory: float  # bytes
    source: str


HOPPER = "NVIDIA H100 / H200 data sheets; tensor-core values there are with sparsity, twice the dense ones"
AMPERE = "NVIDIA A100 data sheet"

# By the name that CUDA gives the device (torch.cuda.get_device_name).
CARDS: dict[str, Card] = {
    "NVIDIA H100 80GB HBM3": Card(989.4e12, 66.9e12, 3.35e12, 80e9, HOPPER),
    "NVIDIA H100 PCIe": Card(756e12, 51e12, 2.0e12, 80e9, HOPPER),
    "NVIDIA H200": Card(989.4e12, 66.9e12, 4.8e12, 141e9, HOPPER),
    "NVIDIA A100-SXM4-80GB": Card(312e12, 19.5e12, 2.039e12, 80e9, AMPERE),
    "NVIDIA A100-SXM4-40GB": Card(312e12, 19.5e12, 1.555e12, 40e9, AMPERE),
    "NVIDIA A100 80GB PCIe": Card(312e12, 19.5e12, 1.935e12, 80e9, AMPERE),
    "NVIDIA A40": Card(149.7e12, 37.4e12, 696e9, 48e9, "NVIDIA A40 data sheet"),
    "NVIDIA L40S": Card(362e12, 91.6e12, 864e9, 48e9, "NVIDIA L40S data sheet"),
    "NVIDIA L4": Card(121e12, 30.3e12, 300e9, 24e9, "NVIDIA L4 data sheet"),
    "NVIDIA GeForce RTX 4090": Card(165.2e12, 82.6e12, 1.008e12, 24e9, "NVIDIA Ada architecture white paper"),
}


def card(name: str) -> Card:
    """Return the card of a name; UserError with the nearest one where it is not in the table."""
    if name not in CARDS:
        raise UserError(f"unknown card {name!r}{did_you_mean(name, CARDS)}; cards: {', '.join(CARDS)}")
    return CARDS[name]
