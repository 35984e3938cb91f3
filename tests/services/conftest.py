"""What the tests of services share. `make test-services` installs what they need; else they say so and are skipped."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
MEND = "make test-services installs it: requirements/s3.txt, requirements/services.txt"


@pytest.fixture
def s3(monkeypatch):
    """An S3 store with the bucket `lab`; the environment is its user's."""
    import servers

    for module in ("moto", "boto3", "s3fs", "dvc_s3"):
        pytest.importorskip(module, reason=MEND)
    store = servers.S3()
    for name, value in store.variables().items():
        monkeypatch.setenv(name, value)
    yield store
    store.stop()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """A running PostgreSQL, in a folder that its own user may enter."""
    import servers

    pytest.importorskip("psycopg2", reason=MEND)
    import tempfile

    with tempfile.TemporaryDirectory(prefix="elenchus-postgres-") as folder:
        Path(folder).chmod(0o755)
        made = servers.Postgres(Path(folder) / "cluster")
        made.create()
        made.start()
        yield made
        made.running.kill(servers.signal.SIGQUIT)


@pytest.fixture(scope="module")
def mlflow(postgres, tmp_path_factory):
    """An MLflow server on that PostgreSQL."""
    import servers

    made = servers.Mlflow(tmp_path_factory.mktemp("mlflow"), postgres.uri)
    made.start()
    yield made
    made.running.kill()
