"""What the store answers besides bytes: JSON, and errors: `{"error": "<Word>", "message"}`."""

from __future__ import annotations

import json
from http import HTTPStatus

from aiohttp import web


class Refusal(Exception):
    """An error answer."""

    def __init__(self, status: HTTPStatus, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message


def error_answer(refusal: Refusal) -> web.Response:
    """A refusal as HTTP."""
    return json_answer(refusal.status, {"error": refusal.error, "message": refusal.message})


def json_answer(status: HTTPStatus, body: object) -> web.Response:
    """Any JSON."""
    return web.Response(status=status, text=json.dumps(body), content_type="application/json")
