"""What the store is told by its environment. Names: docs/runtime-contract.md and the chart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from klambda_core.s3 import Place
from klambda_core.signer import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The store's settings; `installation_key` is "" when it comes from the Secret."""

    data: Path
    port: int
    namespace: str
    installation_secret: str
    installation_key: str
    log_level: str
    events_database_url: str
    """PostgreSQL for the events; "": SQLite in the data directory."""
    event_retention_s: float
    """How long the record of a successful event is kept."""
    failed_event_retention_s: float
    """How long that of a failed one is."""
    bucket: Place | None
    """Where blobs are kept; None: in the data directory."""
    prefix: str
    """What their keys begin with."""
    ca_bundle: str
    """A PEM file of authorities that the service's certificate may be signed by; "": none."""


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Read the environment; every variable has a default that suits the chart."""
    return Settings(
        data=Path(environ.get("KLAMBDA_DATA", "/data")),
        port=int(environ.get("KLAMBDA_STORE_PORT", "8090")),
        namespace=environ.get("KLAMBDA_NAMESPACE", "klambda"),
        installation_secret=environ.get("KLAMBDA_INSTALLATION_SECRET", "klambda-installation"),
        installation_key=environ.get("KLAMBDA_INSTALLATION_KEY", ""),
        log_level=environ.get("KLAMBDA_LOG_LEVEL", "INFO"),
        events_database_url=environ.get("KLAMBDA_EVENTS_DATABASE_URL", ""),
        event_retention_s=float(environ.get("KLAMBDA_EVENT_RETENTION_SECONDS", "3600")),
        failed_event_retention_s=float(
            environ.get("KLAMBDA_FAILED_EVENT_RETENTION_SECONDS", str(14 * 86400))
        ),
        bucket=bucket_of(environ),
        prefix=environ.get("KLAMBDA_BLOBS_S3_PREFIX", ""),
        ca_bundle=environ.get("KLAMBDA_CA_BUNDLE", ""),
    )


def bucket_of(environ: Mapping[str, str]) -> Place | None:
    """The bucket that the environment names."""
    endpoint = environ.get("KLAMBDA_BLOBS_S3_ENDPOINT", "")
    if not endpoint:
        return None
    key = Credentials(
        access_key_id=environ.get("KLAMBDA_BLOBS_S3_ACCESS_KEY_ID", ""),
        secret_access_key=environ.get("KLAMBDA_BLOBS_S3_SECRET_ACCESS_KEY", ""),
    )
    return Place(
        endpoint=endpoint,
        bucket=environ.get("KLAMBDA_BLOBS_S3_BUCKET", ""),
        region=environ.get("KLAMBDA_BLOBS_S3_REGION", "us-east-1"),
        path_style=environ.get("KLAMBDA_BLOBS_S3_PATH_STYLE", "true") == "true",
        credentials=key if key.access_key_id else None,
    )
