"""What the tests of training share: the small model, made once a session."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """Return the folder of a model that has begun to write critiques; tests leave it as it is."""
    import trainings

    return trainings.make(tmp_path_factory.mktemp("made") / "model")
