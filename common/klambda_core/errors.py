"""The one catalogue of errors that Lambda's API answers with.

Place: everything that refuses a request raises ``LambdaError``; the gateway renders it once, at its
edge. Invariants: status, the case of the message key and ``Type`` are those of AWS's own service
model (a test compares them with botocore's); each text stands here once, with its source.
Sources: M = botocore's model 2015-03-31, D = AWS's developer guide and API reference, L = texts
reported by public emulators' authors who compared them with AWS, K = general knowledge of AWS's
behaviour, unconfirmed, O = our own words where AWS has no such case.
Not here: shape validation (the gateway's ``api.validation`` makes those texts from the model).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
REQUEST_TOO_LARGE = ErrorType(name="RequestTooLargeException", status=413)
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
REQUEST_ENTITY_TOO_LARGE = ErrorType(name="RequestEntityTooLargeException", status=413)
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


# --- generic constructors -------------------------------------------------------------------------


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


def validation(problems: Sequence[str]) -> LambdaError:
    """The framework's shape validation: all problems of one request (L)."""
    noun = "error" if len(problems) == 1 else "errors"
    text = f"{len(problems)} validation {noun} detected: {'; '.join(problems)}"
    return LambdaError(VALIDATION, text)


def serialization(message: str) -> LambdaError:
    """The body is not what the protocol says (L)."""
    return LambdaError(SERIALIZATION, message)


def service(message: str = "An error occurred and the request cannot be processed.") -> LambdaError:
    """Our fault (O)."""
    return LambdaError(SERVICE, message)


def unavailable(message: str) -> LambdaError:
    """Our fault, and worth another try: SDKs retry a 503 (O)."""
    return LambdaError(SERVICE_UNAVAILABLE, message)


# --- functions, qualifiers ------------------------------------------------------------------------


def function_not_found(arn: str) -> LambdaError:
    """No such function, version or alias; the ARN as asked for, qualifier included (L)."""
    return not_found(f"Function not found: {arn}")


def other_region(asked: str, ours: str) -> LambdaError:
    """The name is an ARN of another region (L)."""
    return not_found(f"Functions from '{asked}' are not reachable in this region ('{ours}')")


def other_account() -> LambdaError:
    """The name is an ARN of another account (L: the message is null)."""
    return LambdaError(ACCESS_DENIED, None)


def qualifier_mismatch() -> LambdaError:
    """Qualifier in the name and as a parameter, and different (L)."""
    return invalid_parameter(
        "The derived qualifier from the function name does not match the specified qualifier."
    )


def only_latest() -> LambdaError:
    """An update of a published version (D: recorded in appleboy/lambda-action#6; its end K)."""
    return invalid_parameter(
        "Current operation does not support versions other than $LATEST. Please set the version to "
        "$LATEST or do not set a version in your request."
    )


def resource_not_found() -> LambdaError:
    """URL configs, layers, event source mappings, policies (L)."""
    return not_found("The resource you requested does not exist.")


def function_exists(name: str) -> LambdaError:
    """CreateFunction under a taken name; AWS's own grammar (L)."""
    return conflict(f"Function already exist: {name}")


def update_in_progress(arn: str) -> LambdaError:
    """A change while the last one has not settled (D, K)."""
    return conflict(
        "The operation cannot be performed at this time. "
        f"An update is in progress for resource: {arn}"
    )


def wrong_state(state: str) -> LambdaError:
    """Invoke or change of a function that is Pending or Failed (K)."""
    return conflict(
        "The operation cannot be performed at this time. "
        f"The function is currently in the following state: {state}"
    )


def revision_mismatch(call: str = "GetFunction/GetAlias") -> LambdaError:
    """RevisionId does not match (L); ``call`` is what AWS tells to call."""
    return LambdaError(
        PRECONDITION_FAILED,
        "The Revision Id provided does not match the latest Revision Id. "
        f"Call the {call} API to retrieve the latest Revision Id",
    )


def latest_not_deletable() -> LambdaError:
    """DeleteFunction with qualifier $LATEST (L)."""
    return invalid_parameter("$LATEST version cannot be deleted without deleting the function.")


