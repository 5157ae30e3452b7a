"""A small S3-compatible service and web server on a real socket, for reading packages from.

It answers GetObject as Amazon S3's API reference says ("Error responses", "GetObject") and checks
every signature (``s3_service``). ``/web/…`` is an ordinary web server: files, and redirects. The
tests marked ``full`` use a real S3 server instead.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.s3_service import Answer, S3Service, error

KEY_ID, SECRET, REGION = "AKIABUCKET", "bucket-secret", "eu-central-1"


class Bucket(S3Service):
    """Objects by (bucket, key) and version, files and redirects by path; use as a context."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.objects: dict[tuple[str, str, str | None], bytes] = {}
        self.denied: set[str] = set()
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.before: dict[str, Callable[[], None]] = {}
        """What happens before a path is answered."""
        self.requests: list[str] = []
        super().__init__(KEY_ID, SECRET, REGION, tls)

    def answer(self, path: str, headers: dict[str, str]) -> Answer:
        """Status, headers and body for a GET."""
        self.requests.append(path)
        self.before.get(path, lambda: None)()
        parts = urlsplit(path)
        if parts.path.startswith("/web/"):
            return self._web(parts.path)
        if not self._signed("GET", path, headers):
            return error(403, "SignatureDoesNotMatch", "The signature does not match.")
        _, bucket, key = unquote(parts.path).split("/", 2)
        version = parse_qs(parts.query).get("versionId", [None])[0]
        if key in self.denied:
            return error(403, "AccessDenied", "Access Denied")
        if not any(each[0] == bucket for each in self.objects):
            return error(404, "NoSuchBucket", "The specified bucket does not exist")
        found = self.objects.get((bucket, key, version))
        if found is None:
            return error(404, "NoSuchKey", "The specified key does not exist.")
        return 200, {}, found

    def _web(self, path: str) -> Answer:
        if path in self.redirects:
            return 302, {"Location": self.redirects[path]}, b""
        found = self.files.get(path)
        return (404, {}, b"no") if found is None else (200, {}, found)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                given = {key.lower(): value for key, value in self.headers.items()}
                status, headers, body = bucket.answer(self.path, given)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
