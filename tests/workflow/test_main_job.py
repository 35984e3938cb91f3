"""The main job through real Snakemake, small: it ends, it is filed, nothing runs twice, faults leave no trace."""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

from conftest import TINY, environment, new_project, result_bytes, run


def jobs(output: str) -> dict[str, int]:
    """Return {rule: jobs} of a dry run's table."""
    found = re.findall(r"^(\w+) +(\d+)$", output, flags=re.M)
    return {rule: int(n) for rule, n in found if rule not in ("total", "all")}


def test_the_main_job_ends_and_is_filed_for_people(finished):
    folder, output = finished
    assert "results/by-recipe/elenchus" in output, "the end of the run says where to look"
    links = [p for p in (folder / "results/by-recipe/elenchus").rglob("*") if p.is_symlink()]
    assert len(links) > 40 and all(p.exists() for p in links)
    metrics = json.loads((folder / "results/metrics/elenchus.json").read_text())
    assert {"critic", "b_star", "online_rft"} <= set(metrics)
    for name in ("critiques", "pairs", "revisions", "trees"):
        assert {p.suffix for p in (folder / "data" / name).iterdir()} >= {".parquet", ".md"}
    assert (folder / "mlflow.db").exists()


def test_a_second_run_has_nothing_to_do(finished):
    done = run(finished[0], "snakemake")
    assert done.returncode == 0 and "Nothing to be done" in done.stdout


def test_changing_one_value_reruns_what_it_reaches(project):
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("steps: 3\n    dev: 6", "steps: 4\n    dev: 6"))
    planned = jobs(run(project, "snakemake", "-n").stdout)
    # both arms: round 1 keeps its pool, its scores and selection; round 2 samples anew from another policy
    assert planned["sft"] == 4 and planned["select"] == 2 and planned["balance"] == 1
    assert not {"seed_model", "problems", "search", "grpo", "dpo", "critique", "refine", "aggregate"} & set(planned)


def test_changing_the_report_alone_changes_no_stage(project):
    recipe = project / "workflow/recipes/elenchus.py"
    recipe.write_text(recipe.read_text().replace("each imperfectly.", "each in its own imperfect way.", 1))
    assert set(jobs(run(project, "snakemake", "-n").stdout)) == {
        "overlap_elenchus",
        "report_elenchus",
        "tracking_elenchus",
        "view_elenchus",
        "elenchus",
    } - {"elenchus"}


def test_two_recipes_share_what_they_have_in_common(project):
    text = (project / "workflow/recipes/elenchus.py").read_text().replace("def elenchus(", "def twin(")
    (project / "workflow/recipes/twin.py").write_text(text)
    (project / "params.yaml").write_text(TINY + TINY[TINY.index("elenchus:\n") :].replace("elenchus:\n", "twin:\n"))
    planned = jobs(run(project, "snakemake", "-n", "twin").stdout)
    assert set(planned) == {"overlap_twin", "report_twin", "tracking_twin", "view_twin", "twin"}


def test_wrong_parameters_are_refused_before_any_job(project):
    (project / "params.yaml").write_text(TINY.replace("learning_rate", "x").replace("warmup: {steps", "warmup: {stpes"))
    done = run(project, "snakemake")
    assert (
        done.returncode == 1
        and "'elenchus.critics.warmup.stpes'" in done.stdout
        and "did you mean 'steps'" in done.stdout
    )
    assert "Traceback" not in done.stdout


def test_a_second_snakemake_says_that_one_runs(project):
    with (project / "results/.lock").open("w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        f.write('{"process": 4242, "user": "alice", "host": "login2"}')
        f.flush()
        done = run(project, "snakemake")
    assert "another snakemake (process 4242 of alice on login2)" in done.stdout and "ask alice" in done.stdout
    assert done.returncode != 0 and "Traceback" not in done.stdout


def test_a_damaged_result_is_named_and_only_it_is_made_anew(project):
    pairs = next((project / "results/pairs").glob("*/pairs.parquet"))
    whole = pairs.read_bytes()
    before = result_bytes(project)
    pairs.write_bytes(whole[: len(whole) // 2])
    trained = next((project / "results/dpo").iterdir())
    shutil.rmtree(trained)
    for stamp in (project / "results/view/elenchus").iterdir():
        stamp.unlink()
    done = run(project, "snakemake")
    assert (
        done.returncode != 0
        and "damaged result" in done.stdout
        and f"rm -r results/pairs/{pairs.parent.name}" in done.stdout
    )
    assert "Traceback" not in done.stdout
    shutil.rmtree(pairs.parent)
    assert run(project, "snakemake").returncode == 0
    assert result_bytes(project) == before and pairs.read_bytes() == whole


def test_a_half_written_result_is_made_anew(project):
    before = result_bytes(project)
    folder = next((project / "results/evaluate").iterdir())
    (folder / "stage.json").unlink()
    (folder / "metrics.parquet").write_bytes(b"PAR1")
    for stamp in (project / "results/view/elenchus").iterdir():
        stamp.unlink()
    done = run(project, "snakemake")
    assert done.returncode == 0 and "half-written" in done.stdout
    assert result_bytes(project) == before


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(finished, tmp_path):
    """SIGKILL and SIGTERM to everything at random moments: in training, sampling, search, writing."""
    people = finished[0] / "results/by-recipe/elenchus"
    wanted = ("shared/seed0/process-head", "critic/seed0/grpo-stage-one", "b_star/seed0/round1/policy")
    targets = [f"{(people / w).resolve().relative_to(finished[0].resolve())}/stage.json" for w in wanted]
    folder = new_project(tmp_path / "killed")
    draw = random.Random(7)
    kills = 0
    for attempt in range(40):
        with (tmp_path / f"log{attempt}").open("w") as log:
            process = subprocess.Popen(
                ["snakemake", *targets],
                cwd=folder,
                env=environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                process.wait(timeout=draw.uniform(8, 20) + 2 * attempt)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL if attempt % 2 else signal.SIGTERM)
                try:
                    process.wait(timeout=30)
                except subprocess.TimeoutExpired:  # a SIGTERM in the midst of its scheduling deadlocks Snakemake 9.27
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                time.sleep(0.5)
                kills += 1
                continue
        if process.returncode == 0:
            break
    assert process.returncode == 0, (tmp_path / f"log{attempt}").read_text()[-4000:]
    assert kills >= 3
    made, whole = result_bytes(folder), result_bytes(finished[0])
    assert len(made) > 12 and made == {stage: whole[stage] for stage in made}
    assert not list((folder / "results/.work").rglob("checkpoint*")), "finished stages leave no checkpoints behind"
