"""Heads that two servers could read in two ways, and what RFC 9112 wants done with them.

Theory. The parser refuses what breaks HTTP's grammar; what is left is grammatical and still said
twice, or left unsaid: which host is meant, where a body ends, what the target is. A proxy in front
that reads it differently would let through what it means to stop.

Place: ``incoming`` asks ``checked`` for every head that is not plain; the lanes take no head that
it would refuse or change. Invariants: pure; who is refused here is read no further.
Not here: lengths and chunks (httptools), sizes (``patience``).
"""

from __future__ import annotations

import re
from typing import Final

from klambda_core import errors
from klambda_core.errors import LambdaError

Header = tuple[bytes, bytes]
HeaderList = list[Header]

_HOST: Final = rb"(?:\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]{0,5})?"
HOST: Final = re.compile(_HOST)
"""A Host as RFC 9110, 7.2 has it."""
_ABSOLUTE: Final = re.compile(
    rb"[Hh][Tt][Tt][Pp][Ss]?://(?P<host>%b)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?" % _HOST
)
_VERSIONS: Final = ("1.0", "1.1")


class Malformed(Exception):
    """A head that is answered with this error, and nothing after it."""

    def __init__(self, error: LambdaError) -> None:
        super().__init__(error.message)
        self.error = error


def checked(
    method: bytes, url: bytes, version: str, headers: HeaderList
) -> tuple[bytes, HeaderList]:
    """Return target and headers in the form that everything behind knows. Raises Malformed."""
    if version not in _VERSIONS:
        raise Malformed(errors.version_not_supported())
    _check_host([value for name, value in headers if name == b"host"], version)
    _check_codings([value for name, value in headers if name == b"transfer-encoding"], version)
    return _targeted(method, url, headers)


def without_upgrade(method: bytes, url: bytes, version: str, headers: HeaderList) -> bytes:
    """Return a head whose Upgrade nobody takes up (RFC 9110, 7.8): the parser would skip the body,
    and read it as the next request."""
    kept = [b"%b: %b\r\n" % header for header in headers if header[0] != b"upgrade"]
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, url, version.encode(), b"".join(kept))


def size_of(url: bytes, headers: HeaderList) -> int:
    """Return about how many bytes a head had."""
    return len(url) + sum([len(name) + len(value) + len(": \r\n") for name, value in headers])


def _check_host(hosts: list[bytes], version: str) -> None:
    """One, and a good one (RFC 9112, 3.2); HTTP/1.0 did not know it yet."""
    if len(hosts) > 1 or (not hosts and version != "1.0"):
        raise _bad("A request must have exactly one Host header.")
    if hosts and not HOST.fullmatch(hosts[0].strip(b" \t")):
        raise _bad("The Host header is not valid.")


def _check_codings(codings: list[bytes], version: str) -> None:
    """Chunks and nothing around them (RFC 9112, 6.1); HTTP/1.0 has no codings."""
    if not codings:
        return
    if version == "1.0":
        raise _bad("HTTP/1.0 has no Transfer-Encoding.")
    if len(codings) > 1 or codings[0].strip(b" \t").lower() != b"chunked":
        raise Malformed(errors.coding_not_supported())


def _targeted(method: bytes, url: bytes, headers: HeaderList) -> tuple[bytes, HeaderList]:
    """Turn the absolute form into origin form and Host (RFC 9112, 3.2.2)."""
    if method == b"CONNECT":
        raise _bad("This is no proxy.")
    if (url.startswith(b"/") and b"#" not in url) or (url == b"*" and method == b"OPTIONS"):
        return url, headers
    absolute = _ABSOLUTE.fullmatch(url)
    if absolute is None or not absolute["host"]:
        raise _bad("The request's target is not valid.")
    others = [header for header in headers if header[0] != b"host"]
    origin = (absolute["path"] or b"/") + (absolute["query"] or b"")
    return origin, [(b"host", absolute["host"]), *others]


def _bad(text: str) -> Malformed:
    return Malformed(errors.serialization(text))
