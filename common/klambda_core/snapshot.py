"""PublishVersion as a pure function: from a function and its versions to the next Version.

Used by every way of publishing (API, `publish`, `autoPublish`). The caller claims the number on
`status.lastVersion` with a resourceVersion precondition before it creates the object; numbers only
grow and are never used again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from klambda_core import labels
from klambda_core.code import CodeRef, Unresolved, resolved_code
from klambda_core.crd.base import Json
from klambda_core.crd.code import Blob, Image
from klambda_core.crd.configuration import Configuration
from klambda_core.crd.function import Function
from klambda_core.crd.status import ResolvedLayer
from klambda_core.crd.version import Snapshot, Version, VersionSpec
from klambda_core.digest import function_digest, snapshot_digest
from klambda_core.kinds import FUNCTION, VERSION
from klambda_core.layers import resolved_layers
from klambda_core.names import version_name
from klambda_core.state import last_modified


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """Nothing changed since this version was published: it is the answer."""

    version: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """The number to claim and the Version to create."""

    number: int
    manifest: Json


def publish(
    function: Function,
    versions: Sequence[Version],
    *,
    description: str | None = None,
) -> Unchanged | NewVersion | Unresolved:
    """What publishing `$LATEST` now means. `versions`: those that exist and belong to this uid."""
    code = resolved_code(function)
    if isinstance(code, Unresolved):
        return code
    layers = resolved_layers(function)
    if isinstance(layers, Unresolved):
        return layers
    living = [v for v in versions if not v.deleting]
    last = max(living, key=lambda v: v.spec.version, default=None)
    if last is not None and snapshot_digest(last.spec.snapshot) == function_digest(function):
        return Unchanged(version=last)
    highest = max((v.spec.version for v in versions), default=0)
    number = max(function.status.last_version or 0, highest) + 1
    spec = VersionSpec(
        function_ref=function.name,
        version=number,
        description=function.spec.description if description is None else description,
        snapshot=snapshot_of(function, code, layers),
    )
    return NewVersion(number=number, manifest=_manifest(function, spec))


def snapshot_of(
    function: Function, code: CodeRef | Image, layers: Sequence[ResolvedLayer]
) -> Snapshot:
    """What a version freezes: the configuration, digests of code and layers, never bytes."""
    shared = {name: getattr(function.spec, name) for name in Configuration.model_fields}
    return Snapshot(
        **shared,
        function_name=function.aws_name,
        code=_blob(code) if isinstance(code, CodeRef) else None,
        image=Image(**_image_members(code)) if isinstance(code, Image) else None,
        layers=list(layers) or None,
        pod=function.spec.pod,
    )


def _blob(code: CodeRef) -> Blob:
    return Blob(sha256=code.sha256, size=code.size, unzipped=code.unzipped)


def _image_members(image: Image) -> dict[str, Any]:
    """The members without `source`, which is about the function's spec."""
    return {name: getattr(image, name) for name in Image.model_fields}


def owner_reference(function: Function) -> Json:
    """By this reference versions and aliases go with their function."""
    return {
        **FUNCTION.reference(function.name),
        "uid": function.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _manifest(function: Function, spec: VersionSpec) -> Json:
    name = version_name(function.name, spec.version)
    return {
        "apiVersion": VERSION.api_version,
        "kind": VERSION.kind,
        "metadata": {
            "name": name,
            "namespace": function.namespace,
            "labels": {labels.FUNCTION: function.name},
            "annotations": {labels.LAST_MODIFIED: last_modified(function)},
            "ownerReferences": [owner_reference(function)],
        },
        "spec": spec.to_json(),
    }
