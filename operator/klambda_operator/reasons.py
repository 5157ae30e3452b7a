"""Types, reasons and sentences of the operator's conditions. Every message says what to do.

A reason is one PascalCase word for programs, a message is for people. Reason codes are Lambda's,
for `status.failed`.
"""

from collections.abc import Sequence
from typing import Final

# Condition types that the operator owns
READY: Final = "Ready"
IMAGE_RESOLVED: Final = "ImageResolved"
DEPLOYMENT_APPLIED: Final = "DeploymentApplied"
RUNTIME_SUBSTITUTED: Final = "RuntimeSubstituted"
NAME_TAKEN: Final = "NameTaken"
TARGETS_EXIST: Final = "TargetsExist"
CONCURRENCY_OVERCOMMITTED: Final = "ConcurrencyOvercommitted"
PROVISIONED_TWICE: Final = "ProvisionedTwice"

# Reasons
OK: Final = "AsExpected"
BLOCKED: Final = "Blocked"
INVALID_OBJECT: Final = "InvalidObject"
INVALID_CONFIGURATION: Final = "InvalidConfiguration"
UNKNOWN_RUNTIME: Final = "UnknownRuntime"
NO_ENTRY_POINT: Final = "NoEntryPoint"
NO_INIT: Final = "NoInitImage"
NAME_CONFLICT: Final = "NameConflict"
APPLY_FAILED: Final = "ApplyFailed"
BEING_DELETED: Final = "BeingDeleted"
FUNCTION_MISSING: Final = "FunctionMissing"
TARGET_MISSING: Final = "TargetMissing"
NO_VERSION: Final = "NoVersion"
SUBSTITUTED: Final = "OtherRuntime"
NOT_SUBSTITUTED: Final = "SameRuntime"
NAME_FREE: Final = "NameFree"
RESERVED_BY_OTHERS: Final = "ReservedByOthers"
VERSION_PROVISIONED: Final = "VersionProvisioned"

# Lambda's reason codes (botocore model: StateReasonCode, LastUpdateStatusReasonCode)
CODE_INVALID_RUNTIME: Final = "InvalidRuntime"
CODE_INVALID_CONFIGURATION: Final = "InvalidConfiguration"
CODE_INVALID_ZIP: Final = "InvalidZipFileException"
CODE_INTERNAL: Final = "InternalError"
CODE_INVALID_IMAGE: Final = "InvalidImage"
CODES_OF_IMAGES: Final = {
    "ImageNotFound": "ImageDeleted",
    "ImageAccessDenied": "ImageAccessDenied",
    "InvalidImage": CODE_INVALID_IMAGE,
    "RegistryNotAllowed": "ImageAccessDenied",
}
"""By reason of CodeResolved: what the gateway finds out about an image."""


def unknown_runtime(runtime: str, known: list[str]) -> str:
    """No image runs this."""
    return (
        f"No image runs {runtime!r} here. Use one of {', '.join(sorted(known)) or '(none)'}, "
        "or add a row to the chart's runtimes."
    )


def no_entry_point(image: str) -> str:
    """Nothing says what to run."""
    return f"Image {image} has neither ENTRYPOINT nor CMD: give one in spec.imageConfig."


def no_init(image: str) -> str:
    """The installation has no image to take init from."""
    return (
        f"Image {image} does not carry Klambda's init, and the chart's images.init is empty: set "
        "it, or copy /klambda/init and its label into the image."
    )


def environment_too_big(size: int, limit: int) -> str:
    """The variables together exceed Lambda's quota."""
    return (
        f"The environment variables take {size} bytes of the {limit} allowed; "
        "make spec.environment.variables smaller."
    )


def name_conflict(deployment: str) -> str:
    """A stranger has our name."""
    return (
        f"Deployment {deployment} exists and belongs to someone else; it is left alone. "
        "Delete or rename it."
    )


def name_taken(name: str, winner: str) -> str:
    """An older function has the name."""
    return (
        f"Function {winner} is older and has the name {name}. "
        "Give this one another spec.functionName, or delete one of the two."
    )


def alias_taken(name: str, winner: str) -> str:
    """An older alias object has the name."""
    return f"Alias {winner} is older and has the name {name}. Delete one of the two."


def function_missing(function: str) -> str:
    """functionRef leads nowhere."""
    return f"There is no Function {function} in this namespace; create it, or correct functionRef."


def target_missing(version: str) -> str:
    """An alias points to a version that does not exist."""
    return f"There is no version {version}; publish it, or point the alias to another."


def apply_failed(message: str) -> str:
    """The API server refuses the Deployment."""
    return f"The Deployment was refused: {message}"


def invalid_object(message: str) -> str:
    """The stored object does not fit the schema of this release."""
    return f"The object does not fit this release's schema: {message}"


def substituted(actual: str) -> str:
    """Another runtime runs the function."""
    return f"The runtime that was asked for has no image here; {actual} runs the function."


def overcommitted(wanted: int, left: int) -> str:
    """Older functions have reserved what this one wants."""
    return (
        f"{wanted} concurrent executions are reserved, but older functions leave {left} of the "
        "account's; lower reservedConcurrentExecutions here or there."
    )


def provisioned_twice(versions: Sequence[int]) -> str:
    """An alias and a version that it leads to are both provisioned."""
    numbers = ", ".join(str(number) for number in versions)
    return (
        f"Version {numbers} has provisioned concurrency of its own; "
        "take provisionedConcurrentExecutions away there or here."
    )
