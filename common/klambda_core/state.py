"""Lambda's State, LastUpdateStatus, RevisionId and LastModified, derived from an object. Pure.

State: Pending until a revision is active, Failed when the first one could not be. LastUpdateStatus:
InProgress while the wanted digest is not the active one, Failed when `status.failed` is about that
digest, else Successful. Texts: aws-contract a.4.
"""

import uuid
from dataclasses import dataclass
from typing import Literal

from klambda_core import labels
from klambda_core.clock import kube_to_lambda
from klambda_core.crd.base import KubeObject
from klambda_core.crd.function import Function
from klambda_core.crd.status import Active, Failed
from klambda_core.crd.version import Version
from klambda_core.digest import function_digest, snapshot_digest

CREATING_CODE = "Creating"
CREATING_TEXT = "The function is being created."

_NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
"""The ISO OID namespace of RFC 4122: any constant would do, but it must never change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """The state members of a FunctionConfiguration; absent members are None."""

    state: Literal["Pending", "Active", "Failed"]
    state_reason: str | None = None
    state_reason_code: str | None = None
    last_update_status: Literal["Successful", "Failed", "InProgress"] | None = None
    last_update_status_reason: str | None = None
    last_update_status_reason_code: str | None = None


def function_state(function: Function) -> Lifecycle:
    """State of `$LATEST`."""
    status = function.status
    return _derive(function_digest(function), status.active, status.failed)


def version_state(version: Version) -> Lifecycle:
    """State of a published version."""
    status = version.status
    return _derive(snapshot_digest(version.spec.snapshot), status.active, status.failed)


def last_modified(item: KubeObject) -> str:
    """The last change of code or configuration through the API, else the object's birth.

    A version has that of `$LATEST` when it was published (D: the CLI's list-versions-by-function).
    """
    annotation = item.metadata.annotations.get(labels.LAST_MODIFIED)
    return annotation or kube_to_lambda(item.metadata.creation_timestamp) or ""


def revision_id(item: KubeObject) -> str:
    """RevisionId of an object: new with every generation, nonce, published version and state.

    That a function's settling changes it too is AWS's way (aws/aws-sdk#377): whoever updates with
    a precondition reads the function again once it is Active.
    """
    meta = item.metadata
    parts = [meta.uid, meta.generation, meta.annotations.get(labels.NONCE, "")]
    match item:
        case Function():
            parts += [item.status.last_version or 0, *_settled(function_state(item))]
        case Version():
            parts += _settled(version_state(item))
    return str(uuid.uuid5(_NAMESPACE, "\n".join(str(part) for part in parts)))


def _settled(lifecycle: Lifecycle) -> list[str]:
    return [lifecycle.state, lifecycle.last_update_status or ""]


def _derive(wanted: str, active: Active | None, failed: Failed | None) -> Lifecycle:
    failure = failed if failed is not None and failed.config_digest == wanted else None
    if active is None:
        return _before_first_revision(failure)
    if active.config_digest == wanted:
        return Lifecycle(state="Active", last_update_status="Successful")
    if failure is not None:
        return Lifecycle(
            state="Active",
            last_update_status="Failed",
            last_update_status_reason=failure.message,
            last_update_status_reason_code=failure.reason_code,
        )
    return Lifecycle(
        state="Active",
        last_update_status="InProgress",
        last_update_status_reason=CREATING_TEXT,
        last_update_status_reason_code=CREATING_CODE,
    )


def _before_first_revision(failure: Failed | None) -> Lifecycle:
    if failure is None:
        return Lifecycle(
            state="Pending", state_reason=CREATING_TEXT, state_reason_code=CREATING_CODE
        )
    return Lifecycle(
        state="Failed", state_reason=failure.message, state_reason_code=failure.reason_code
    )
