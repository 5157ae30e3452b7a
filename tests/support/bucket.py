"""A small S3-compatible service and web server on a real socket, for reading packages from.

It answers GetObject as Amazon S3's API reference says ("Error responses", "GetObject") and checks
every signature with botocore's own signer, which shares nothing with ours. ``/web/…`` is an
ordinary web server: files, and redirects. The tests marked ``full`` use a real S3 server instead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials

KEY_ID, SECRET, REGION = "AKIABUCKET", "bucket-secret", "eu-central-1"


class Bucket:
    """Objects by (bucket, key) and version, files and redirects by path; use as a context."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str | None], bytes] = {}
        self.denied: set[str] = set()
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.before: dict[str, Callable[[], None]] = {}
        """What happens before a path is answered."""
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.port: int = self._server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Bucket:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a GET."""
        self.requests.append(path)
        self.before.get(path, lambda: None)()
        parts = urlsplit(path)
        if parts.path.startswith("/web/"):
            return self._web(parts.path)
        if not self._signed(path, headers):
            return _error(403, "SignatureDoesNotMatch", "The signature does not match.")
        _, bucket, key = unquote(parts.path).split("/", 2)
        version = parse_qs(parts.query).get("versionId", [None])[0]
        if key in self.denied:
            return _error(403, "AccessDenied", "Access Denied")
        if not any(each[0] == bucket for each in self.objects):
            return _error(404, "NoSuchBucket", "The specified bucket does not exist")
        found = self.objects.get((bucket, key, version))
        if found is None:
            return _error(404, "NoSuchKey", "The specified key does not exist.")
        return 200, {}, found

    def _web(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if path in self.redirects:
            return 302, {"Location": self.redirects[path]}, b""
        found = self.files.get(path)
        return (404, {}, b"no") if found is None else (200, {}, found)

    def _signed(self, path: str, headers: dict[str, str]) -> bool:
        request = botocore.awsrequest.AWSRequest(method="GET", url=f"{self.endpoint}{path}")
        request.context["timestamp"] = headers.get("x-amz-date", "")
        request.headers["X-Amz-Content-SHA256"] = headers.get("x-amz-content-sha256", "")
        signer = botocore.auth.S3SigV4Auth(
            botocore.credentials.Credentials(KEY_ID, SECRET), "s3", REGION
        )
        request.headers["Host"] = f"127.0.0.1:{self.port}"
        request.headers["X-Amz-Date"] = headers.get("x-amz-date", "")
        canonical = signer.canonical_request(request)
        signature = signer.signature(signer.string_to_sign(request, canonical), request)
        return headers.get("authorization", "").endswith(f"Signature={signature}")

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


def _error(status: int, code: str, message: str) -> tuple[int, dict[str, str], bytes]:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId></Error>"
    )
    return status, {"Content-Type": "application/xml"}, body.encode()
