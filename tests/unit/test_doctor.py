"""The doctor over fake Slurm commands: what it finds, where, and the line that mends it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from elenchus import config as configuration
from elenchus import doctor, doctor_slurm, resources
from elenchus.cli import main
from elenchus.errors import UserError

ROOT = Path(__file__).parents[2]
SINFO = "cpu|2-00:00:00|256000|(null)|up\ngpu|1-00:00:00|512000|gpu:a100:4|up"
CLUSTER = {
    "sbatch": "exit 0",
    "sinfo": f"echo '{SINFO}'",
    "sacctmgr": "echo physics",
    "scontrol": "echo 'MinJobAge = 300 sec'; echo 'PreemptMode = OFF'",
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return a function that runs the doctor where Slurm's commands, the profile's block and the model cache are fake."""
    bin_folder, project = tmp_path / "bin", tmp_path / "project"
    bin_folder.mkdir()
    (project / "workflow" / "profiles").mkdir(parents=True)
    (project / "workflow" / "recipes").symlink_to(ROOT / "workflow" / "recipes")
    (project / "workflow" / "report").symlink_to(ROOT / "workflow" / "report")
    monkeypatch.setenv("PATH", f"{bin_folder}:/usr/bin:/bin")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub" / "hub"))
    monkeypatch.chdir(project)
    block = {"slurm_partition": "cpu", "slurm_account": "physics", "gpu_partition": "gpu", "gpu_type": "a100"}

    def run(*args: str, commands: dict[str, str] = CLUSTER, scale: str = "laptop", **changed: str):
        for name, body in commands.items():
            (bin_folder / name).write_text(f"#!/bin/bash\n{body}\n")
            (bin_folder / name).chmod(0o755)
        if commands is not CLUSTER and "sbatch" not in commands:
            monkeypatch.setattr(doctor_slurm, "present", lambda: False)
        text = (ROOT / "params.yaml").read_text().replace("scale: laptop", f"scale: {scale}", 1)
        (project / "params.yaml").write_text(text)
        lines = "".join(f'  {k}: "{v}"\n' for k, v in {**block, **changed}.items())
        (project / "workflow" / "profiles" / "slurm").mkdir(exist_ok=True)
        (project / "workflow" / "profiles" / "slurm" / "profile.yaml").write_text(f"default-resources:\n{lines}")
        done = CliRunner().invoke(main, ["doctor", "--json", *args])
        assert done.exit_code in (0, 1), done.output
        found = json.loads(done.output)
        return done.exit_code, [f for f in found if f["level"] == "wrong"], found

    return run


def snapshot(folder: Path, name: str, commit: str, model_type: str = "llama") -> None:
    """Put a model's snapshot into the hub cache below `folder`."""
    repo = folder / "hub" / ("models--" + name.replace("/", "--"))
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    made = repo / "snapshots" / commit
    made.mkdir(parents=True)
    (made / "config.json").write_text(json.dumps({"model_type": model_type}))
    (made / "model.safetensors").write_bytes(b"")


def test_a_cluster_where_all_is_well(site):
    code, wrong, found = site()
    assert (code, wrong) == (0, [])
    told = " ".join(f["what"] for f in found)
    assert "controller answers" in told and "partition 'cpu'" in told and "account 'physics' is yours" in told


def test_a_laptop_needs_no_slurm(site):
    code, wrong, found = site(commands={})
    assert (code, wrong) == (0, [])
    assert any(f["level"] == "note" and "a laptop needs none" in f["what"] for f in found)
    code, wrong, _ = site("--job", commands={})
    assert code == 1 and "--job needs it" in wrong[0]["what"]


def test_a_partition_that_does_not_exist(site):
    code, wrong, _ = site(slurm_partition="cpus")
    assert code == 1 and len(wrong) == 1
    assert "no partition 'cpus'; did you mean 'cpu'?" in wrong[0]["what"]
    assert wrong[0]["where"].endswith("profile.yaml: default-resources.slurm_partition")
    assert (wrong[0]["found"], wrong[0]["mend"]) == ("cpu, gpu", 'slurm_partition: "cpu"')


def test_an_account_that_is_not_the_users(site):
    code, wrong, _ = site(slurm_account="physic")
    assert code == 1 and wrong[0]["mend"] == 'slurm_account: "physics"'
    without = {**CLUSTER, "sacctmgr": "echo 'no accounting plugin' >&2; exit 1"}
    assert site(slurm_account="physic", commands=without)[0] == 0, "no database: any word does"


def test_a_controller_that_is_down(site):
    down = {**CLUSTER, "sinfo": "echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1"}
    code, wrong, _ = site(commands=down)
    assert code == 1 and len(wrong) == 1
    assert "controller does not answer" in wrong[0]["what"] and "Unable to contact" in wrong[0]["found"]
    assert "scontrol ping" in wrong[0]["mend"]


