"""MLflow as a view of the results: one experiment per recipe, one run per arm and seed. The files stay the truth.

Recording is idempotent. A run is known by its tag `spec`, the digest of what it measured and of its parameters. A finished
run whose numbers are those on disk is kept as it is; its times come from the stages' cost.json, so that even a repeated
write would add nothing. A run that was interrupted, or whose results were made anew with other numbers, is replaced.
Several may record the same runs on one server at once: each leaves alone what another is writing, and of runs that say the
same the first begun is kept.
The store is `mlflow.db` in the project's folder, or what MLFLOW_TRACKING_URI names.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from elenchus import findings, views
from elenchus.environment import quiet
from elenchus.errors import UserError
from elenchus.graph import RESULTS, digest_of
from elenchus.plan import Plan, RecipePlan
from elenchus.tracked import Run, runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

RIVALS = 5  # how often a write that another's refused is tried again; the next look finds what that made
LONGEST = 3600  # seconds: a recording that another began and did not end within them was interrupted


def ingest(plan: Plan, recipe: RecipePlan) -> dict:
    """Record a recipe's runs; return {"uri", "experiment", "runs": {arm/seed: spec}}.

    UserError where a result is missing, or where the tracking server does not answer.
    """
    made = runs(plan, recipe)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{plan.root / 'mlflow.db'}"
    quiet_mlflow()
    with one_at_a_time(plan.root), plain_errors(uri):
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        experiment = experiment_of(
            client, recipe, None if os.environ.get("MLFLOW_TRACKING_URI") else plan.root / "mlartifacts"
        )
        for run in made:
            record(client, experiment, run, artifacts(plan, recipe, run), recorder(plan.root))
    where = uri if os.environ.get("MLFLOW_TRACKING_URI") else "sqlite:///mlflow.db"
    return {"uri": where, "experiment": recipe.recipe.id, "runs": {f"{r.arm}/seed{r.seed}": r.spec for r in made}}


def quiet_mlflow() -> None:
    """Make MLflow silent and quick to give up; before it is imported. The user's own settings stand."""
    quiet()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextlib.contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Hold the tracking lock: two first uses of one SQLite file at once would both create its tables, and fail."""
    folder = root / RESULTS
    folder.mkdir(exist_ok=True)
    with (folder / ".tracking.lock").open("a") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def plain_errors(uri: str) -> Iterator[None]:
    """Turn what MLflow raises where a store is absent, refused or broken into one plain message."""
    try:
        yield
    except Exception as e:  # its clients raise their own, SQLAlchemy's and requests' errors alike
        if not re.match(r"(mlflow|sqlalchemy|requests|urllib3|alembic|sqlite3)\b", type(e).__module__):
            raise
        first = (str(e).strip().splitlines() or [type(e).__name__])[0]
        raise UserError(
            f"cannot record in MLflow at {uri}: {first[:300]}\n"
            "Results are safe. Start the server, or record in a local file instead, and run snakemake again:\n  unset MLFLOW_TRACKING_URI"
        ) from e


def experiment_of(client: MlflowClient, recipe: RecipePlan, artifacts_in: Path | None) -> str:
    """Return the id of the recipe's experiment, made (or brought back from deletion) where needed."""
    from mlflow.exceptions import MlflowException

    for _ in range(RIVALS):
        try:
            return settled_experiment(client, recipe, artifacts_in)
        except MlflowException as e:  # the store's own constraints, where another makes the same at this moment
            if e.error_code not in ("RESOURCE_ALREADY_EXISTS", "BAD_REQUEST"):
                raise
            time.sleep(1)
    return settled_experiment(client, recipe, artifacts_in)


def settled_experiment(client: MlflowClient, recipe: RecipePlan, artifacts_in: Path | None) -> str:
    """Return the id of the recipe's experiment; what is missing of it is made. A rival's write may refuse one of these."""
    name = recipe.recipe.id
    found = client.get_experiment_by_name(name)
    if found is None:
        where = artifacts_in.resolve().as_uri() + f"/{name}" if artifacts_in else None
        identifier = client.create_experiment(name, artifact_location=where)
    else:
        identifier = found.experiment_id
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(identifier)
    note = f"{recipe.recipe.title}\n\n{recipe.recipe.summary}"
    if found is None or found.tags.get("mlflow.note.content") != note:
        client.set_experiment_tag(identifier, "mlflow.note.content", note)
    return identifier


