"""What the doctor asks services beyond this machine: DVC remotes, and the MLflow server. Each answers within seconds, or not.

A DVC remote is asked for every object that dvc.lock and data/*.dvc name, and its bytes are read: `dvc pull` trusts a remote
unless it is told not to. Nothing is written or removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from elenchus.doctor import Finding

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc_data.hashfile.db import HashFileDB

PATIENCE = 20  # seconds for one service, its client's import included
MOST_BYTES = 16 * 2**20  # of a remote that are read; published data is far below that


def examine(root: Path) -> Iterator[Finding]:
    """Yield the findings about the DVC remotes of a project and about its MLflow server."""
    yield from dvc_remotes(root)
    yield from mlflow_server()


# -- DVC ---------------------------------------------------------------------------------------------------------------


def dvc_remotes(root: Path) -> Iterator[Finding]:
    """Yield what each configured DVC remote answers."""
    if not (root / ".dvc").is_dir():
        yield Finding("note", "DVC: none in this folder; published data is not versioned", mend="dvc init")
        return
    from dvc.config import Config, ConfigError

    where = ".dvc/config"
    try:
        config = Config(dvc_dir=str(root / ".dvc"))
    except ConfigError as e:
        yield Finding("wrong", "DVC's configuration cannot be read", where, str(e).splitlines()[0], "dvc config --list")
        return
    if not config["remote"]:
        mend = "dvc remote add -d store s3://<bucket>/<folder>"
        yield Finding("note", "DVC has no remote: published data is on this machine only", where, mend=mend)
    for name, told in config["remote"].items():
        at = f"{where}: remote.{name}"
        yield ask_remote(root, name, f"DVC remote {name!r} ({told['url']})", at)
        if not told.get("verify"):
            what = f"dvc pull takes what the remote {name!r} holds without a look at its bytes"
            yield Finding("note", what, at, "verify is not set", f"dvc remote modify {name} verify true")


def ask_remote(root: Path, name: str, what: str, at: str) -> Finding:
    """Return what one remote answers, asked in a process of its own: its clients wait for minutes."""
    probe = f"from elenchus.doctor_services import answer; answer({str(root)!r}, {name!r})"
    command = [sys.executable, "-c", probe]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=PATIENCE, check=False)
        told = json.loads(done.stdout.strip().rpartition("\n")[2])
    except subprocess.TimeoutExpired:
        mend = "look at the url and the network; elsewhere go on without it: what is here stays"
        return Finding("wrong", f"{what} did not answer in {PATIENCE} s", at, "nothing", mend)
    except ValueError:
        told = {"error": (done.stderr.strip().splitlines() or ["nothing"])[-1], "kind": ""}
    if "error" in told:
        return Finding("wrong", f"{what} cannot be used", at, told["error"][:300], remote_mend(name, told))
    if told["damaged"]:
        held = ", ".join(told["damaged"][:3]) + (f" and {len(told['damaged']) - 3} more" * (len(told["damaged"]) > 3))
        mend = f"remove the objects there, then from a clone whose data is whole: dvc push -r {name}"
        return Finding("wrong", f"{what} holds damaged files", at, held, mend)
    if told["missing"]:
        mend = f"dvc push -r {name}, from the clone that made them"
        return Finding("note", f"{what} lacks {len(told['missing'])} files of dvc.lock", at, told["missing"][0], mend)
    unread = f", {told['unread']} too large to be read here" * bool(told["unread"])
    return Finding("fine", f"{what} answers; {told['whole']} files as dvc.lock names them{unread}")


def remote_mend(name: str, told: dict) -> str:
    """Return the line that mends what a remote's client raised."""
    said = told["error"].lower()
    if "no module named" in said or "missing dependencies" in said:
        return "pip install --no-deps --require-hashes -r requirements/s3.txt"
    if any(word in said for word in ("forbidden", "denied", "access key", "signature", "token", "expired", "403")):
        return "renew the key: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or aws configure"
    if "credentials" in said:
        return "export AWS_ACCESS_KEY_ID=<key> AWS_SECRET_ACCESS_KEY=<secret>, or aws configure"
    if any(word in said for word in ("no such file", "does not exist", "nosuchbucket", "not found", "404")):
        return f"make the folder or bucket, or correct it: dvc remote modify {name} url <url>"
    return f"look at the network, or correct the address: dvc remote modify {name} url <url>"


