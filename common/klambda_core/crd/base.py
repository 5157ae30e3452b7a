"""What all object models share: camelCase JSON, strictness, absent not null, marks for the CRD.

The models are the single source of the CRDs (tools/crdgen.py reads them) and of what operator and
gateway read and write. A member that is not given is absent, never null. Unknown members are
ignored on reading, so that objects of a newer schema stay readable; they survive writes because
nobody writes whole objects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from klambda_core.kinds import Kind

Json = dict[str, Any]


class Model(BaseModel):
    """Base of every member: strict types, camelCase on the wire, immutable in Python."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        strict=True,
        frozen=True,
        extra="ignore",
    )

    def to_json(self) -> Json:
        """The member as JSON, absent members left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def rule(
    expression: str, message: str, *, field_path: str | None = None, reason: str | None = None
) -> Json:
    """One CEL validation; the message names the field, because users read nothing else."""
    entry = {"rule": expression, "message": message, "fieldPath": field_path, "reason": reason}
    return {key: value for key, value in entry.items() if value is not None}


def cel(*rules: Json) -> Json:
    """`json_schema_extra` for a field or model with CEL validations."""
    return {"x-kubernetes-validations": list(rules)}


def list_map(*keys: str) -> Json:
    """`json_schema_extra` of a list that merges by the given members."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


LIST_SET: Json = {"x-kubernetes-list-type": "set"}
LIST_ATOMIC: Json = {"x-kubernetes-list-type": "atomic"}
MAP_ATOMIC: Json = {"x-kubernetes-map-type": "atomic"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of `kubectl get`; priority 1 shows only with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What the CRD says beside the schema."""

    kind: Kind
    singular: str
    short_names: Sequence[str]
    columns: Sequence[Column]
    selectable: Sequence[str] = ()
    rules: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


class OwnerReference(Model):
    """metav1.OwnerReference."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Model):
    """The members of metav1.ObjectMeta that Klambda reads."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str | None = None
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owner_references: list[OwnerReference] = Field(default_factory=list)


class KubeObject(Model):
    """Base of our kinds."""

    DEFINITION: ClassVar[Definition]

    metadata: ObjectMeta

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """An object from the API's JSON. Raises pydantic.ValidationError."""
        return cls.model_validate(body)

    @property
    def namespace(self) -> str:
        """The object's namespace: the AWS account."""
        return self.metadata.namespace

    @property
    def name(self) -> str:
        """The object's name, which is not always the AWS name."""
        return self.metadata.name

    @property
    def uid(self) -> str:
        """What tells an object from its namesake of yesterday."""
        return self.metadata.uid

    @property
    def deleting(self) -> bool:
        """A deleted object that the API server still shows is absent to users."""
        return self.metadata.deletion_timestamp is not None

    def controller_uid(self) -> str | None:
        """The uid of the owner that controls this object."""
        return next((o.uid for o in self.metadata.owner_references if o.controller), None)