def record(client: MlflowClient, experiment: str, run: Run, files: dict[str, str], mine: str) -> str:
    """Bring one run into the store; return its id. Nothing is written where the store already holds it.

    mine: who records (`recorder`).
    """
    files_digest = digest_of(files)
    whole = first_whole(client, experiment, run, mine)
    if whole is not None:
        identifier, tags = whole.info.run_id, whole.data.tags
    else:
        identifier, tags = create(client, experiment, run, mine), run.tags
    for key, value in run.tags.items():
        if tags.get(key, "") != value:
            client.set_tag(identifier, key, value)
    if tags.get("artifacts") != files_digest:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                Path(folder, name).write_text(text)
            client.log_artifacts(identifier, folder)
        client.set_tag(identifier, "artifacts", files_digest)
    if whole is None:
        client.set_terminated(identifier, "FINISHED", run.end)  # last: a run that is not FINISHED was interrupted
        kept = first_whole(client, experiment, run, mine)  # another may have written the same meanwhile
        identifier = kept.info.run_id if kept is not None else identifier
    return identifier


def recorder(root: Path) -> str:
    """Return who records here: one project on one machine, which never records twice at once (`one_at_a_time`)."""
    return digest_of([socket.gethostname(), str(root.resolve())])


def first_whole(client: MlflowClient, experiment: str, run: Run, mine: str) -> MlflowRun | None:
    """Return the run in the store that is `run`, None where there is none; delete its doubles and interrupted ones.

    What another recorder began within LONGEST seconds and has not finished is left to it. Of several that are whole the
    first begun stays: whoever finishes last sees them all, and chooses as everybody does.
    """
    found = client.search_runs([experiment], f"tags.spec = '{run.spec}'", max_results=1000)
    whole = [r for r in found if r.info.status == "FINISHED" and r.data.tags.get("content") == run.content]
    whole.sort(key=lambda r: (int(r.data.tags.get("recording", 0)), r.info.run_id))
    for r in found:
        begun = int(r.data.tags.get("recording", 0)) / 1000
        underway = r.info.status == "RUNNING" and r.data.tags.get("recorder") != mine and time.time() - begun < LONGEST
        if r not in whole[:1] and not underway:
            client.delete_run(r.info.run_id)
    return whole[0] if whole else None


def create(client: MlflowClient, experiment: str, run: Run, mine: str) -> str:
    """Create a run with its parameters and metrics, still running; return its id."""
    from mlflow.entities import Metric, Param

    now = str(int(1000 * time.time()))
    tags = {"spec": run.spec, "content": run.content, "recorder": mine, "recording": now, **run.tags}
    identifier = client.create_run(experiment, start_time=run.start, tags=tags).info.run_id
    metrics = [Metric(*m) for m in [*run.metrics, *((k, v, run.end, 0) for k, v in run.spent.items())]]
    params = [Param(k, v) for k, v in run.params.items()]
    for i in range(0, len(params), 100):  # the store's limits for one request
        client.log_batch(identifier, params=params[i : i + 100])
    for i in range(0, len(metrics), 1000):
        client.log_batch(identifier, metrics=metrics[i : i + 1000])
    return identifier


def artifacts(plan: Plan, recipe: RecipePlan, run: Run) -> dict[str, str]:
    """Return {file: text} of a run: its measurements, its stages, the recipe's comparisons, its learning curves."""
    from elenchus.graph import canonical
    from elenchus.report import curves

    measured = findings.measurements(plan, recipe)
    own = [m for m in measured if m["arm"] == run.arm and m["seed"] == run.seed]
    stages = [s.spec() for s in findings.arm_stages(recipe, run.arm, run.seed)]
    return {
        "metrics.csv": views.as_csv(own),
        "comparisons.json": canonical(findings.comparisons(plan, recipe)) + "\n",
        "comparisons.md": "\n".join(f"- {s}" for s in findings.sentences(plan, recipe)) + "\n",
        "stages.json": canonical(stages) + "\n",
        **curves.standalone(measured, run.arm),
    }
