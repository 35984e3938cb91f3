"""`elenchus fetch` against a hub on loopback: what it brings and pins, what it refuses, and that jobs need nothing more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fake_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fake_hub import COMMIT
from test_pretrained import model_folder

from elenchus import benchmarks, doctor, pinning, plan, run_stage
from elenchus.errors import UserError

NAME = "acme/tiny"
ROOT = Path(__file__).parents[2]
GSM8K = benchmarks.load("gsm8k").CARD.revision
RECIPE = '''
from elenchus.config import RecipeParams
from elenchus.recipes import recipe


class Params(RecipeParams):
    """No knobs."""


@recipe(title="Tiny", arxiv="", arms=("only",))
def tiny(lab, p):
    """Problems solved once."""
    test = lab.problems("test")
    with lab.arm("only"):
        lab.measure(lab.evaluate("policy", test, solutions=lab.sample(lab.seed_model(), test)))
'''
PARAMS = """\
seeds: [0]
recipes: [tiny]   # a comment
base_model: {name: acme/tiny}  # the paper's

bench:
  model:
    - acme/tiny
  benchmarks: [gsm8k]
"""
AT_COMMIT = ("fetch", "--model", NAME, "--revision", COMMIT)


@pytest.fixture
def hub(tmp_path):
    """A hub with one model; beside its weights lie pickled ones and a folder of the owners' own format."""
    folder = model_folder(tmp_path / "repository")
    (folder / "original").mkdir()
    (folder / "original" / "params.json").write_text("{}")
    questions = [{"question": f"{n} + {n}?", "answer": f"Twice {n}.\n#### {2 * n}"} for n in range(3)]
    for split in ("train", "test"):
        (tmp_path / "gsm8k" / "main").mkdir(parents=True, exist_ok=True)
        at = tmp_path / "gsm8k" / "main" / f"{split}-00000-of-00001.parquet"
        pq.write_table(pa.Table.from_pylist([{**q, "question": f"{split}: {q['question']}"} for q in questions]), at)
    (tmp_path / "gsm8k" / "README.md").write_text("not wanted")
    gsm8k = fake_hub.of_folder("openai/gsm8k", tmp_path / "gsm8k", data_set=True, commit=GSM8K)
    unpinned = fake_hub.Repository("llm-agents/CriticBench", {"test.jsonl": b"{}"}, data_set=True)
    with fake_hub.running(fake_hub.of_folder(NAME, folder), gsm8k, unpinned) as started:
        yield started


@pytest.fixture
def project(tmp_path) -> Path:
    """A project with a recipe that starts from the hub's model, and a bench that measures the model on the hub's data."""
    folder = tmp_path / "project"
    (folder / "workflow" / "recipes").mkdir(parents=True)
    (folder / "workflow" / "recipes" / "tiny.py").write_text(RECIPE)
    (folder / "params.yaml").write_text(PARAMS)
    return folder


