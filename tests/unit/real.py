"""Where the whole published files are, for tests that read them; those are skipped where ELENCHUS_REALDATA is unset."""

import os
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures"
REAL = Path(os.environ.get("ELENCHUS_REALDATA", ""))
needs_real = pytest.mark.skipif(
    "ELENCHUS_REALDATA" not in os.environ, reason="ELENCHUS_REALDATA names no folder with the published files"
)
