"""A function URL's settings in the few words that serving it needs.

Place: ``routing.facts`` reads them from a Function or an Alias at watch time, together with the
policy that decides who may come in; ``urls.table`` finds them by the URL's id.
Invariants: pure; whether *anybody* may come in (authType NONE) depends on the object alone and is
decided once, here. Not here: addresses (``klambda_core.urls``), requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from klambda_gateway.auth.policy import ANYBODY, PUBLIC_STATEMENTS, Statement, allows_url
from klambda_gateway.urls.cors import CorsRules, read_rules

NONE: Final = "NONE"
IAM: Final = "AWS_IAM"


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlConfig:
    """How a URL answers."""

    auth_type: str
    open: bool
    """authType NONE, and both public statements are there: everybody may come in."""
    streams: bool
    """invokeMode RESPONSE_STREAM."""
    cors: CorsRules | None


def read_url(url: Mapping[str, Any] | None, policy: Sequence[Statement]) -> UrlConfig | None:
    """The settings in an object's ``spec.url``; None when it has no URL."""
    if not url:
        return None
    auth_type = url.get("authType", IAM)
    granted = (*policy, *PUBLIC_STATEMENTS) if url.get("public", True) else policy
    return UrlConfig(
        auth_type=auth_type,
        open=auth_type == NONE and allows_url(granted, ANYBODY, NONE),
        streams=url.get("invokeMode") == "RESPONSE_STREAM",
        cors=read_rules(url.get("cors")),
    )
