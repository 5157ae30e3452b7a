"""What a caller is told: the instance's answer in the port's words, or why there is none.

Place: ``invoke.service`` and ``invoke.search``. Invariants: pure; texts are Lambda's where Lambda
has one. Not here: what became of a request whose instance is gone (``fate``).
"""

from __future__ import annotations

from typing import Final

from klambda_core import errors
from klambda_gateway.instances.attempt import Answer
from klambda_gateway.invoke.model import InvokeAnswer
from klambda_gateway.routing.target import Target

INVALID_ZIP: Final = "InvalidZipFile"
"""init's word for code that is no zip (frame ``failed``); AWS has an exception of its own."""


def answer_of(answer: Answer, target: Target) -> InvokeAnswer:
    """Return an answer as the port has it."""
    return InvokeAnswer(
        payload=answer.payload,
        executed_version=target.executed_version,
        function_error=answer.function_error,
        log_tail=answer.log_tail,
        content_type=answer.content_type,
    )


def cannot_start(reason: str, message: str) -> errors.LambdaError:
    """Return the error of a function whose instances fail to start."""
    if reason == INVALID_ZIP:
        return errors.LambdaError(errors.INVALID_ZIP_FILE, message)
    return errors.unavailable(
        f"The function's execution environments cannot start: {reason}: {message}"
    )


def too_long(limit: float) -> errors.LambdaError:
    """Return the error of a request that waited in vain for so many seconds."""
    return errors.unavailable(f"No execution environment was free within {limit:.0f} seconds.")


def nobody_took_it() -> errors.LambdaError:
    """Return the error of a request that every instance refused."""
    return errors.unavailable("No execution environment took the request; try again.")
