"""Where the Kubernetes API is and how to be known there.

`load()` is the one entry point: inside a pod it reads the service account's directory, elsewhere a
kubeconfig. Tokens are files that the kubelet replaces, so they are read again each minute.
The reader is our own because loading the `kubernetes` package for it costs 20 MiB of memory.
Not here: exec plugins and auth providers. The parts run in pods; a developer's kubeconfig with a
plugin is refused with a message that says so.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Mounted by the kubelet: token, ca.crt, namespace."""

TOKEN_MAX_AGE_S = 60.0
"""The kubelet rotates tokens at 80 % of their life and keeps the old one valid for a while;
client-go reads the file each minute too."""


class ConfigError(Exception):
    """There is no usable configuration; the message says what to do."""


class TokenSource:
    """A bearer token, constant or from a file that is read again each minute."""

    def __init__(
        self,
        *,
        constant: str = "",
        path: Path | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._now = now
        self._token = constant
        self._read_at = float("-inf")

    def current(self) -> str:
        """The token, "" when there is none. A file that has gone leaves the last one in use."""
        if self._path is not None and self._now() - self._read_at >= TOKEN_MAX_AGE_S:
            try:
                self._token = self._path.read_text(encoding="utf-8").strip()
            except OSError:
                if not self._token:
                    raise
            self._read_at = self._now()
        return self._token

    def expire(self) -> None:
        """Read the file anew at the next use: the server has just refused the token."""
        self._read_at = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """Server address, trust and identity. `tls` is None for plain http."""

    server: str
    tls: ssl.SSLContext | None = None
    token: TokenSource = field(default_factory=TokenSource)
    namespace: str = "default"


def load(
    environ: Mapping[str, str] = os.environ, service_account: Path = SERVICE_ACCOUNT
) -> ClusterConfig:
    """Read the pod's service account, or else the kubeconfig.

    `KUBECONFIG` set wins over the service account, so that a part can be run by hand inside a pod.
    """
    explicit = environ.get("KUBECONFIG", "")
    if not explicit and environ.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster(environ, service_account)
    if explicit:
        candidates = [Path(part) for part in explicit.split(os.pathsep) if part]
    else:
        candidates = [Path(environ.get("HOME", "/")) / ".kube" / "config"]
    for path in candidates:
        if path.is_file():
            return from_kubeconfig(path)
    raise ConfigError(
        "no Kubernetes configuration: not in a pod, and no file at "
        f"{', '.join(map(str, candidates))}; set KUBECONFIG"
    )


def in_cluster(
    environ: Mapping[str, str] = os.environ, service_account: Path = SERVICE_ACCOUNT
) -> ClusterConfig:
    """The configuration of a pod."""
    host = environ["KUBERNETES_SERVICE_HOST"]
    port = environ.get("KUBERNETES_SERVICE_PORT", "443")
    token = service_account / "token"
    if not token.is_file():
        raise ConfigError(f"{token} is missing: the pod needs automountServiceAccountToken: true")
    namespace = service_account / "namespace"
    return ClusterConfig(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        tls=ssl.create_default_context(cafile=str(service_account / "ca.crt")),
        token=TokenSource(path=token),
        namespace=namespace.read_text(encoding="utf-8").strip()
        if namespace.is_file()
        else "default",
    )


def from_kubeconfig(path: Path, context: str = "") -> ClusterConfig:
    """One context of a kubeconfig file, the current one by default."""
    import yaml  # only here: pods never read a kubeconfig

    document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    name = context or document.get("current-context") or ""
    chosen = _named(document, "contexts", name, path).get("context") or {}
    cluster = _named(document, "clusters", chosen.get("cluster", ""), path).get("cluster") or {}
    user = _named(document, "users", chosen.get("user", ""), path).get("user") or {}
    server = str(cluster.get("server", "")).rstrip("/")
    if not server:
        raise ConfigError(f"{path}: context {name!r} has no server")
    return ClusterConfig(
        server=server,
        tls=_tls(cluster, user, path.parent) if server.startswith("https:") else None,
        token=_token(user, path),
        namespace=chosen.get("namespace") or "default",
    )


def _named(document: Mapping[str, Any], section: str, name: str, path: Path) -> Mapping[str, Any]:
    entries: Sequence[Mapping[str, Any]] = document.get(section) or []
    for entry in entries:
        if entry.get("name") == name:
            return entry
    raise ConfigError(f"{path}: no entry named {name!r} in {section}")


def _token(user: Mapping[str, Any], path: Path) -> TokenSource:
    if unsupported := {"exec", "auth-provider", "username"} & user.keys():
        raise ConfigError(
            f"{path}: {unsupported.pop()} is not supported here; use a client certificate "
            "or a token (kubectl create token …)"
        )
    if "token" in user:
        return TokenSource(constant=str(user["token"]))
    if "tokenFile" in user:
        return TokenSource(path=path.parent / user["tokenFile"])
    return TokenSource()


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any], base: Path) -> ssl.SSLContext:
    authority = _material(cluster, "certificate-authority", base)
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate = _material(user, "client-certificate", base)
    key = _material(user, "client-key", base)
    if certificate and key:
        _load_pair(context, certificate, key)
    return context


def _material(section: Mapping[str, Any], name: str, base: Path) -> bytes:
    if data := section.get(f"{name}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise ConfigError(f"{name}-data is not base64") from error
    if file := section.get(name):
        return (base / str(file)).read_bytes()
    return b""


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # OpenSSL's Python binding takes client certificates from files only.
    with tempfile.NamedTemporaryFile(prefix="klambda-client-", suffix=".pem") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)