def alias_not_deletable_here() -> LambdaError:
    """DeleteFunction with an alias as its qualifier (L)."""
    return invalid_parameter("Deletion of aliases is not currently supported.")


def version_aliased(aliases: Sequence[str]) -> LambdaError:
    """DeleteFunction of a version that aliases point to (D: recorded in clean-up tools' issues)."""
    return conflict(
        "Unable to delete version because the following aliases reference it: "
        f"[{', '.join(aliases)}]"
    )


def statement_exists(sid: str) -> LambdaError:
    """AddPermission with a statement id that the policy has (L)."""
    return conflict(
        f"The statement id ({sid}) provided already exists. Please provide a new statement id, or "
        "remove the existing statement."
    )


def unsupported(operation: str) -> LambdaError:
    """An operation that AWS has and this installation does not (O)."""
    return invalid_parameter(f"The operation {operation} is not supported by this installation.")


def alias_not_found(arn: str) -> LambdaError:
    """No such alias, in the words of GetAlias and of settings per qualifier (L)."""
    return not_found(f"Cannot find alias arn: {arn}")


def policy_too_long(size: int, limit: int) -> LambdaError:
    """A resource policy over its limit (D: recorded in adobe/helix-deploy#24)."""
    return LambdaError(
        POLICY_LENGTH_EXCEEDED,
        f"The final policy size ({size}) is bigger than the limit ({limit}).",
    )


def no_provisioned_concurrency() -> LambdaError:
    """Nothing is provisioned on this qualifier (L)."""
    return LambdaError(
        PROVISIONED_CONCURRENCY_NOT_FOUND,
        "No Provisioned Concurrency Config found for this function",
    )


# --- configuration and code -----------------------------------------------------------------------


def role_not_assumable() -> LambdaError:
    """A role that does not trust the function to take it (K)."""
    return invalid_parameter("The role defined for the function cannot be assumed by Lambda.")


def unknown_runtime(runtime: str, known: Sequence[str]) -> LambdaError:
    """Not a runtime's name (L)."""
    return invalid_parameter(
        f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum "
        f"value set: [{', '.join(known)}] or be a valid ARN"
    )


def retired_runtime(runtime: str) -> LambdaError:
    """A runtime that AWS no longer creates (L)."""
    return invalid_parameter(
        f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS "
        "Lambda functions. We recommend you use a supported runtime while creating or updating "
        "functions."
    )


def environment_too_big(measured: str) -> LambdaError:
    """Variables over 4 KB; ``measured`` is their compact JSON (L)."""
    return invalid_parameter(
        "Lambda was unable to configure your environment variables because the environment "
        f"variables you have provided exceeded the 4KB limit. String measured: {measured}"
    )


def environment_reserved(keys: Sequence[str]) -> LambdaError:
    """Reserved variable names (K)."""
    return invalid_parameter(
        "Lambda was unable to configure your environment variables because the environment "
        "variables you have provided contains reserved keys that are currently not supported for "
        f"modification. Reserved keys used in this request: {', '.join(keys)}"
    )


def runtime_and_handler_needed() -> LambdaError:
    """Zip functions without one of both (K)."""
    return invalid_parameter(
        "Runtime and Handler are mandatory parameters for functions created with deployment "
        "packages."
    )


def image_without_runtime() -> LambdaError:
    """400: members of deployment packages for a container image (K)."""
    return invalid_parameter(
        "Please don't provide Handler or Runtime or Layer when the intended function PackageType "
        "is Image."
    )


def image_config_for_zip() -> LambdaError:
    """400: ImageConfig for a deployment package (K)."""
    return invalid_parameter(
        "Please don't provide ImageConfig when the intended function PackageType is Zip."
    )


def image_uri_needed(verb: str) -> LambdaError:
    """400: an image function without an image (L for ``updating``)."""
    return invalid_parameter(
        f"Please provide ImageUri when {verb} a function with packageType Image."
    )


