"""Where vLLM's environment is, and what tests do without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from elenchus.engines.settings import Machine

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
MACHINE = Machine(python=str(PYTHON), cache_gb=0.25)


def require_vllm() -> None:
    """Skip the test where vLLM's environment is not there."""
    if not (ROOT / ".venv-vllm" / "ready").exists():
        pytest.skip("no .venv-vllm: `make vllm` makes it, `make test-vllm` does both")
