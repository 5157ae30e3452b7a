"""Cross-origin rules of a function URL: what the platform answers browsers in the function's stead.

Theory. With rules set, a preflight (OPTIONS with Origin and Access-Control-Request-Method) is
answered here and never reaches the function; to every other answer the headers of the rules are
added. A function that sets such headers, too, has them twice, and browsers refuse that, as on AWS:
set them in one place. What an answer says depends on the request's Origin, so ``Vary: Origin`` goes
with it. An origin, a method or a header that is not listed gets an answer without the headers: the
browser refuses it. Without rules the function answers OPTIONS itself.

Place: ``urls.config`` reads rules at watch time, ``urls.door`` applies them.
Invariants: pure; ``*`` stays ``*`` even where credentials are allowed (browsers then refuse it, as
the Fetch standard wants). Sources: aws-contract d; Fetch standard, "CORS protocol"; answers of AWS
that people have published (S): "AWS Lambda Function URL with CORS explained by example", 2024.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Headers = list[tuple[str, str]]
"""Names in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """A browser's question: may a page of this origin send such a request?"""

    origin: str
    method: str
    """Access-Control-Request-Method."""
    headers: str = ""
    """Access-Control-Request-Headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorsRules:
    """The rules, as the headers they become. Empty text: no such header."""

    origins: frozenset[str]
    any_origin: bool
    methods: str = ""
    request_headers: str = ""
    exposed_headers: str = ""
    max_age: str = ""
    credentials: bool = False

    def preflight(self, question: Preflight) -> Headers:
        """The headers of the answer to a preflight."""
        allowed = self._origin(question.origin)
        headers: Headers = [("vary", "Origin")]
        if allowed is None or not self._lists(question):
            return headers
        given = (
            ("access-control-allow-origin", allowed),
            ("access-control-allow-methods", self.methods),
            ("access-control-allow-headers", self.request_headers),
            ("access-control-max-age", self.max_age),
            ("access-control-allow-credentials", "true" if self.credentials else ""),
        )
        return headers + [(name, value) for name, value in given if value]

    def apply(self, headers: Sequence[tuple[str, str]], origin: str | None) -> Headers:
        """An answer's headers, and ours."""
        kept = [*headers]
        if not any(name == "vary" and _lists_origin(value) for name, value in kept):
            kept.append(("vary", "Origin"))
        allowed = None if origin is None else self._origin(origin)
        if allowed is None:
            return kept
        given = (
            ("access-control-allow-origin", allowed),
            ("access-control-expose-headers", self.exposed_headers),
            ("access-control-allow-credentials", "true" if self.credentials else ""),
        )
        return kept + [(name, value) for name, value in given if value]

    def _lists(self, question: Preflight) -> bool:
        """Whether method and headers are allowed. A list that is not set forbids nothing."""
        return _allows(self.methods, [question.method]) and _allows(
            self.request_headers, question.headers.split(",")
        )

    def _origin(self, origin: str) -> str | None:
        if self.any_origin:
            return "*"
        return origin if origin.lower() in self.origins else None


def read_rules(cors: Mapping[str, Any] | None) -> CorsRules | None:
    """The rules in an object's ``url.cors``; None when there are none."""
    if not cors:
        return None
    origins = cors.get("allowOrigins") or ()
    age = cors.get("maxAge")
    return CorsRules(
        origins=frozenset(each.lower() for each in origins),
        any_origin="*" in origins,
        methods=",".join(cors.get("allowMethods") or ()),
        request_headers=",".join(cors.get("allowHeaders") or ()),
        exposed_headers=",".join(cors.get("exposeHeaders") or ()),
        max_age="" if age is None else str(age),
        credentials=bool(cors.get("allowCredentials")),
    )


def _allows(listed: str, asked: Sequence[str]) -> bool:
    allowed = {each.strip().lower() for each in listed.split(",")}
    wanted = {each.strip().lower() for each in asked} - {""}
    return not listed or "*" in allowed or wanted <= allowed


def _lists_origin(vary: str) -> bool:
    return any(each.strip().lower() in ("origin", "*") for each in vary.split(","))