def image_uri_unwanted(verb: str) -> LambdaError:
    """400: an image for a deployment package (L for ``updating``)."""
    return invalid_parameter(
        f"Please don't provide ImageUri when {verb} a function with packageType Zip."
    )


def image_missing(uri: str) -> LambdaError:
    """400: the registry has no such image (K)."""
    return invalid_parameter(f"Source image {uri} does not exist. Provide a valid source image.")


def image_invalid(uri: str, detail: str) -> LambdaError:
    """400: what is there is no image that could run (K; the detail is ours)."""
    return invalid_parameter(
        f"Source image {uri} is not valid. Provide a valid source image. {detail}"
    )


def image_denied() -> LambdaError:
    """403: the registry wants credentials that the installation does not have (K)."""
    return LambdaError(
        ACCESS_DENIED,
        "Lambda does not have permission to access the ECR image. Check the ECR permissions.",
    )


def bad_zip() -> LambdaError:
    """The upload is no readable zip (K)."""
    return invalid_parameter(
        "Could not unzip uploaded file. Please check your file, then try to upload again."
    )


def empty_zip() -> LambdaError:
    """The upload is empty (K)."""
    return invalid_parameter("Uploaded file must be a non-empty zip")


def unzipped_too_big(limit: int) -> LambdaError:
    """The zip unpacks to more than 250 MB (K)."""
    return invalid_parameter(f"Unzipped size must be smaller than {limit} bytes")


def zipped_too_big(limit: int) -> LambdaError:
    """A direct upload over 50 MB (L)."""
    return LambdaError(REQUEST_ENTITY_TOO_LARGE, f"Zipped size must be smaller than {limit} bytes")


def request_too_big(limit: int, operation: str) -> LambdaError:
    """The request itself over its limit (L)."""
    return LambdaError(
        REQUEST_ENTITY_TOO_LARGE,
        f"Request must be smaller than {limit} bytes for the {operation} operation",
    )


def signature_refused(function_name: str) -> LambdaError:
    """Unsigned code under a config that enforces signatures (D: recorded in aws-cdk's issues)."""
    return LambdaError(
        CODE_VERIFICATION_FAILED,
        "Lambda cannot deploy the function. The function or layer might be signed using a "
        "signature that the client is not configured to accept. Check the provided signature for "
        f"{function_name}.",
    )


# --- layers ---------------------------------------------------------------------------------------


def layer_denied(caller: str, arn: str) -> LambdaError:
    """Another account's layer version that no policy opens, or that is not there (L, K: text)."""
    return LambdaError(
        ACCESS_DENIED,
        f"User: {caller} is not authorized to perform: lambda:GetLayerVersion on resource: {arn} "
        "because no resource-based policy allows the lambda:GetLayerVersion action",
    )


def head_too_large(limit: int) -> LambdaError:
    """Request line and headers over their limit (O)."""
    return LambdaError(
        HEAD_TOO_LARGE, f"Request line and headers must be smaller than {limit} bytes"
    )


def request_timed_out() -> LambdaError:
    """A request that did not arrive in its time (O)."""
    return LambdaError(REQUEST_TIMEOUT, "The request did not arrive in time.")


# --- invoke ---------------------------------------------------------------------------------------


def payload_too_large(size: int, invocation_type: str, limit: int) -> LambdaError:
    """The event is over the limit of its invocation type (M, K)."""
    return LambdaError(
        REQUEST_TOO_LARGE,
        f"{size} byte payload is too large for the {invocation_type} invocation type "
        f"(limit {limit} bytes)",
    )


def payload_not_json(detail: str) -> LambdaError:
    """The event is not JSON; clients match the prefix, the detail is the parser's (K)."""
    return LambdaError(
        INVALID_REQUEST_CONTENT,
        "Could not parse request body into json: Could not parse payload into json: " + detail,
    )


def throttled(reason: str, *, retry_after: int | None = None) -> LambdaError:
    """No room now: one of the ``REASON_…`` (M; text L)."""
    return LambdaError(TOO_MANY_REQUESTS, "Rate Exceeded.", reason=reason, retry_after=retry_after)
