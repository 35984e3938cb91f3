"""`elenchus fetch` against a hub on loopback: what it brings, what it refuses, and that jobs need nothing more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fake_hub
import pytest
from fake_hub import COMMIT
from test_pretrained import model_folder

NAME = "acme/tiny"
ROOT = Path(__file__).parents[2]
AT_COMMIT = ("fetch", "--model", NAME, "--revision", COMMIT)


@pytest.fixture
def hub(tmp_path):
    """A hub with one model; beside its weights lie pickled ones and a folder of the owners' own format."""
    folder = model_folder(tmp_path / "repository")
    (folder / "original").mkdir()
    (folder / "original" / "params.json").write_text("{}")
    with fake_hub.running(NAME, folder) as started:
        yield started


@pytest.fixture
def elenchus(hub, tmp_path):
    """Return a function that runs the command line with this hub and a cache of the test's own."""

    def run(*command: str, **variables: str) -> subprocess.CompletedProcess:
        mine = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        mine["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        outside = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        outside["PYTHONPATH"] = f"{ROOT / 'src'}:{os.environ.get('PYTHONPATH', '')}"
        done = subprocess.run(
            [sys.executable, "-m", "elenchus", *command],
            env={**outside, **mine, **variables},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def test_a_snapshot_is_fetched_once_and_a_stage_takes_it_offline(hub, elenchus, tmp_path):
    done = elenchus("fetch", "--model", NAME)
    assert done.returncode == 0, done.stderr
    assert f"base_model: {{name: {NAME}, revision: {COMMIT}}}" in done.stdout, "`main` can move: the line that pins it"
    taken = {a.rpartition("/")[2] for a in hub.asked if "/resolve/" in a}
    assert "model.safetensors" in taken and not taken & {"optimizer.bin", "params.json"}

    before = len(hub.asked)
    done = elenchus(*AT_COMMIT)
    assert done.returncode == 0 and "here" in done.stdout and len(hub.asked) == before, "twice asks nothing"

    take = (
        "from elenchus import run_stage; from elenchus.graph import make; from pathlib import Path;"
        f"s = make('pretrained', {{'name': {NAME!r}, 'revision': 'main'}}, seed=None);"
        f"print(run_stage.run(s.spec(), Path({str(tmp_path / 'results')!r})))"
    )
    env = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url, "PYTHONPATH": str(ROOT / "src")}
    made = subprocess.run([sys.executable, "-c", take], env=env, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert len(hub.asked) == before, "a stage asks the hub nothing"
    weights = Path(made.stdout.strip()) / "model" / "model.safetensors"
    assert weights.read_bytes() == hub.files["model.safetensors"]


def test_bytes_that_are_not_the_hubs_are_refused_and_removed(hub, elenchus, tmp_path):
    good = hub.files["model.safetensors"]
    hub.spoil["model.safetensors"] = good[:-1] + bytes([good[-1] ^ 1])
    done = elenchus(*AT_COMMIT)
    assert done.returncode == 1 and "model.safetensors arrived with other bytes than the hub names" in done.stderr
    assert not list((tmp_path / "home").rglob("model.safetensors")), "no half model stays"
    hub.spoil.clear()
    assert elenchus(*AT_COMMIT).returncode == 0


def test_a_file_cut_short_is_refused(hub, elenchus, tmp_path):
    hub.spoil["model.safetensors"] = hub.files["model.safetensors"][:100]
    done = elenchus(*AT_COMMIT)
    assert done.returncode == 1 and done.stderr.startswith(f"elenchus: {NAME} at"), done.stderr
    assert "received 100 bytes, expected" in done.stderr
    assert not list((tmp_path / "home").rglob("model.safetensors"))


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        ((403, "GatedRepo"), "hf auth login"),
        ((404, "RepoNotFound"), "no such model"),
        ((404, "RevisionNotFound"), "no such revision"),
        ((418, ""), "could not be fetched"),
    ],
)
def test_a_hub_that_refuses_is_one_plain_message(hub, elenchus, refusal, says):
    hub.refuse = refusal
    done = elenchus(*AT_COMMIT)
    assert done.returncode == 1 and says in done.stderr and len(done.stderr.strip().splitlines()) <= 3, done.stderr


def test_no_network_is_one_plain_message(elenchus):
    done = elenchus(*AT_COMMIT, HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 1 and "could not be fetched from http://127.0.0.1:9" in done.stderr
    done = elenchus(*AT_COMMIT, HF_HUB_OFFLINE="1")
    assert done.returncode == 1 and "unset HF_HUB_OFFLINE" in done.stderr


def test_a_recipe_that_needs_no_model_fetches_nothing(hub, elenchus):
    done = elenchus("fetch", "elenchus")
    assert done.returncode == 0 and "nothing to fetch" in done.stdout and not hub.asked
