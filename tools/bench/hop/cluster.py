"""A Kubernetes API that stands still: enough for one gateway process to start and serve.

It holds objects by path, lists them, takes what is created and patched, and lets watches hang. The
gateway under measurement is thus the real process with its real mirrors, while no API server, etcd
or operator takes part of the two cores. Another gateway leads.
Not here: admission, versions that conflict, events.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from klambda_core import labels
from klambda_core.kinds import DEPLOYMENT, FUNCTION, POD, SECRET, Kind

HOME = "klambda"
NAMESPACE = "default"
KEY = "ab" * 32
ACCESS = {"accessKeyId": "AKIABENCHMARKBENCH00", "secretAccessKey": "s" * 40}
ITEM = re.compile(r"/namespaces/[^/]+/[^/]+/[^/]+$")
SERVED = "hop-latest-1"
"""The Deployment of the function that is called."""


class Still:
    """The API server."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Any]] = {}
        self._version = 0

    def put(self, kind: Kind, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        """Keep an object; it gets a uid and a version."""
        return self._put(kind.path(namespace, body["metadata"]["name"]), body)

    def _put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        meta = body["metadata"]
        meta.setdefault("uid", f"uid-{meta['name']}")
        meta["resourceVersion"] = str(self._version)
        self._objects[path] = body
        return body

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one call."""
        path = request.path
        match request.method:
            case "GET" if request.query.get("watch"):
                return await self._hang(request)
            case "GET" if "/leases/" in path:
                return web.json_response(self._lease())
            case "GET" if path in self._objects:
                return web.json_response(self._objects[path])
            case "GET":
                return self._list(path)
            case "POST":
                return await self._create(path, request)
            case _:
                known = self._objects.get(path.removesuffix("/scale"), {})
                return web.json_response(known | await request.json())

    def _lease(self) -> dict[str, Any]:
        """Return a lease that another gateway keeps: ours has nothing to do but serve."""
        self._version += 1
        spec = {"holderIdentity": "another", "leaseDurationSeconds": 3600}
        return {"metadata": {"name": "lease", "resourceVersion": str(self._version)}, "spec": spec}

    async def _create(self, path: str, request: web.Request) -> web.Response:
        body = await request.json()
        if path.endswith("/localsubjectaccessreviews"):
            return web.json_response(body | {"status": {"allowed": True}})
        own = f"{path}/{body['metadata']['name']}"
        if own in self._objects:
            return _status(409, "AlreadyExists", own)
        return web.json_response(self._put(own, body))

    def _list(self, path: str) -> web.Response:
        # Asked for one namespace or for all; selectors select everything here.
        if ITEM.search(path):
            return _status(404, "NotFound", path)
        root, plural = path.rsplit("/", 1)
        items = [
            each
            for own, each in self._objects.items()
            if own.startswith(f"{root}/") and own.rsplit("/", 2)[1] == plural
        ]
        metadata = {"resourceVersion": str(self._version)}
        return web.json_response({"metadata": metadata, "items": items})

    async def _hang(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.Event().wait()
        return response


def _status(code: int, reason: str, message: str) -> web.Response:
    status = {"kind": "Status", "reason": reason, "code": code, "message": message}
    return web.json_response(status, status=code)


def secret(name: str, kind: str, data: dict[str, str]) -> dict[str, Any]:
    """Return a Secret."""
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    meta = {"name": name, "namespace": HOME}
    return {"metadata": meta, "type": kind, "data": encoded}


def function(name: str, deployment: str) -> dict[str, Any]:
    """Return a Function that is served by a Deployment."""
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "creationTimestamp": "2026-01-01"},
        "spec": {
            "runtime": "python3.13",
            "handler": "app.handler",
            "timeout": 30,
            "url": {"authType": "NONE"},
        },
        "status": {"active": {"deployment": deployment, "revision": f"revision-{name}"}},
    }


def deployment(replicas: int, name: str = SERVED, function: str = "hop") -> dict[str, Any]:
    """Return the Deployment of a function."""
    assignment = {
        "digest": "d",
        "functionName": function,
        "version": "$LATEST",
        "role": f"arn:aws:iam::123456789012:role/{function}",
        "code": {"sha256": "ab", "size": 1 << 20},
        "layers": [],
    }
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {labels.FUNCTION: function, labels.MANAGED_BY: labels.MANAGED_BY_VALUE},
            "annotations": {labels.ASSIGNMENT: json.dumps(assignment)},
        },
        "spec": {"replicas": replicas},
    }


def pod(number: int, deployment: str = SERVED) -> dict[str, Any]:
    """Return one of its pods."""
    return {
        "metadata": {
            "name": f"{deployment}-{number}",
            "namespace": NAMESPACE,
            "labels": {labels.DEPLOYMENT: deployment, labels.MANAGED_BY: labels.MANAGED_BY_VALUE},
        },
        "status": {"phase": "Running", "podIPs": [{"ip": "127.0.0.1"}]},
    }


def objects(instances: int, functions: int) -> Iterable[tuple[Kind, str, dict[str, Any]]]:
    """Return everything that stands in the cluster."""
    yield SECRET, HOME, secret("klambda-installation", "Opaque", {"key": KEY})
    data = ACCESS | {"namespace": NAMESPACE, "user": "bench"}
    yield SECRET, HOME, secret("klambda-credentials", "klambda.io/access-key", data)
    yield FUNCTION, NAMESPACE, function("hop", SERVED)
    for number in range(functions - 1):
        yield FUNCTION, NAMESPACE, function(f"other-{number}", f"other-{number}-latest-1")
    yield DEPLOYMENT, NAMESPACE, deployment(instances)
    for number in range(instances):
        yield POD, NAMESPACE, pod(number)


@asynccontextmanager
async def running(
    place: Path,
    *,
    instances: int,
    functions: int,
    more: Sequence[tuple[Kind, str, dict[str, Any]]] = (),
) -> AsyncIterator[Path]:
    """Serve the cluster, with ``more`` objects in it; yields a kubeconfig."""
    still = Still()
    for kind, namespace, body in (*objects(instances, functions), *more):
        still.put(kind, namespace, body)
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{rest:.*}", still.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    config = {
        "current-context": "still",
        "contexts": [{"name": "still", "context": {"cluster": "still", "user": "still"}}],
        "clusters": [{"name": "still", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "still", "user": {}}],
    }
    kubeconfig = place / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    try:
        yield kubeconfig
    finally:
        await runner.cleanup()
