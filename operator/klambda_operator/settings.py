"""The operator's settings: read once from the environment, checked, then passed around.

Also the chart's runtimes table: which image runs a runtime, and which runtime stands in for one
without an image. Not here: kopf's own settings (`handlers`).
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from klambda_core.scaling import ScalingDefaults, read_defaults
from klambda_core.urls import UrlPlace, read_place

DEFAULT_REGION = "us-east-1"
DEFAULT_ADMIN_PORT = 8081


class SettingsError(Exception):
    """The environment cannot be used; the message names the variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """One row of the runtimes table."""

    image: str
    bootstrap: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtimes:
    """Images by runtime id, and ids that others stand in for."""

    images: Mapping[str, Runtime] = field(default_factory=dict)
    substitutes: Mapping[str, str] = field(default_factory=dict)

    def find(self, runtime: str) -> tuple[str, Runtime] | None:
        """The id that really runs and its row; None when there is no image for it."""
        for name in (runtime, self.substitutes.get(runtime, "")):
            if row := self.images.get(name):
                return name, row
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserImages:
    """What container images of functions get from us."""

    init: str = ""
    """Image from which init is taken for those that do not carry it."""
    pull_secrets: tuple[str, ...] = ()
    """Secrets of a function's namespace that its pods name beside their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that the environment says."""

    namespace: str
    pod_name: str = "operator"
    cluster_domain: str = "cluster.local"
    region: str = DEFAULT_REGION
    urls: UrlPlace = field(default_factory=lambda: UrlPlace(region=DEFAULT_REGION))
    runtimes: Runtimes = field(default_factory=Runtimes)
    images: UserImages = field(default_factory=UserImages)
    accounts: Mapping[str, str] = field(default_factory=dict)
    scaling: ScalingDefaults = field(default_factory=ScalingDefaults)
    installation_secret: str = "klambda-installation"  # noqa: S105 - the Secret's name
    lease_name: str = "klambda-operator"
    admin_port: int = DEFAULT_ADMIN_PORT
    watch_namespaces: tuple[str, ...] = ()
    freeze: str = ""
    log_level: str = "INFO"
    resync_seconds: float = 600.0
    concurrency: int = 32
    upgrades_per_second: float = 5.0


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read `KLAMBDA_*`. Raises SettingsError."""
    defaults = Settings(namespace="")
    return Settings(
        namespace=_required(environ, "KLAMBDA_NAMESPACE"),
        pod_name=environ.get("KLAMBDA_POD_NAME") or environ.get("HOSTNAME") or defaults.pod_name,
        cluster_domain=environ.get("KLAMBDA_CLUSTER_DOMAIN") or defaults.cluster_domain,
        region=environ.get("KLAMBDA_REGION") or DEFAULT_REGION,
        urls=_urls(environ),
        runtimes=_runtimes(environ),
        images=_images(environ),
        accounts=_strings(environ, "KLAMBDA_ACCOUNTS"),
        scaling=_scaling(environ),
        installation_secret=environ.get("KLAMBDA_INSTALLATION_SECRET")
        or defaults.installation_secret,
        lease_name=environ.get("KLAMBDA_LEASE_NAME") or defaults.lease_name,
        admin_port=int(_number(environ, "KLAMBDA_ADMIN_PORT", DEFAULT_ADMIN_PORT)),
        watch_namespaces=tuple(
            name.strip()
            for name in environ.get("KLAMBDA_WATCH_NAMESPACES", "").split(",")
            if name.strip()
        ),
        freeze=environ.get("KLAMBDA_FREEZE", ""),
        log_level=environ.get("KLAMBDA_LOG_LEVEL") or defaults.log_level,
        resync_seconds=_number(environ, "KLAMBDA_RESYNC_SECONDS", defaults.resync_seconds),
        concurrency=int(_number(environ, "KLAMBDA_CONCURRENCY", defaults.concurrency)),
        upgrades_per_second=_number(
            environ, "KLAMBDA_UPGRADES_PER_SECOND", defaults.upgrades_per_second
        ),
    )


def _urls(environ: Mapping[str, str]) -> UrlPlace:
    try:
        return read_place(environ, environ.get("KLAMBDA_REGION") or DEFAULT_REGION)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _scaling(environ: Mapping[str, str]) -> ScalingDefaults:
    try:
        return read_defaults(_document(environ, "KLAMBDA_SCALING"))
    except (ValueError, TypeError) as error:
        raise SettingsError(f"KLAMBDA_SCALING: {error}") from error


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set: it names the namespace of this installation")
    return value


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name) or str(default)
    try:
        number = float(text)
    except ValueError as error:
        raise SettingsError(f"{name}={text!r} is not a number") from error
    if number <= 0:
        raise SettingsError(f"{name}={text!r} must be positive")
    return number


def _runtimes(environ: Mapping[str, str]) -> Runtimes:
    rows = _document(environ, "KLAMBDA_RUNTIMES")
    images = {}
    for name, row in rows.items():
        if not isinstance(row, dict) or not isinstance(row.get("image"), str):
            raise SettingsError(f"KLAMBDA_RUNTIMES: {name} needs a member image")
        images[name] = Runtime(image=row["image"], bootstrap=row.get("bootstrap") or None)
    substitutes = _strings(environ, "KLAMBDA_RUNTIME_SUBSTITUTIONS")
    for old, new in substitutes.items():
        if new not in images:
            raise SettingsError(f"KLAMBDA_RUNTIME_SUBSTITUTIONS: {old} → {new} has no image")
    return Runtimes(images=images, substitutes=substitutes)


def _images(environ: Mapping[str, str]) -> UserImages:
    document = _document(environ, "KLAMBDA_FUNCTION_IMAGES")
    secrets = document.get("pullSecrets", [])
    if not isinstance(secrets, list) or not all(isinstance(each, str) for each in secrets):
        raise SettingsError("KLAMBDA_FUNCTION_IMAGES: pullSecrets must be a list of names")
    return UserImages(init=environ.get("KLAMBDA_INIT_IMAGE", ""), pull_secrets=tuple(secrets))


def _strings(environ: Mapping[str, str], name: str) -> dict[str, str]:
    document = _document(environ, name)
    if not all(isinstance(value, str) for value in document.values()):
        raise SettingsError(f"{name} must map texts to texts")
    return document


def _document(environ: Mapping[str, str], name: str) -> dict[str, Any]:
    """A JSON object in the variable itself, or in the file that it names."""
    text = environ.get(name, "")
    if text.startswith("/"):
        text = Path(text).read_text(encoding="utf-8")
    try:
        document = json.loads(text or "{}")
    except ValueError as error:
        raise SettingsError(f"{name} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{name} must be a JSON object")
    return document
