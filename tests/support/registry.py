"""A real registry (distribution) for tests, and images pushed without a builder.

It is started from the Go module in tools/cluster/binaries/registry, keeps its blobs in a temporary
folder and ends with the block. Unless it is ``public``, everything needs the credentials of
``USER``.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.cluster import programs
from tools.cluster.apiserver import free_ports
from tools.cluster.layout import Layout
from tools.cluster.steps import Steps

USER, PASSWORD = "puller", "secret"
HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """One that runs."""

    host: str
    folder: Path

    @property
    def basic(self) -> str:
        """The credentials, as docker's configuration has them."""
        return base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def docker_config(self) -> dict[str, Any]:
        """The text of a Secret for pulling."""
        return {"auths": {self.host: {"auth": self.basic}}}

    def push(
        self,
        name: str,
        config: Mapping[str, Any],
        *,
        files: Mapping[str, bytes] | None = None,
        architecture: str = "amd64",
    ) -> str:
        """Push an image of one layer as ``repository:tag``; return its digest."""
        repository, _, tag = name.partition(":")
        tar = _tar(files or {"hello": b"hello"})
        layer = gzip.compress(tar, mtime=0)
        document = {
            "architecture": architecture,
            "os": "linux",
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [_digest(tar)]},
        }
        text = json.dumps(document).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._blob(repository, CONFIG, text),
            "layers": [self._blob(repository, LAYER, layer)],
        }
        return self.put_manifest(repository, tag, MANIFEST, json.dumps(manifest).encode())

    def push_index(self, name: str, digests: Mapping[str, str]) -> str:
        """Push an index: digests of manifests by architecture; return its digest."""
        repository, _, tag = name.partition(":")
        entries = [
            {
                "mediaType": MANIFEST,
                "digest": digest,
                "size": 1,
                "platform": {"os": "linux", "architecture": architecture},
            }
            for architecture, digest in digests.items()
        ]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        return self.put_manifest(repository, tag, INDEX, json.dumps(index).encode())

    def put_manifest(self, repository: str, tag: str, kind: str, text: bytes) -> str:
        """Push a manifest; return its digest."""
        self._request("PUT", f"/v2/{repository}/manifests/{tag}", text, kind)
        return _digest(text)

    def forget(self, repository: str) -> None:
        """Lose a repository with all its images."""
        shutil.rmtree(self.folder / "docker" / "registry" / "v2" / "repositories" / repository)

    def _blob(self, repository: str, kind: str, data: bytes) -> dict[str, Any]:
        digest = _digest(data)
        place = self._request("POST", f"/v2/{repository}/blobs/uploads/", b"", "")
        mark = "&" if "?" in place else "?"
        self._request("PUT", f"{place}{mark}digest={digest}", data, "application/octet-stream")
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    def _request(self, method: str, path: str, body: bytes, kind: str) -> str:
        url = path if path.startswith("http") else f"http://{self.host}{path}"
        headers = {"Authorization": f"Basic {self.basic}"}
        if kind:
            headers["Content-Type"] = kind
        request = urllib.request.Request(url, body, headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            return str(answer.headers.get("Location", ""))


@contextmanager
def running_registry(
    folder: Path, *, address: str = "127.0.0.1", port: int = 0, public: bool = False
) -> Iterator[Registry]:
    """Run one for the length of a block; port 0: a free one."""
    layout = Layout.of(os.environ)
    steps = Steps(out=sys.stderr, logs=layout.logs, environment=dict)
    programs.ensure(layout, steps, [programs.REGISTRY])
    host = f"{address}:{port or free_ports(1)[0]}"
    registry = Registry(host=host, folder=folder / "blobs")
    (folder / "htpasswd").write_text(HTPASSWD)
    configuration: dict[str, Any] = {
        "version": "0.1",
        "log": {"accesslog": {"disabled": True}, "level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(registry.folder)}},
        "http": {"addr": registry.host, "secret": "-"},
        # An index of tests names platforms that are not there.
        "validation": {"manifests": {"indexes": {"platforms": "none"}}},
    }
    if not public:
        users = {"realm": "tests", "path": str(folder / "htpasswd")}
        configuration["auth"] = {"htpasswd": users}
    (folder / "config.json").write_text(json.dumps(configuration))  # JSON is YAML
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [programs.REGISTRY.path(layout), "serve", folder / "config.json"],
            stdout=log,
            stderr=log,
        )
        try:
            _wait(registry, process, folder / "log")
            yield registry
        finally:
            process.terminate()
            process.wait(30)


def _wait(registry: Registry, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            registry._request("GET", "/v2/", b"", "")
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the registry does not answer: {log.read_text()}")


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
