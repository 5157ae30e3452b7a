"""Timestamps as the two worlds write them. Pure: `now` always comes in as an aware datetime.

Lambda: `2026-11-21T12:34:56.789+0000`. Kubernetes (metav1.Time): `2026-11-21T12:34:56Z`, whole
seconds.
"""

from datetime import UTC, datetime


def lambda_timestamp(moment: datetime) -> str:
    """Lambda's `LastModified` spelling: milliseconds and an offset without a colon."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}+0000"


def iso_timestamp(moment: datetime) -> str:
    """Times of function URLs: microseconds and a Z."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def kube_timestamp(moment: datetime) -> str:
    """metav1.Time."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def parse_timestamp(text: str) -> datetime | None:
    """Read either spelling (Python's ISO parser takes both offsets); None when it is neither."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def kube_to_lambda(text: str) -> str | None:
    """A creationTimestamp as Lambda would print it; None when it cannot be read."""
    moment = parse_timestamp(text)
    return lambda_timestamp(moment) if moment else None