def answer(root: str, name: str) -> None:
    """Print, as JSON, what a remote holds of the project's data (`look`), or {"error", "kind"}."""
    try:
        from dvc.repo import Repo

        with Repo(root) as repo:
            told = look(repo, name)
    except Exception as e:  # every storage's client raises its own
        cause = e.__cause__ or e
        told = {"error": " ".join(str(cause).split()) or type(cause).__name__, "kind": type(e).__name__}
    print(json.dumps(told))


def look(repo: Repo, name: str) -> dict:
    """Return what a remote holds of dvc.lock's and *.dvc files' data: {"whole", "unread": counts, "missing", "damaged": paths}."""
    remote = repo.cloud.get_remote_odb(name)
    reach(remote)
    found: dict = {"whole": 0, "unread": 0, "missing": [], "damaged": []}
    left = MOST_BYTES
    for out in repo.index.outs:
        if not out.use_cache or not out.hash_info or out.hash_info.name != "md5":
            continue
        for path, oid in objects(remote, str(out), out.hash_info.value):
            how, read = state(remote, oid, left)
            left -= read
            if how in ("whole", "unread"):
                found[how] += 1
            elif how == "missing":
                found["missing"].append(path)
            else:
                found["damaged"].append(f"{path}: {how} (object {oid})")
    return found


def reach(remote: HashFileDB) -> None:
    """List a remote's folder: raises where the storage or its bucket is not there; before the first push it is empty."""
    try:
        remote.fs.ls(remote.path)
    except FileNotFoundError as e:
        if "bucket" in str(e).lower():
            raise


def objects(remote: HashFileDB, path: str, oid: str) -> Iterator[tuple[str, str]]:
    """Yield (path, object) of an output: its listing first where it is a folder, then what that lists."""
    yield path, oid
    if not oid.endswith(".dir"):
        return
    try:
        listed = json.loads(remote.fs.cat_file(remote.oid_to_path(oid)))
    except (FileNotFoundError, ValueError):
        return  # told of as missing or damaged above
    for entry in listed:
        yield f"{path}/{entry['relpath']}", entry["md5"]


def state(remote: HashFileDB, oid: str, most: int) -> tuple[str, int]:
    """Return ("whole", "missing", "unread" (too large) or what is wrong with an object, bytes read)."""
    path = remote.oid_to_path(oid)
    try:
        size = remote.fs.info(path)["size"]
    except FileNotFoundError:
        return "missing", 0
    if size > most:
        return "unread", 0
    data = remote.fs.cat_file(path)
    right = hashlib.md5(data).hexdigest() == oid.removesuffix(".dir")
    return ("whole" if right else f"{size} bytes that are not those of its name"), len(data)


# -- MLflow ------------------------------------------------------------------------------------------------------------


def mlflow_server() -> Iterator[Finding]:
    """Yield whether the MLflow server that MLFLOW_TRACKING_URI names answers and lets this user in."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")):
        yield Finding("fine", f"MLflow: {uri or 'a file of this project, mlflow.db'}; no server")
        return
    import httpx2

    where, without = "MLFLOW_TRACKING_URI", "or record in a local file: unset MLFLOW_TRACKING_URI"
    what = f"the MLflow server {uri}"
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    given = {"auth": (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))} if user else {}
    given["headers"] = {"Authorization": f"Bearer {token}"} if token and not user else {}
    try:  # a request to its store: /health answers also where the database is gone
        asked = uri.rstrip("/") + "/api/2.0/mlflow/experiments/search"
        got = httpx2.post(asked, json={"max_results": 1}, timeout=PATIENCE / 2, **given)
    except (httpx2.HTTPError, httpx2.InvalidURL) as e:
        told = str(e) or type(e).__name__
        yield Finding("wrong", f"{what} does not answer", where, told, f"start it, {without}")
        return
    if got.status_code in (401, 403):
        mend = f"export MLFLOW_TRACKING_USERNAME=<name> MLFLOW_TRACKING_PASSWORD=<password>, {without}"
        yield Finding("wrong", f"{what} does not let you in", where, f"status {got.status_code}", mend)
    elif got.status_code != 200 or "json" not in got.headers.get("content-type", ""):
        told = f"status {got.status_code}: {' '.join(got.text.split())[:200]}"
        mend = f"look at the server's log and its database, {without}"
        yield Finding("wrong", f"{what} answers, and not as MLflow with its store does", where, told, mend)
    else:
        yield Finding("fine", f"{what} answers, and its store")
