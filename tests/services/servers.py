"""Servers that tests start and stop: PostgreSQL, MLflow on it, an S3 store that knows users and keys. All on loopback."""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def wait_for(what: str, seconds: float, ready) -> None:
    """Wait until `ready()` is true; fail naming `what`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(Exception):
            if ready():
                return
        time.sleep(0.3)
    pytest.fail(f"{what} was not ready in {seconds} s")


class Program:
    """A server's process and all that it starts."""

    def __init__(self, command: list[str], log: Path, **options):
        with log.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True, **options)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the process and all that it started, as a machine's end would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, how)
        self.process.wait(timeout=30)


# -- PostgreSQL and MLflow ---------------------------------------------------------------------------------------------


@dataclass
class Postgres:
    """A PostgreSQL of the test's own. It refuses to run as root: there it runs as the user postgres."""

    folder: Path
    port: int = field(default_factory=free_port)
    running: Program | None = None

    @property
    def uri(self) -> str:
        """Return the address of its database, as SQLAlchemy has it."""
        return f"postgresql+psycopg2://mlflow@127.0.0.1:{self.port}/postgres"

    def command(self, name: str, *arguments: str) -> list[str]:
        """Return the command line of one of its programs."""
        places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        found = str(places[-1]) if places else shutil.which(name)
        if found is None:
            pytest.skip("PostgreSQL is not installed: apt-get install -y postgresql")
        before = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        return [*before, found, *arguments]

    def create(self) -> None:
        """Make an empty database cluster whose only user is `mlflow`, let in without a password from loopback."""
        self.folder.mkdir(parents=True)
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        data = ["-D", str(self.folder / "data"), "-U", "mlflow", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(self.command("initdb", *data), check=True, capture_output=True, cwd="/")

    def start(self) -> None:
        """Start it and wait until it answers."""
        where = ["-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder), "-h", "127.0.0.1"]
        self.running = Program(self.command("postgres", *where), self.folder.with_suffix(".log"), cwd="/")
        wait_for("PostgreSQL", 60, lambda: self.rows("select 1") == [(1,)])

    def rows(self, query: str) -> list[tuple]:
        """Return what a query answers."""
        import psycopg2

        link = psycopg2.connect(host="127.0.0.1", port=self.port, user="mlflow", dbname="postgres", connect_timeout=5)
        with contextlib.closing(link), link.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()


@dataclass
class Mlflow:
    """`mlflow server` on a database, artifacts in a folder."""

    folder: Path
    store: str
    port: int = field(default_factory=free_port)
    running: Program | None = None

    @property
    def uri(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, two workers, and wait until its store answers."""
        import httpx2

        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.store, "--workers", "2"]
        command += ["--artifacts-destination", str(self.folder / "artifacts"), "--host", "127.0.0.1"]
        env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
        env.pop("MLFLOW_TRACKING_URI", None)
        log = self.folder / "server.log"
        self.running = Program([*command, "--port", str(self.port)], log, env=env, cwd=self.folder)
        search = f"{self.uri}/api/2.0/mlflow/experiments/search"
        wait_for("MLflow", 180, lambda: httpx2.post(search, json={"max_results": 1}, timeout=5).status_code == 200)


# -- S3 ----------------------------------------------------------------------------------------------------------------


class S3:
    """An S3 store (moto) with one bucket `lab` and one user, whose key every request has to bear."""

    def __init__(self):
        import boto3
        import httpx2
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self.server.start()
        self.url = f"http://127.0.0.1:{self.server.get_host_and_port()[1]}"
        self._guard("inf")  # the store's state is its process's: as another test left it
        httpx2.post(f"{self.url}/moto-api/reset").raise_for_status()
        anyone = {"endpoint_url": self.url, "aws_access_key_id": "a", "aws_secret_access_key": "b"}
        iam = boto3.client("iam", region_name="us-east-1", **anyone)
        boto3.client("s3", region_name="us-east-1", **anyone).create_bucket(Bucket="lab")
        iam.create_user(UserName="ada")
        policy = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
        iam.put_user_policy(UserName="ada", PolicyName="all", PolicyDocument=policy)
        self.key = iam.create_access_key(UserName="ada")["AccessKey"]
        self._guard("0")
        mine = {"aws_access_key_id": self.key["AccessKeyId"], "aws_secret_access_key": self.key["SecretAccessKey"]}
        self.objects = boto3.client("s3", region_name="us-east-1", endpoint_url=self.url, **mine)
        self._iam = boto3.client("iam", region_name="us-east-1", endpoint_url=self.url, **mine)

    def _guard(self, free: str) -> None:
        """Let only so many more requests in without a look at their keys."""
        import httpx2

        httpx2.post(f"{self.url}/moto-api/reset-auth", content=free).raise_for_status()

    def variables(self) -> dict[str, str]:
        """Return the variables with which a shell is this user."""
        key = {"AWS_ACCESS_KEY_ID": self.key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": self.key["SecretAccessKey"]}
        return {
            **key,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def revoke(self) -> None:
        """Take the user's key away."""
        self._iam.delete_access_key(UserName="ada", AccessKeyId=self.key["AccessKeyId"])

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of all objects."""
        pages = self.objects.get_paginator("list_objects_v2").paginate(Bucket="lab", Prefix=prefix)
        return [o["Key"] for page in pages for o in page.get("Contents", [])]

    def change(self, name: str, into) -> None:
        """Put into(bytes) in an object's place."""
        data = self.objects.get_object(Bucket="lab", Key=name)["Body"].read()
        self.objects.put_object(Bucket="lab", Key=name, Body=into(data))

    def stop(self) -> None:
        """Stop answering."""
        if self.server is not None:
            self.server.stop()
            self.server = None
