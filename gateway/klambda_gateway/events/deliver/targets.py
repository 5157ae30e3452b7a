"""What a destination's text means. Pure; what is not understood is a value with a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

Kind = Literal["lambda", "sqs", "sns", "http"]
_ARN_PARTS: Final = 6
_RESOURCES: Final[dict[str, Kind]] = {"sqs": "sqs", "sns": "sns", "lambda": "lambda"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Somebody who can be told."""

    kind: Kind
    text: str
    region: str = ""
    account: str = ""
    resource: str = ""
    """The queue's or topic's name, or ``function:name[:qualifier]``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoTarget:
    """Why there is nobody to tell."""

    why: str


def read_target(text: str) -> Target | NoTarget:
    """Read an ARN or a URL."""
    if text.startswith(("http://", "https://")):
        return Target(kind="http", text=text) if _is_url(text) else NoTarget(why="not a URL")
    parts = text.split(":", _ARN_PARTS - 1)
    if len(parts) < _ARN_PARTS or parts[0] != "arn":
        return NoTarget(why="neither an ARN nor an http(s) URL")
    kind = _RESOURCES.get(parts[2])
    if kind is None:
        return NoTarget(why=f"destinations of the service '{parts[2]}' are not supported")
    return Target(kind=kind, text=text, region=parts[3], account=parts[4], resource=parts[5])


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def allowed(url: str, prefixes: Sequence[str]) -> bool:
    """Whether an address lies below one of these: same scheme, host and port, path by segments."""
    asked = urlsplit(url)
    if asked.username is not None or "/.." in asked.path or "\\" in url:
        return False
    for prefix in prefixes:
        given = urlsplit(prefix)
        base = given.path.rstrip("/")
        if (given.scheme, given.netloc.lower()) == (asked.scheme, asked.netloc.lower()) and (
            asked.path == base or asked.path.startswith(base + "/")
        ):
            return True
    return False
