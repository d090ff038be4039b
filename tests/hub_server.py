"""A Hugging Face Hub for tests: the parts of its API that sharing needs, over real HTTP, with everything in memory.

Made after what the package huggingface_hub asks for: repositories, commits with small files inline and large ones by Git LFS,
lists of files, and files by revision.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_test"
LARGE = (".safetensors", ".mp4", ".parquet")  # go by Git LFS


class Hub:
    """What is on it.

    Attributes:
        repos: `(kind, name)`, such as `("models", "me/world")` -> path -> content.
        blobs: content of large files by their SHA-256.
        private: names of repositories that are for their owner alone.
        requests: every request, as "METHOD path".
        address: such as "http://127.0.0.1:1234".
    """

    def __init__(self, address: str) -> None:
        self.repos: dict[tuple[str, str], dict[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.private: set[str] = set()
        self.requests: list[str] = []
        self.address = address

    def revision(self, repo: dict[str, bytes]) -> str:
        """A commit's hash, which changes with the content."""
        return hashlib.sha1(repr(sorted(repo.items())).encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        if self.command in ("POST", "PUT") and "/lfs/" not in path and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.send(401, {"error": "Invalid username or password."})
        for pattern, method in ROUTES:
            if found := re.fullmatch(pattern, f"{self.command} {path}"):
                return method(self, body, *found.groups())
        return self.send(404, {"error": f"no such route: {self.command} {path}"})

    def send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def missing(self, name: str) -> None:
        self.send(404, {"error": f"Repository {name} not found"}, {"X-Error-Code": "RepoNotFound"})

    def validate(self, body: bytes) -> None:
        content = json.loads(body)["content"]
        errors = [] if content.startswith("---\n") else [{"message": "no head"}]
        self.send(400 if errors else 200, {"errors": errors, "warnings": []})

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        name, kind = f"{asked.get('organization') or 'me'}/{asked['name']}", f"{asked.get('type', 'model')}s"
        if (kind, name) in self.hub.repos:
            return self.send(409, {"error": "You already created this repo", "url": f"{self.hub.address}/{name}"})
        self.hub.repos[kind, name] = {}
        if asked.get("private") or asked.get("visibility") == "private":
            self.hub.private.add(name)
        prefix = "" if kind == "models" else f"{kind}/"
        return self.send(200, {"url": f"{self.hub.address}/{prefix}{name}", "name": name, "id": name})

    def preupload(self, body: bytes, kind: str, name: str) -> None:
        files = [
            {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(LARGE) else "regular", "shouldIgnore": False}
            for f in json.loads(body)["files"]
        ]
        self.send(200, {"files": files}) if (kind, name) in self.hub.repos else self.missing(name)

    def batch(self, body: bytes, name: str) -> None:
        objects = []
        for one in json.loads(body)["objects"]:
            upload = {"upload": {"href": f"{self.hub.address}/lfs/{one['oid']}"}}
            objects.append({**one, **({} if one["oid"] in self.hub.blobs else {"actions": upload})})
        self.send(200, {"transfer": "basic", "objects": objects})

    def store(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.blobs[oid] = body
        self.send(200, {})

    def commit(self, body: bytes, kind: str, name: str) -> None:
        repo = self.hub.repos[kind, name]
        for line in body.splitlines():
            one = json.loads(line)
            if one["key"] == "file":
                repo[one["value"]["path"]] = base64.b64decode(one["value"]["content"])
            elif one["key"] == "lfsFile":
                repo[one["value"]["path"]] = self.hub.blobs[one["value"]["oid"]]
        sha = self.hub.revision(repo)
        self.send(200, {"commitUrl": f"{self.hub.address}/{name}/commit/{sha}", "commitOid": sha, "success": True})

    def info(self, body: bytes, kind: str, name: str) -> None:
        if (repo := self.hub.repos.get((kind, name))) is None:
            return self.missing(name)
        about = {"id": name, "sha": self.hub.revision(repo), "private": False, "tags": [], "downloads": 0, "likes": 0}
        return self.send(200, {**about, "siblings": [{"rfilename": path} for path in sorted(repo)]})

    def tree(self, body: bytes, kind: str, name: str) -> None:
        if (repo := self.hub.repos.get((kind, name))) is None:
            return self.missing(name)
        files = [
            {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for path, content in sorted(repo.items())
        ]
        return self.send(200, files)

    def file(self, body: bytes, prefix: str, name: str, path: str) -> None:
        repo = self.hub.repos.get((prefix.rstrip("/") or "models", name))
        if repo is None or path not in repo:
            return self.missing(name) if repo is None else self.send(404, {}, {"X-Error-Code": "EntryNotFound"})
        tag = hashlib.sha256(repo[path]).hexdigest()
        return self.send(200, repo[path], {"ETag": f'"{tag}"', "X-Repo-Commit": self.hub.revision(repo)})


KIND, NAME, REVISION = "(models|datasets)", r"([\w.-]+/[\w.-]+)", r"[\w.-]+"
ROUTES = (
    (r"POST /api/validate-yaml", Handler.validate),
    (r"POST /api/repos/create", Handler.create),
    (rf"POST /api/{KIND}/{NAME}/preupload/{REVISION}", Handler.preupload),
    (rf"POST /(?:datasets/)?{NAME}\.git/info/lfs/objects/batch", Handler.batch),
    (r"PUT /lfs/(\w+)", Handler.store),
    (rf"POST /api/{KIND}/{NAME}/commit/{REVISION}", Handler.commit),
    (rf"GET /api/{KIND}/{NAME}(?:/revision/{REVISION})?", Handler.info),
    (rf"GET /api/{KIND}/{NAME}/tree/{REVISION}", Handler.tree),
    (rf"(?:GET|HEAD) /(datasets/|){NAME}/resolve/{REVISION}/(.+)", Handler.file),
)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A Hub on a port of its own, for as long as the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield Handler.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
