"""Whom outgoing TLS believes: the machine's usual authorities, and those of a bundle besides.

Place: gateway and store speak TLS to what is outside the cluster's own API (S3 services, addresses
of code, registries, destinations) and make their connections with what comes from here. The bundle
is a file of PEM certificates that the chart mounts (``caBundle``); it is read once, at the start.
Invariants: the usual authorities count always; a bundle that cannot be used ends the start with a
sentence, it is never left out. Not here: the API server's own authority (``config``).
"""

from __future__ import annotations

import ssl

Trust = ssl.SSLContext | bool
"""As aiohttp's ``ssl``; True: the usual authorities."""


class BadBundle(Exception):
    """A bundle that cannot be read, or holds no certificate."""


def trusting(bundle: str) -> Trust:
    """Whom to trust besides the usual authorities: a PEM file's; "": nobody. Raises BadBundle."""
    if not bundle:
        return True
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=bundle)
    except (OSError, ssl.SSLError) as error:
        raise BadBundle(f"KLAMBDA_CA_BUNDLE: {bundle} cannot be used: {error}") from error
    context.set_alpn_protocols(("http/1.1",))
    return context
