"""Pages of other origins may call the API: a console in a browser.

Place: around the API's application, inside of function URLs (those have CORS settings of their
own). Invariants: only the origins that the chart names; a preflight is answered without a
signature, because browsers send none; cookies are never part of it. Not here: who the caller is.
Source: Fetch standard, "CORS protocol".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH")
EXPOSED: Final = (
    "x-amzn-RequestId",
    "x-amzn-ErrorType",
    "X-Amz-Function-Error",
    "X-Amz-Executed-Version",
    "X-Amz-Log-Result",
    "X-Amzn-Trace-Id",
    "Retry-After",
)
"""What AWS's SDK for browsers reads of an answer."""
PREFLIGHT_S: Final = 600


def admit(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of these origins in; ``*``: of all."""
    if not origins:
        return
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=["*"],  # the SDKs' headers differ by version: whatever is asked for
        expose_headers=EXPOSED,
        max_age=PREFLIGHT_S,
    )
