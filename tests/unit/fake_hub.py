"""A hub on loopback: repositories of models and data sets, each at one commit, and the ways in which a hub can disappoint."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c0ffee" * 6 + "0000"


@dataclass
class Repository:
    """A repository: its files at one commit, which `main` is."""

    name: str
    files: dict[str, bytes]
    commit: str = COMMIT
    data_set: bool = False

    @property
    def api(self) -> str:
        """Return the path below which the hub's interface answers for it."""
        return f"/api/{'datasets' if self.data_set else 'models'}/{self.name}"

    @property
    def resolve(self) -> str:
        """Return the path below which its files are."""
        return f"/{'datasets/' * self.data_set}{self.name}/resolve/{self.commit}/"

    def tree(self) -> list[dict]:
        """Return the repository's listing; weights are kept as large files are, with their SHA-256."""
        found = []
        for path, data in self.files.items():
            entry = {"type": "file", "path": path, "size": len(data)}
            entry["oid"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            if path.endswith((".safetensors", ".parquet")):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            found.append(entry)
        return found


def of_folder(name: str, folder: Path, **given) -> Repository:
    """Return the repository of a folder's files."""
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return Repository(name, files, **given)


@dataclass
class Hub:
    """What the server serves. spoil: {path: bytes sent in place of the real ones}; refuse: (status, the hub's error code)."""

    repositories: list[Repository]
    spoil: dict[str, bytes] = field(default_factory=dict)
    refuse: tuple[int, str] | None = None
    asked: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def files(self) -> dict[str, bytes]:
        """Return the files of the first repository."""
        return self.repositories[0].files


@contextlib.contextmanager
def running(*repositories: Repository) -> Iterator[Hub]:
    """Serve repositories while the context lasts."""
    hub = Hub(list(repositories))

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def answer(self, body: bytes, headers: dict[str, str], status: int = 200, sent: bytes | None = None) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body if sent is None else sent)

        def do_GET(self):
            hub.asked.append(f"{self.command} {self.path}")
            path = self.path.partition("?")[0]
            if hub.refuse:
                return self.answer(b"{}", {"X-Error-Code": hub.refuse[1]}, hub.refuse[0])
            for there in hub.repositories:
                if path in (f"{there.api}/revision/{r}" for r in ("main", there.commit)):
                    known = {"id": there.name, "sha": there.commit, "siblings": [], "tags": [], "private": False}
                    return self.answer(json.dumps(known).encode(), {"Content-Type": "application/json"})
                if path == f"{there.api}/tree/{there.commit}":
                    return self.answer(json.dumps(there.tree()).encode(), {"Content-Type": "application/json"})
                file = path.removeprefix(there.resolve)
                if file in there.files:
                    tag = next(e.get("lfs", e)["oid"] for e in there.tree() if e["path"] == file)
                    headers = {"ETag": f'"{tag}"', "X-Repo-Commit": there.commit}
                    return self.answer(there.files[file], headers, sent=hub.spoil.get(file))
            known = any(f"/{there.name}/" in path for there in hub.repositories)
            return self.answer(b"{}", {"X-Error-Code": "RevisionNotFound" if known else "RepoNotFound"}, 404)

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