def test_models_and_gpus_that_the_cluster_scale_needs(site, tmp_path):
    code, wrong, _ = site("critique_rl", scale="cluster", gpu_type="h100")
    assert code == 1
    by_what = {f["what"]: f for f in wrong}
    commit = configuration.read_yaml(ROOT / "params.yaml")["cluster"]["critique_rl"]["base_model"]["revision"]
    model = by_what[f"the model Qwen/Qwen2.5-3B at {commit} is not on this machine, or not whole"]
    assert str(tmp_path / "hub") in model["found"]
    assert model["mend"] == f"elenchus fetch --model Qwen/Qwen2.5-3B --revision {commit}"
    assert by_what["Slurm's partition has no GPU of type 'h100'"]["mend"] == 'gpu_type: "a100"'
    snapshot(tmp_path / "hub", "Qwen/Qwen2.5-3B", commit)
    code, wrong, found = site("critique_rl", scale="cluster")
    assert (code, wrong) == (0, []), "the snapshot is there, and the partition has a100"
    assert any(f["mend"] == "elenchus doctor --job" for f in found), "a login node has no GPU: a job would see it"


@pytest.mark.parametrize("kind", ["internlm2", "qwen2_vl"])
def test_a_model_that_transformers_has_no_causal_model_of(site, tmp_path, kind):
    pinned = configuration.read_yaml(ROOT / "params.yaml")["cluster"]["multicritique"]["base_model"]
    snapshot(tmp_path / "hub", pinned["name"], pinned["revision"], model_type=kind)
    code, (wrong,), _ = site("multicritique", scale="cluster")
    assert code == 1 and f"model_type '{kind}'" in wrong["what"] and "code from the hub is never run" in wrong["what"]


def test_a_model_that_can_move(site, tmp_path, monkeypatch):
    pinned = configuration.read_yaml(ROOT / "params.yaml")["cluster"]["multicritique"]["base_model"]
    read = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda *a, **k: read(*a, **k).replace(f", revision: {pinned['revision']}", "")
    )
    snapshot(tmp_path / "hub", pinned["name"], "0" * 40)
    code, (wrong,), _ = site("multicritique", scale="cluster")
    assert code == 1 and wrong["mend"] == f"elenchus fetch --model {pinned['name']} --pin"
    assert wrong["what"] == f"the revision 'main' of {pinned['name']} can come to mean another model"


def test_a_partition_too_small_for_the_stages(site):
    small = {**CLUSTER, "sinfo": "echo 'cpu|30:00|3500|(null)|up'"}
    code, wrong, _ = site(commands=small)
    assert code == 1
    mends = {f["mend"] for f in wrong}
    assert "snakemake --profile slurm --set-resources seed_model:mem_mb=3500" in mends
    assert any(m.endswith(":runtime=30") for m in mends)


def test_no_gpu_where_one_is_asked_for(site):
    code, wrong, _ = site("--gpu", commands={})
    import torch

    if not torch.cuda.is_available():
        assert code == 1 and "no GPU for torch on this machine" in wrong[0]["what"] and wrong[0]["mend"]
    else:
        assert code == 0


def test_no_gpu_in_the_partition(site):
    bare = {**CLUSTER, "sinfo": "echo 'cpu|infinite|256000|(null)|up'"}
    code, wrong, _ = site("--gpu", commands=bare, gpu_partition="cpu", gpu_type="none")
    assert code == 1 and any("GPU partition has no GPU" in f["what"] for f in wrong)


def test_a_compute_node_that_sees_the_files_and_one_that_does_not(site, monkeypatch):
    run = 'while [[ "$1" == -* || "$p" == -[pAt] ]]; do p=$1; shift; done; exec "$@"'
    code, wrong, found = site("--job", commands={**CLUSTER, "srun": run})
    assert (code, wrong) == (0, [])
    assert any("sees the results folder" in f["what"] for f in found)
    blind = {**CLUSTER, "srun": "rm -f results/.doctor-*; " + run}
    code, wrong, _ = site("--job", commands=blind)
    assert code == 1 and "does not see the results folder" in wrong[0]["what"]
    broken = {**CLUSTER, "srun": "echo 'srun: error: Unable to allocate resources: Invalid account' >&2; exit 1"}
    code, wrong, _ = site("--job", commands=broken)
    assert code == 1 and "Invalid account" in wrong[0]["found"]
    assert not list((Path.cwd() / "results").glob(".doctor-*")), "it leaves nothing behind"


def test_results_that_cannot_be_written_and_packages_of_other_versions(site, monkeypatch):
    Path("results").write_text("")
    code, wrong, _ = site()
    assert code == 1 and "results cannot be written" in wrong[0]["what"]
    os.remove("results")
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "0.1" if name == "trl" else "999")
    trl = next(f for f in doctor.packages() if f.what.startswith("trl "))
    assert trl.level == "wrong" and "0.1, allowed: <1.17,>=1.16" in trl.found


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("30:00", 30), ("2:00:00", 120), ("1-00:00:00", 1440), ("2-12", 3600), ("5", 5), ("infinite", float("inf"))],
)
def test_time_limits_as_slurm_writes_them(text, minutes):
    assert doctor_slurm.limit_minutes(text) == minutes


def test_the_shipped_profile_names_its_four_values_and_one_without_says_which(tmp_path):
    assert set(resources.SITE) < set(doctor_slurm.read_profile(ROOT))
    (tmp_path / doctor.PROFILE).parent.mkdir(parents=True)
    (tmp_path / doctor.PROFILE).write_text("default-resources: {slurm_partition: main}")
    with pytest.raises(UserError, match="lacks slurm_account, gpu_partition, gpu_type"):
        doctor_slurm.read_profile(tmp_path)
