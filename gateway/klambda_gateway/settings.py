"""The gateway's settings: read once from the environment, checked, then passed around.

Place: ``program`` reads them, ``app`` composes by them. Invariants: a bad value names its variable
and stops the process. Not here: the defaults that users see (the chart's values).
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from klambda_core.scaling import Scaling, ScalingDefaults, read_defaults
from klambda_core.signer import Credentials
from klambda_core.urls import UrlPlace, read_place
from klambda_gateway.code.fetching import Allowed
from klambda_gateway.events.settings import EventSettings, event_settings
from klambda_gateway.images.finder import ImageSettings

REGION_DEFAULT: Final = "us-east-1"


class SettingsError(Exception):
    """The environment cannot be used; the message names the variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that the environment says."""

    namespace: str
    """Klambda's own."""
    pod_name: str = "gateway"
    """Unique among the gateways: instances keep one connection per name."""
    pod_ip: str = ""
    region: str = REGION_DEFAULT
    cluster_domain: str = "cluster.local"
    accounts: Mapping[str, str] = field(default_factory=dict)
    store_url: str = ""
    credentials_secret: str = "klambda-credentials"  # noqa: S105  the Secret's name
    installation_secret: str = "klambda-installation"  # noqa: S105  the Secret's name
    lease_name: str = "klambda-gateway"
    http_port: int = 8080
    service_port: int = 8080
    """Of the Service in front of ``http_port``."""
    instance_port: int = 9001
    admin_port: int = 8081
    public_url: str = ""
    urls: UrlPlace = field(default_factory=lambda: UrlPlace(region=REGION_DEFAULT))
    """Where function URLs live."""
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    """Whose X-Forwarded-* headers count on requests to function URLs."""
    sources: Allowed = field(default_factory=Allowed)
    """Where code may be fetched from."""
    ca_bundle: str = ""
    """A PEM file of authorities that are trusted besides the usual ones; "": none."""
    sweep_age_seconds: float = 86_400.0
    """Blobs that nothing names for so long are deleted."""
    scaling: ScalingDefaults = field(default_factory=ScalingDefaults)
    """What holds for functions that say nothing."""
    scheduling_patience: float = 5.0
    """Seconds that a new instance may look for a node before requests are told."""
    controller_rate: float = 0.0
    """Writes a second that the controller-manager may make; 0: bursts make no bare Pods."""
    provisioned_patience: float = 300.0
    """Seconds for which an alias that points elsewhere waits until it is provisioned there."""
    watch_namespaces: tuple[str, ...] = ()
    """Empty: all."""
    cors_origins: tuple[str, ...] = ()
    """Whose pages may call the API from browsers."""
    bearer_tokens: bool = True
    """Whether Kubernetes' tokens are accepted beside signatures."""
    runtimes: tuple[str, ...] = ()
    images: ImageSettings = field(default_factory=ImageSettings)
    fast_lane: bool = True
    """Whether plain invocations run below ASGI."""
    access_log: bool = False
    log_level: str = "INFO"
    linger_seconds: float = 10.0
    """At shutdown: how long new requests are still taken, until nobody routes here any more."""
    grace_seconds: float = 900.0
    """At shutdown: how long running requests may take after that."""
    events: EventSettings = field(default_factory=EventSettings)

    @property
    def endpoints(self) -> dict[str, str]:
        """What instances are told of us, as the AWS SDKs' variables."""
        host = f"klambda-gateway.{self.namespace}.svc.{self.cluster_domain}"
        url = f"http://{host}:{self.service_port}"
        return {f"AWS_ENDPOINT_URL_{service}": url for service in ("LAMBDA", "STS")}

    @property
    def default_account(self) -> str:
        """The namespace of the access key that is made at the first start."""
        return self.watch_namespaces[0] if self.watch_namespaces else "default"


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read ``KLAMBDA_*``. Raises SettingsError."""
    read = _Reader(environ)
    basis = Settings(namespace="")
    runtimes = read.document("KLAMBDA_RUNTIMES")
    substitutions = read.document("KLAMBDA_RUNTIME_SUBSTITUTIONS")
    namespace = read.text("KLAMBDA_NAMESPACE", "")
    if not namespace:
        raise SettingsError("KLAMBDA_NAMESPACE is not set: it names this installation's namespace")
    return Settings(
        namespace=namespace,
        pod_name=read.text("KLAMBDA_POD_NAME", environ.get("HOSTNAME") or basis.pod_name),
        pod_ip=read.text("KLAMBDA_POD_IP", ""),
        region=read.text("KLAMBDA_REGION", basis.region),
        cluster_domain=read.text("KLAMBDA_CLUSTER_DOMAIN", basis.cluster_domain),
        accounts={key: str(value) for key, value in read.document("KLAMBDA_ACCOUNTS").items()},
        store_url=read.text(
            "KLAMBDA_STORE_URL",
            f"http://klambda-store.{namespace}.svc.{basis.cluster_domain}.:8090",
        ),
        credentials_secret=read.text("KLAMBDA_CREDENTIALS_SECRET", basis.credentials_secret),
        installation_secret=read.text("KLAMBDA_INSTALLATION_SECRET", basis.installation_secret),
        lease_name=read.text("KLAMBDA_LEASE_NAME", basis.lease_name),
        http_port=read.port("KLAMBDA_HTTP_PORT", basis.http_port),
        service_port=read.port("KLAMBDA_SERVICE_PORT", basis.service_port),
        instance_port=read.port("KLAMBDA_INSTANCE_PORT", basis.instance_port),
        admin_port=read.port("KLAMBDA_ADMIN_PORT", basis.admin_port),
        public_url=read.text("KLAMBDA_PUBLIC_URL", "").rstrip("/"),
        urls=read.urls(),
        trusted_proxies=read.networks("KLAMBDA_TRUSTED_PROXIES"),
        sources=read.sources(),
        ca_bundle=read.text("KLAMBDA_CA_BUNDLE", ""),
        sweep_age_seconds=read.seconds("KLAMBDA_SWEEP_AGE_SECONDS", basis.sweep_age_seconds),
        scaling=read.scaling(),
        scheduling_patience=read.seconds(
            "KLAMBDA_SCHEDULING_PATIENCE_SECONDS", basis.scheduling_patience
        ),
        provisioned_patience=read.seconds(
            "KLAMBDA_PROVISIONED_PATIENCE_SECONDS", basis.provisioned_patience
        ),
        controller_rate=read.seconds("KLAMBDA_CONTROLLER_RATE", basis.controller_rate),
        watch_namespaces=read.words("KLAMBDA_WATCH_NAMESPACES"),
        cors_origins=tuple(read.text("KLAMBDA_CORS_ORIGINS", "").split()),
        bearer_tokens=read.switch("KLAMBDA_BEARER_TOKENS", default=basis.bearer_tokens),
        runtimes=tuple(sorted({*runtimes, *substitutions})),
        images=_images(read.document("KLAMBDA_FUNCTION_IMAGES")),
        access_log=read.switch("KLAMBDA_ACCESS_LOG", default=basis.access_log),
        fast_lane=read.switch("KLAMBDA_FAST_LANE", default=basis.fast_lane),
        log_level=read.text("KLAMBDA_LOG_LEVEL", basis.log_level),
        linger_seconds=read.seconds("KLAMBDA_LINGER_SECONDS", basis.linger_seconds),
        grace_seconds=read.seconds("KLAMBDA_GRACE_SECONDS", basis.grace_seconds),
        events=read.events(),
    )


def _images(document: Mapping[str, Any]) -> ImageSettings:
    def names(member: str) -> tuple[str, ...]:
        found = document.get(member, [])
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise SettingsError(f"KLAMBDA_FUNCTION_IMAGES: {member} must be a list of names")
        return tuple(found)

    return ImageSettings(
        registries=names("registries"),
        insecure=names("insecureRegistries"),
        pull_secrets=names("pullSecrets"),
    )


class _Reader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str) -> str:
        return self._environ.get(name) or default

    def port(self, name: str, default: int) -> int:
        text = self._environ.get(name) or str(default)
        if not text.isdecimal() or int(text) > 65535:
            raise SettingsError(f"{name}={text!r} is not a port")
        return int(text)

    def switch(self, name: str, *, default: bool) -> bool:
        text = self._environ.get(name) or ("on" if default else "off")
        if text not in ("on", "off"):
            raise SettingsError(f"{name}={text!r} is neither 'on' nor 'off'")
        return text == "on"

    def words(self, name: str) -> tuple[str, ...]:
        pieces = (each.strip() for each in self._environ.get(name, "").split(","))
        return tuple(each for each in pieces if each)

    def sources(self) -> Allowed:
        key, secret = "KLAMBDA_S3_ACCESS_KEY_ID", "KLAMBDA_S3_SECRET_ACCESS_KEY"
        access, secret_text = self.text(key, ""), self.text(secret, "")
        if bool(access) != bool(secret_text):
            raise SettingsError(f"{key} and {secret} belong together")
        credentials = Credentials(access_key_id=access, secret_access_key=secret_text)
        endpoint = self.text("KLAMBDA_S3_ENDPOINT", "").rstrip("/")
        if endpoint and not endpoint.startswith(("http://", "https://")):
            raise SettingsError(f"KLAMBDA_S3_ENDPOINT={endpoint!r} is no http:// or https:// URL")
        return Allowed(
            endpoint=endpoint,
            region=self.text("KLAMBDA_S3_REGION", self.text("KLAMBDA_REGION", REGION_DEFAULT)),
            credentials=credentials if access else None,
            buckets=self.words("KLAMBDA_S3_BUCKETS"),
            hosts=self.words("KLAMBDA_URL_HOSTS"),
        )

    def urls(self) -> UrlPlace:
        try:
            return read_place(self._environ, self.text("KLAMBDA_REGION", REGION_DEFAULT))
        except ValueError as error:
            raise SettingsError(str(error)) from error

    def networks(self, name: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        try:
            return tuple(ipaddress.ip_network(each, strict=False) for each in self.words(name))
        except ValueError as error:
            raise SettingsError(f"{name}: {error}") from error

    def seconds(self, name: str, default: float) -> float:
        text = self._environ.get(name) or str(default)
        try:
            seconds = float(text)
        except ValueError as error:
            raise SettingsError(f"{name}={text!r} is not a number of seconds") from error
        if not 0 <= seconds < float("inf"):
            raise SettingsError(f"{name}={text!r} must not be negative")
        return seconds

    def scaling(self) -> ScalingDefaults:
        idle = self.seconds("KLAMBDA_IDLE_SECONDS", Scaling().idle_seconds)
        try:
            return read_defaults(self.document("KLAMBDA_SCALING"), idle_seconds=idle)
        except (ValueError, TypeError) as error:
            raise SettingsError(f"KLAMBDA_SCALING: {error}") from error

    def events(self) -> EventSettings:
        keys = Credentials(
            access_key_id=self.text("KLAMBDA_DESTINATIONS_ACCESS_KEY_ID", ""),
            secret_access_key=self.text("KLAMBDA_DESTINATIONS_SECRET_ACCESS_KEY", ""),
            session_token=self.text("KLAMBDA_DESTINATIONS_SESSION_TOKEN", "") or None,
        )
        try:
            return event_settings(self.document("KLAMBDA_EVENTS"), keys)
        except (ValueError, TypeError) as error:
            raise SettingsError(f"KLAMBDA_EVENTS: {error}") from error

    def document(self, name: str) -> dict[str, Any]:
        try:
            document = json.loads(self._environ.get(name) or "{}")
        except ValueError as error:
            raise SettingsError(f"{name} is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise SettingsError(f"{name} must be a JSON object")
        return document
