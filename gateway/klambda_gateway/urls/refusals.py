"""What the platform answers in the function's stead: statuses, texts, headers.

Place: raised in ``urls.door``, answered there. Invariants: pure; a refusal says no more than AWS's
does: whoever calls a public address learns nothing about why a function cannot run; what was
refused before any function was asked for bears no trace.
Sources: aws-contract d; answers of AWS that people have published (S): issue 494 of awsdocs'
aws-lambda-developer-guide (the sentence, since October 2025), and several for the errors of
signatures and of size; texts marked O are ours.
"""

from __future__ import annotations

from http import HTTPStatus

from klambda_core.errors import LambdaError, request_too_big
from klambda_core.limits import PAYLOAD_SYNC_MAX
from klambda_gateway.urls.response import JSON_TYPE, Answer, Head


class Refused(Exception):
    """The platform answers in the function's stead."""

    def __init__(self, status: int, body: bytes, *, error: str = "", traced: bool = True):
        super().__init__(body.decode())
        headers = [("content-type", JSON_TYPE)]
        if error:
            headers.append(("x-amzn-ErrorType", error))
        self.answer = Answer(head=Head(status=status, headers=headers), body=body, traced=traced)


def unknown() -> Refused:
    """No such URL."""
    return Refused(
        HTTPStatus.FORBIDDEN, b'{"Message":null}', error="AccessDeniedException", traced=False
    )


def forbidden() -> Refused:
    """Not signed, or not let in by the policy (S)."""
    return Refused(
        HTTPStatus.FORBIDDEN,
        b'{"Message":"Forbidden. For troubleshooting Function URL authorization issues, see: '
        b'https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"}',
        error="AccessDeniedException",
        traced=False,
    )


def unproven(error: LambdaError) -> Refused:
    """Wrongly signed: as the API says it (S)."""
    return Refused(error.status, error.body(), error=error.error.name, traced=False)


def failed() -> Refused:
    """The function failed, timed out or returned what is no answer."""
    return Refused(HTTPStatus.BAD_GATEWAY, b"Internal Server Error")


def unavailable() -> Refused:
    """No instance, or no room for the request's body (O)."""
    return Refused(
        HTTPStatus.SERVICE_UNAVAILABLE,
        b'{"Message":"Service Unavailable"}',
        error="ServiceUnavailableException",
    )


def too_large() -> Refused:
    """The request, or the event made of it, is over 6 MB (D: recorded with its header)."""
    error = request_too_big(PAYLOAD_SYNC_MAX, "InvokeFunction")
    return Refused(error.status, error.body(), error=error.error.name)


def translated(error: LambdaError) -> Refused:
    """What a client is told when the function did not run; throttles keep Lambda's body."""
    match error.status:
        case HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return Refused(error.status, error.body(), error=error.error.name)
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return unavailable()  # why is not the public's business
        case _:
            return failed()
