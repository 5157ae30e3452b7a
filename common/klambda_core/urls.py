"""Addresses of function URLs: which id a function's or alias's URL has, and how it is written.

`<scheme>://<id>.lambda-url.<region>.<domain>[:port]/` (aws-contract d). The id is an HMAC under the
installation key, so that it cannot be guessed, is stable as long as function, qualifier and
installation are, and is the same to whoever shows it (gateway, operator). Pure.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

ID_LENGTH: Final = 32
"""As AWS's; ours use [a-z2-7] of its [a-z0-9]."""
MAX_PORT: Final = 65535
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.(?!-)[a-z0-9-]{1,63})*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlPlace:
    """Where an installation's function URLs live."""

    region: str
    domain: str = "localhost"
    scheme: str = "http"
    port: int | None = None
    """None: the scheme's own, which is not written."""

    @property
    def suffix(self) -> str:
        """What follows the id in a URL's host name."""
        return f".lambda-url.{self.region}.{self.domain}"

    def host(self, url_id: str) -> str:
        """A URL's host name, without a port."""
        return url_id + self.suffix

    def address(self, url_id: str) -> str:
        """A URL as users are told it, with the slash at the end."""
        port = "" if self.port in (None, DEFAULT_PORTS.get(self.scheme)) else f":{self.port}"
        return f"{self.scheme}://{self.host(url_id)}{port}/"


def read_place(environ: Mapping[str, str], region: str) -> UrlPlace:
    """Read `KLAMBDA_URL_*`. Raises ValueError that names the variable."""
    default = UrlPlace(region=region)
    domain = (environ.get("KLAMBDA_URL_DOMAIN") or default.domain).lower()
    scheme = environ.get("KLAMBDA_URL_SCHEME") or default.scheme
    port = environ.get("KLAMBDA_URL_PORT") or ""
    if not _DOMAIN.fullmatch(domain):
        raise ValueError(f"KLAMBDA_URL_DOMAIN={domain!r} is not a domain")
    if scheme not in DEFAULT_PORTS:
        raise ValueError(f"KLAMBDA_URL_SCHEME={scheme!r} is not one of http, https")
    if port and not (port.isascii() and port.isdecimal() and 0 < int(port) <= MAX_PORT):
        raise ValueError(f"KLAMBDA_URL_PORT={port!r} is not a port")
    return UrlPlace(region=region, domain=domain, scheme=scheme, port=int(port) if port else None)


def url_id(key: str, namespace: str, function: str, qualifier: str | None = None) -> str:
    """The id of a URL: 32 of [a-z2-7]. `key`: the installation's; `function`: the AWS name."""
    text = f"url\n{namespace}\n{function}\n{qualifier or ''}"
    digest = hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()
    return base64.b32encode(digest[:20]).decode().lower()
