"""A model hub on loopback: one repository at one commit, and the ways in which a hub can disappoint."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c0ffee" * 6 + "0000"


class Hub:
    """What the server serves. files: {path: bytes}; spoil: {path: bytes sent in place of the real ones}."""

    def __init__(self, name: str, files: dict[str, bytes]):
        self.name, self.files = name, files
        self.spoil: dict[str, bytes] = {}
        self.refuse: tuple[int, str] | None = None  # (status, the hub's error code)
        self.asked: list[str] = []
        self.url = ""

    def tree(self) -> list[dict]:
        """Return the repository's listing; weights are kept as large files are, with their SHA-256."""
        found = []
        for path, data in self.files.items():
            entry = {"type": "file", "path": path, "size": len(data)}
            entry["oid"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            if path.endswith(".safetensors"):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            found.append(entry)
        return found


@contextlib.contextmanager
def running(name: str, folder: Path) -> Iterator[Hub]:
    """Serve the files of `folder` as the repository `name` while the context lasts."""
    hub = Hub(name, {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()})

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
            if path in (f"/api/models/{name}/revision/{r}" for r in ("main", COMMIT)):
                known = {"id": name, "modelId": name, "sha": COMMIT, "siblings": [], "tags": [], "private": False}
                return self.answer(json.dumps(known).encode(), {"Content-Type": "application/json"})
            if path == f"/api/models/{name}/tree/{COMMIT}":
                return self.answer(json.dumps(hub.tree()).encode(), {"Content-Type": "application/json"})
            file = path.rpartition(f"/{name}/resolve/{COMMIT}/")[2]
            if file in hub.files:
                tag = next(e.get("lfs", e)["oid"] for e in hub.tree() if e["path"] == file)
                headers = {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}
                return self.answer(hub.files[file], headers, sent=hub.spoil.get(file))
            code = "RevisionNotFound" if f"/{name}/" in path else "RepoNotFound"
            return self.answer(b"{}", {"X-Error-Code": code}, 404)

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
