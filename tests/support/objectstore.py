"""A small S3-compatible service on a real socket, for keeping blobs in.

PutObject, GetObject with Range, HeadObject, HeadBucket, DeleteObject and ListObjectsV2 as Amazon
S3's API reference describes them. It checks every signature (``s3_service``), and that a body has
the SHA-256 that was signed. ``faults`` makes it misbehave. The tests
marked ``full`` use a real S3 server instead.
"""

from __future__ import annotations

import hashlib
import html
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.s3_service import Answer, S3Service, error

KEY_ID, SECRET, REGION, BUCKET = "AKIABLOBS", "blobs/secret+", "eu-central-1", "klambda-blobs"


class ObjectStore(S3Service):
    """Objects of one bucket by key; use as a context."""

    def __init__(self, page: int = 1000, tls: ssl.SSLContext | None = None) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.page = page
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.requests: list[str] = []
        self.faults: list[Callable[[str, str], Answer | int | None]] = []
        """Asked with method and path, the first one is used up when it does not say None: an
        answer, or after how many bytes of the true one the connection breaks."""
        super().__init__(KEY_ID, SECRET, REGION, tls)

    def environ(self, **changes: str) -> dict[str, str]:
        """What the store's environment says of it."""
        return {
            "KLAMBDA_BLOBS_S3_ENDPOINT": self.endpoint,
            "KLAMBDA_BLOBS_S3_BUCKET": BUCKET,
            "KLAMBDA_BLOBS_S3_REGION": REGION,
            "KLAMBDA_BLOBS_S3_ACCESS_KEY_ID": KEY_ID,
            "KLAMBDA_BLOBS_S3_SECRET_ACCESS_KEY": SECRET,
            **changes,
        }

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Status, headers and body."""
        parts = urlsplit(path)
        sha256 = hashlib.sha256(body).hexdigest()
        if headers.get("x-amz-content-sha256") != sha256:
            return error(400, "XAmzContentSHA256Mismatch", "The provided hash does not match.")
        if not self._signed(method, path, headers):
            return error(403, "SignatureDoesNotMatch", "The signature does not match.")
        bucket, _, key = unquote(parts.path)[1:].partition("/")
        if bucket != BUCKET:
            return error(404, "NoSuchBucket", "The specified bucket does not exist")
        if not key:
            listed = method == "GET"
            query = {name: found[0] for name, found in parse_qs(parts.query).items()}
            return (200, {}, self._listing(query).encode()) if listed else (200, {}, b"")
        return self._object(method, key, headers, body)

    def _object(self, method: str, key: str, headers: dict[str, str], body: bytes) -> Answer:
        if method == "PUT":
            self.objects[key] = (body, self.now())
            return 200, {"ETag": '"x"'}, b""
        if method == "DELETE":
            self.objects.pop(key, None)
            return 204, {}, b""
        if key not in self.objects:
            return error(404, "NoSuchKey", "The specified key does not exist.")
        data, modified = self.objects[key]
        known = {"Last-Modified": format_datetime(modified, usegmt=True)}
        if "range" not in headers:
            return 200, known, data
        start = int(headers["range"].removeprefix("bytes=").removesuffix("-"))
        known["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return 206, known, data[start:]

    def _listing(self, query: dict[str, str]) -> str:
        assert query["list-type"] == "2"
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        rows: dict[str, str] = {}
        for key, (data, modified) in sorted(self.objects.items()):
            if not key.startswith(prefix):
                continue
            head, found, _ = key.removeprefix(prefix).partition(delimiter or "\0")
            if found:
                name = html.escape(prefix + head + delimiter)
                rows[name] = f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"
                continue
            stamp = modified.strftime("%Y-%m-%dT%H:%M:%S.000Z")
            rows[html.escape(key)] = (
                f"<Contents><Key>{html.escape(key)}</Key><LastModified>{stamp}</LastModified>"
                f"<ETag>&quot;x&quot;</ETag><Size>{len(data)}</Size></Contents>"
            )
        after = query.get("continuation-token", "")
        left = [row for name, row in rows.items() if name > after]
        names = [name for name in rows if name > after]
        page = min(self.page, int(query["max-keys"]))
        more = len(left) > page
        token = f"<NextContinuationToken>{names[page - 1]}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Prefix>{html.escape(prefix)}</Prefix>{token}{''.join(left[:page])}"
            "</ListBucketResult>"
        )

    def fault(self, method: str, path: str) -> Answer | int | None:
        """What goes wrong with a request."""
        if not self.faults:
            return None
        found = self.faults[0](method, path)
        if found is not None:
            self.faults.pop(0)
        return found

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                store.requests.append(f"{self.command} {self.path}")
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                given = {key.lower(): value for key, value in self.headers.items()}
                fault = store.fault(self.command, self.path)
                found = (
                    fault
                    if isinstance(fault, tuple)
                    else store.answer(self.command, self.path, given, body)
                )
                status, headers, answer = found
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer if not isinstance(fault, int) else answer[:fault])
                if isinstance(fault, int):
                    self.close_connection = True

            do_GET = do_PUT = do_HEAD = do_DELETE = _do  # noqa: N815 - as http.server wants them

            def handle(self) -> None:
                with suppress(ConnectionError):  # a client that has read enough
                    super().handle()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
