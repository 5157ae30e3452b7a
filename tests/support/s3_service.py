"""What small S3-compatible services for tests have in common: a socket, signatures, errors.

Every signature is checked with botocore's own signer, which shares nothing with ours.
"""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import botocore.auth
import botocore.awsrequest
import botocore.credentials

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


class S3Service:
    """A service of one access key on a real socket; use as a context."""

    def __init__(
        self, key_id: str, secret: str, region: str, tls: ssl.SSLContext | None = None
    ) -> None:
        credentials = botocore.credentials.Credentials(key_id, secret)
        self._signer = botocore.auth.S3SigV4Auth(credentials, "s3", region)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.port: int = self._server.server_address[1]
        self.endpoint = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        if tls is not None:  # each connection's own thread shakes hands
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        raise NotImplementedError

    def _signed(self, method: str, path: str, headers: dict[str, str]) -> bool:
        request = botocore.awsrequest.AWSRequest(method=method, url=f"{self.endpoint}{path}")
        request.context["timestamp"] = headers.get("x-amz-date", "")
        request.headers["X-Amz-Content-SHA256"] = headers.get("x-amz-content-sha256", "")
        request.headers["Host"] = f"127.0.0.1:{self.port}"
        request.headers["X-Amz-Date"] = headers.get("x-amz-date", "")
        canonical = self._signer.canonical_request(request)
        text = self._signer.string_to_sign(request, canonical)
        signature = self._signer.signature(text, request)
        return headers.get("authorization", "").endswith(f"Signature={signature}")


def error(status: int, code: str, message: str = "") -> Answer:
    """An error as S3 writes it."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId></Error>"
    )
    return status, {"Content-Type": "application/xml"}, body.encode()
