"""A request to a function URL as it arrived, and where it really came from.

Theory. The peer of the connection is the client, unless it is a proxy that the settings name: then
the address it forwarded counts, read from the right of X-Forwarded-For past every trusted proxy,
because only what trusted proxies appended can be believed. From anybody else X-Forwarded-* headers
are claims and are replaced.

Place: made by ``wire`` (ASGI), read by ``urls.event`` and ``urls.door``. Invariants: pure; bytes as
received; header names in lower case. Not here: the event (``urls.event``), signatures (``auth``).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlRequest:
    """One request, body complete."""

    method: str
    path: bytes
    """Still encoded, as the function shall see it: without ``/_url/<id>``."""
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    peer: str
    """Address of the other end of the connection."""
    scheme: str = "http"
    protocol: str = "HTTP/1.1"
    signed_path: bytes | None = None
    """The path as sent, where that is another."""

    def header(self, name: bytes) -> str | None:
        """The first value of a header."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None

    def unchunked(self, body: bytes) -> UrlRequest:
        """The request as it was before its body was aws-chunked."""
        headers: list[tuple[bytes, bytes]] = []
        for name, value in self.headers:
            if name == b"content-encoding":
                codings = [each.strip() for each in value.split(b",")]
                if kept := b",".join(each for each in codings if each != b"aws-chunked"):
                    headers.append((name, kept))
            elif name == b"content-length":
                headers.append((name, str(len(body)).encode()))
            else:
                headers.append((name, value))
        return replace(self, body=body, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request comes from, as far as it can be believed."""

    source_ip: str
    forwarded_for: str
    scheme: str
    port: str

    def headers(self) -> dict[str, str]:
        """The headers that the function sees."""
        return {
            "x-forwarded-for": self.forwarded_for,
            "x-forwarded-proto": self.scheme,
            "x-forwarded-port": self.port,
        }


def origin_of(request: UrlRequest, trusted: Sequence[Network] = ()) -> Origin:
    """Judge what the connection and its proxies say."""
    peer = plain_address(request.peer)
    own = Origin(
        source_ip=peer,
        forwarded_for=peer,
        scheme=request.scheme,
        port=_port(request.header(b"host"), request.scheme),
    )
    if not trusted or not _is_trusted(peer, tuple(trusted)):
        return own
    chain = _forwarded_for(request)
    scheme = request.header(b"x-forwarded-proto") or own.scheme
    return Origin(
        source_ip=_client(chain, peer, tuple(trusted)),
        forwarded_for=", ".join((*chain, peer)) if chain else peer,
        scheme=scheme,
        port=request.header(b"x-forwarded-port") or _port(request.header(b"host"), scheme),
    )


def _client(chain: Sequence[str], peer: str, trusted: tuple[Network, ...]) -> str:
    """The rightmost address that no trusted proxy has."""
    client = peer
    for each in reversed(chain):
        if _address(each) is None:
            return client
        client = plain_address(each)
        if not _is_trusted(client, trusted):
            return client
    return client


def _forwarded_for(request: UrlRequest) -> list[str]:
    values = [v.decode("latin-1") for name, v in request.headers if name == b"x-forwarded-for"]
    return [part.strip() for part in ",".join(values).split(",") if part.strip()]


def _port(host: str | None, scheme: str) -> str:
    name, _, port = (host or "").rpartition(":")
    if name and port.isascii() and port.isdigit():
        return port
    return "443" if scheme == "https" else "80"


@lru_cache(maxsize=1024)
def plain_address(text: str) -> str:
    """An address without the IPv6 clothes of a dual-stack socket."""
    address = _address(text)
    return text if address is None else str(address)


@lru_cache(maxsize=1024)
def _is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    parsed = _address(address)
    return parsed is not None and any(
        parsed.version == network.version and parsed in network for network in trusted
    )


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
