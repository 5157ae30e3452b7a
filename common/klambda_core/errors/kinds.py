"""What a refusal is: the service's exceptions, their bodies, and texts of any wording.

Sources of the types: M (botocore's model) unless said; letters as in the package's docstring.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MessageKey = Literal["message", "Message"]
Fault = Literal["User", "Service"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorType:
    """One exception of the service: its name, HTTP status and how its body is spelt."""

    name: str
    status: int
    message_key: MessageKey = "message"
    type_member: Fault | None = "User"


class LambdaError(Exception):
    """A refusal, complete: what the client gets is a pure function of it."""

    def __init__(
        self,
        error: ErrorType,
        message: str | None,
        *,
        reason: str | None = None,
        retry_after: int | None = None,
        typed: bool = True,
    ) -> None:
        """``reason``: member ``Reason`` (throttles). ``typed=False`` leaves ``Type`` out."""
        super().__init__(f"{error.name}: {message}")
        self.error = error
        self.message = message
        self.reason = reason
        self.retry_after = retry_after
        self.typed = typed

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.error.status

    def members(self) -> dict[str, str | None]:
        """The body's members, in the order AWS sends them."""
        members: dict[str, str | None] = {}
        if self.reason is not None:
            members["Reason"] = self.reason
        if self.typed and self.error.type_member is not None:
            members["Type"] = self.error.type_member
        members[self.error.message_key] = self.message
        return members

    def body(self) -> bytes:
        """The body, JSON."""
        return json.dumps(self.members(), ensure_ascii=False, separators=(",", ":")).encode()

    def headers(self) -> dict[str, str]:
        """The headers that belong to the error (not the request id)."""
        headers = {"Content-Type": "application/json", "x-amzn-ErrorType": self.error.name}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return headers


# --- the types (M unless said) --------------------------------------------------------------------

INVALID_PARAMETER_VALUE = ErrorType(name="InvalidParameterValueException", status=400)
INVALID_REQUEST_CONTENT = ErrorType(name="InvalidRequestContentException", status=400)
CODE_STORAGE_EXCEEDED = ErrorType(name="CodeStorageExceededException", status=400)
POLICY_LENGTH_EXCEEDED = ErrorType(name="PolicyLengthExceededException", status=400)
RESOURCE_NOT_FOUND = ErrorType(name="ResourceNotFoundException", status=404, message_key="Message")
CODE_VERIFICATION_FAILED = ErrorType(
    name="CodeVerificationFailedException", status=400, message_key="Message"
)
CODE_SIGNING_CONFIG_NOT_FOUND = ErrorType(
    name="CodeSigningConfigNotFoundException", status=404, message_key="Message"
)
PROVISIONED_CONCURRENCY_NOT_FOUND = ErrorType(
    name="ProvisionedConcurrencyConfigNotFoundException", status=404
)
RESOURCE_CONFLICT = ErrorType(name="ResourceConflictException", status=409)
PRECONDITION_FAILED = ErrorType(name="PreconditionFailedException", status=412)
UNSUPPORTED_MEDIA_TYPE = ErrorType(name="UnsupportedMediaTypeException", status=415)
TOO_MANY_REQUESTS = ErrorType(name="TooManyRequestsException", status=429)
SERVICE = ErrorType(
    name="ServiceException", status=500, message_key="Message", type_member="Service"
)
RESOURCE_NOT_READY = ErrorType(name="ResourceNotReadyException", status=502, type_member="Service")
INVALID_ZIP_FILE = ErrorType(
    name="InvalidZipFileException", status=502, message_key="Message", type_member="Service"
)

# Unmodelled: made by the framework in front of the service (L; no ``Type``).
VALIDATION = ErrorType(name="ValidationException", status=400, type_member=None)
SERIALIZATION = ErrorType(name="SerializationException", status=400, type_member=None)
REQUEST_ENTITY_TOO_LARGE = ErrorType(
    name="RequestEntityTooLargeException", status=413, message_key="Message", type_member=None
)
UNKNOWN_OPERATION = ErrorType(name="UnknownOperationException", status=404, type_member=None)
ACCESS_DENIED = ErrorType(
    name="AccessDeniedException", status=403, message_key="Message", type_member=None
)
MISSING_AUTHENTICATION_TOKEN = ErrorType(
    name="MissingAuthenticationTokenException", status=403, type_member=None
)
UNRECOGNIZED_CLIENT = ErrorType(name="UnrecognizedClientException", status=403, type_member=None)
INVALID_SIGNATURE = ErrorType(name="InvalidSignatureException", status=403, type_member=None)
INCOMPLETE_SIGNATURE = ErrorType(name="IncompleteSignatureException", status=403, type_member=None)
REQUEST_TIMEOUT = ErrorType(name="RequestTimeoutException", status=408, type_member=None)
HEAD_TOO_LARGE = ErrorType(
    name="RequestHeaderSectionTooLargeException", status=431, type_member=None
)
NOT_IMPLEMENTED = ErrorType(name="NotImplementedException", status=501, type_member=None)
VERSION_NOT_SUPPORTED = ErrorType(
    name="HttpVersionNotSupportedException", status=505, type_member=None
)
EXPIRED_TOKEN = ErrorType(name="ExpiredTokenException", status=403, type_member=None)
SERVICE_UNAVAILABLE = ErrorType(
    name="ServiceUnavailableException", status=503, message_key="Message", type_member="Service"
)

CATALOGUE: Mapping[str, ErrorType] = {
    value.name: value for value in list(globals().values()) if isinstance(value, ErrorType)
}

# Members ``Reason`` of TooManyRequestsException (M, shape ThrottleReason).
REASON_RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"
REASON_ACCOUNT = "ConcurrentInvocationLimitExceeded"
REASON_RATE = "FunctionInvocationRateLimitExceeded"
REASON_RESERVED_RATE = "ReservedFunctionInvocationRateLimitExceeded"
REASON_CALLER = "CallerRateLimitExceeded"


# --- any text -------------------------------------------------------------------------------------


def invalid_parameter(message: str) -> LambdaError:
    """The service's own validation, any text."""
    return LambdaError(INVALID_PARAMETER_VALUE, message)


def not_found(message: str) -> LambdaError:
    """A resource is missing, any text."""
    return LambdaError(RESOURCE_NOT_FOUND, message)


def conflict(message: str) -> LambdaError:
    """The resource's present state forbids it, any text."""
    return LambdaError(RESOURCE_CONFLICT, message)


def over_quota(message: str) -> LambdaError:
    """The account's concurrency does not allow it; such answers carry no ``Type`` (L)."""
    return LambdaError(INVALID_PARAMETER_VALUE, message, typed=False)