@pytest.fixture
def elenchus(hub, tmp_path):
    """Return a function that runs the command line with this hub and a cache of the test's own."""

    def run(*command: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess:
        mine = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        mine["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        outside = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        outside["PYTHONPATH"] = f"{ROOT / 'src'}:{os.environ.get('PYTHONPATH', '')}"
        done = subprocess.run(
            [sys.executable, "-m", "elenchus", *command],
            env={**outside, **mine, **variables},
            cwd=cwd,
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
    assert f"elenchus fetch --model {NAME} --pin" in done.stdout, "`main` can move: the command that pins it"
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


def test_one_command_fetches_models_and_data_and_pins(hub, elenchus, project):
    before = (project / "params.yaml").read_text()
    done = elenchus("fetch", cwd=project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"{NAME} at {COMMIT}: fetched") == 1, "tiny's and bench's are one"
    assert "gsm8k test: 3 items of the official 1319" in done.stdout
    taken = {a.rpartition("/")[2] for a in hub.asked if GSM8K in a and "/resolve/" in a}
    assert taken == {"train-00000-of-00001.parquet", "test-00000-of-00001.parquet"}
    assert (project / "params.yaml").read_text() == before, "nothing is written unasked"

    done = elenchus("fetch", "--pin", cwd=project)
    assert done.returncode == 0 and "gsm8k: here" in done.stdout, done.stderr
    after = (project / "params.yaml").read_text()
    assert after.splitlines() == [
        "seeds: [0]",
        "recipes: [tiny]   # a comment",
        f"base_model: {{name: acme/tiny, revision: {COMMIT}}}  # the paper's",
        "",
        "bench:",
        "  model:",
        f"    - acme/tiny@{COMMIT}",
        "  benchmarks: [gsm8k]",
    ]
    asked = len(hub.asked)
    done = elenchus("fetch", cwd=project)
    assert done.returncode == 0 and len(hub.asked) == asked and "pin" not in done.stdout, "twice asks nothing"
    done = elenchus("list", cwd=project)
    assert done.returncode == 0, done.stderr  # bench is planned offline, from what was fetched


def test_what_cannot_be_had_stops_nothing_else(hub, elenchus, project):
    text = (project / "params.yaml").read_text()
    asked = "[gsm8k, criticbench, math]"
    (project / "params.yaml").write_text(text.replace("    - acme/tiny", "    - acme/none").replace("[gsm8k]", asked))
    done = elenchus("fetch", "tiny", "bench", cwd=project)
    assert (
        done.returncode == 1 and "gsm8k test: 3 items" in done.stdout and f"{NAME} at {COMMIT}: fetched" in done.stdout
    )
    assert "acme/none at 'main'" in done.stderr and "no such model" in done.stderr
    assert f"elenchus data get criticbench --revision {COMMIT}" in done.stderr, "its main is looked up, and not taken"
    assert "math: not on the hub under its own name" in done.stderr


def test_a_data_set_alone_comes_at_its_cards_commit(hub, elenchus, project):
    done = elenchus("data", "get", "gsm8k", "--split", "test", cwd=project)
    assert done.returncode == 0 and "gsm8k test: 3 items" in done.stdout and "train" not in done.stdout, done.stderr
    assert len(list((project / "results" / "benchmarks" / "gsm8k").glob("*/*/manifest.json"))) == 1
    done = elenchus("data", "get", "gsm8k", "--revision", "main", cwd=project)
    assert done.returncode == 1 and "revision 'main' is not pinned" in done.stderr


def test_the_cluster_takes_no_model_that_can_move(hub, elenchus, project, tmp_path, monkeypatch):
    assert elenchus("fetch", "tiny", cwd=project).returncode == 0
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    for scale, level in (("laptop", "note"), ("cluster", "wrong")):
        whole = plan.load(project, {"scale": scale}, bench=False)
        stage = next(s for s in whole.recipe("tiny").stages if s.kind == "pretrained")
        found = [f for f in doctor.models([stage], whole.config.scale) if f.level != "fine"]
        assert [(f.level, f.mend) for f in found] == [(level, f"elenchus fetch --model {NAME} --pin")]
        if scale == "cluster":
            with pytest.raises(
                UserError, match=rf"Pin the commit that is here \({COMMIT}\).*\n  elenchus fetch .* --pin"
            ):
                run_stage.run(whole.job(stage.digest), tmp_path / scale)
    assert elenchus("fetch", "--model", NAME, "--pin", cwd=project).returncode == 0
    whole = plan.load(project, {"scale": "cluster"}, bench=False)
    stage = next(s for s in whole.recipe("tiny").stages if s.kind == "pretrained")
    assert [f.level for f in doctor.models([stage], "cluster")] == ["fine"]
    assert (run_stage.run(whole.job(stage.digest), tmp_path / "cluster") / "model" / "config.json").is_file()


@pytest.mark.parametrize(
    ("written", "then"),
    [
        ("base_model: {name: a/b}  # why\n", "base_model: {name: a/b, revision: COMMIT}  # why\n"),
        ("base_model: {revision: main, name: a/b}\n", "base_model: {revision: COMMIT, name: a/b}\n"),
        (
            "x:\n  base_model:\n    name: a/b  # why\ny: 1",
            "x:\n  base_model:\n    name: a/b  # why\n    revision: COMMIT\ny: 1",
        ),
        ("base_model:\n  name: 'a/b'", "base_model:\n  name: 'a/b'\n  revision: COMMIT"),
        ("bench: {model: a/b}\n", "bench: {model: a/b@COMMIT}\n"),
        ("bench: {model: [c/d, a/b@main]}\n", "bench: {model: [c/d, a/b@COMMIT]}\n"),
        ("m: &m {name: a/b}\nbase_model: *m\nx: {base_model: *m}\n", None),  # one place, two keys
        ("base_model: {name: a/b, revision: v1}\n", ""),
        ("base_model: {name: a/c}\nother: {name: a/b}\n", ""),
    ],
)
@pytest.mark.parametrize("commit", [COMMIT, "1" * 30 + "e" + "2" * 9])
def test_a_pin_changes_nothing_else(tmp_path, written, then, commit):
    file = tmp_path / "params.yaml"
    file.write_text(written)
    keys = pinning.pin(file, "a/b", "main", commit)
    if then == "":
        assert keys == [] and file.read_text() == written
        return
    data = yaml.safe_load(file.read_text())
    assert keys and commit in str(data) and list(tmp_path.iterdir()) == [file]
    if then is not None and commit == COMMIT:
        assert file.read_text() == then.replace("COMMIT", commit)
