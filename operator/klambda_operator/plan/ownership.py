"""Who owns a Version or Alias: the Function that it names, by an owner reference. Pure."""

from klambda_core.crd.base import KubeObject
from klambda_core.kinds import FUNCTION, Kind
from klambda_operator.model import Adopt


def belongs(child: KubeObject, function_uid: str | None) -> bool:
    """False for a child of a vanished function of the same name; it counts for nothing."""
    owner = child.controller_uid()
    return owner is None or owner == function_uid


def adopt(kind: Kind, child: KubeObject, function: str, function_uid: str | None) -> list[Adopt]:
    """Give a user-made child its owner reference, so that it goes with its function."""
    if function_uid is None or child.controller_uid() is not None:
        return []
    reference = {
        **FUNCTION.reference(function),
        "uid": function_uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    others = [each.to_json() for each in child.metadata.owner_references]
    metadata = {
        "resourceVersion": child.metadata.resource_version,
        "ownerReferences": [*others, reference],
    }
    return [Adopt(kind=kind, name=child.name, patch={"metadata": metadata})]
