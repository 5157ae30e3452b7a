"""LayerVersion: one immutable version of a layer, which functions get unpacked into `/opt`.

A deleted version stays as a hidden tombstone (`deleted`) as long as its number is the layer's
highest, because numbers are never given out twice. Functions that use a version have its digest in
their status and their versions in the snapshot, so that neither deletion nor a namesake changes
what they run.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from klambda_core.crd.base import (
    LIST_ATOMIC,
    Column,
    Definition,
    Json,
    KubeObject,
    Model,
    cel,
    list_map,
    rule,
)
from klambda_core.crd.code import Content
from klambda_core.crd.status import Conditions, ResolvedCode
from klambda_core.kinds import LAYER_VERSION
from klambda_core.limits import (
    COMPATIBLE_RUNTIMES_MAX,
    DESCRIPTION_MAX,
    LAYER_NAME_MAX,
    LAYER_NAME_PATTERN,
    LICENSE_INFO_MAX,
    VERSION_NUMBER_MAX,
)

LayerArn = Annotated[
    str,
    Field(
        max_length=256,
        pattern=r"^arn:[a-zA-Z0-9-]+:lambda:[a-z0-9-]+:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+$",
    ),
]
# in words whose cost the API server can bound
_PARTS = "self.arn.split(':')"
_OPTIONAL = ("arn", "description", "compatibleRuntimes", "compatibleArchitectures", "licenseInfo")


def _kept(member: str) -> Json:
    same = f"has(self.{member}) == has(oldSelf.{member})"
    equal = f"(!has(self.{member}) || self.{member} == oldSelf.{member})"
    return rule(f"{same} && {equal}", f"{member} cannot change: publish a new version")


class LayerPermission(Model):
    """One statement of a layer version's policy, in AddLayerVersionPermission's own members."""

    sid: str = Field(
        min_length=1,
        max_length=100,
        pattern="^[a-zA-Z0-9-_]+$",
        description="Statement id, unique in the policy.",
    )
    action: Literal["lambda:GetLayerVersion"] = Field(
        "lambda:GetLayerVersion", description="What is allowed."
    )
    principal: str = Field(
        min_length=1,
        max_length=128,
        pattern=r"^(\d{12}|\*|arn:[a-zA-Z0-9-]+:iam::\d{12}:root)$",
        description="An account, its root's ARN, or *.",
    )
    organization_id: str | None = Field(
        None, pattern="^o-[a-z0-9]{10,32}$", description="Only for this organization, with *."
    )


class LayerVersionSpec(Model):
    """A layer's name, the version's number, and what it contains."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule(
                "self.layerName == oldSelf.layerName && self.version == oldSelf.version",
                "layerName and version cannot change",
            ),
            *(_kept(member) for member in _OPTIONAL),
            rule(
                f"!has(self.arn) || ({_PARTS}[6] == self.layerName && "
                f"{_PARTS}[7].matches('^[1-9][0-9]{{0,5}}$') && int({_PARTS}[7]) == self.version)",
                "arn must end with :layer:<layerName>:<version>",
            ),
            rule(
                "!has(oldSelf.deleted) || !oldSelf.deleted || (has(self.deleted) && self.deleted)",
                "deleted cannot be taken back: publish a new version",
            ),
        )
    )

    layer_name: str = Field(
        min_length=1,
        max_length=LAYER_NAME_MAX,
        pattern=LAYER_NAME_PATTERN,
        description="The layer's name in Lambda's API.",
    )
    version: int = Field(ge=1, le=VERSION_NUMBER_MAX, description="The version's number.")
    arn: LayerArn | None = Field(
        None,
        description="The ARN by which this account's functions name it, to mirror a layer that "
        "AWS or a vendor publishes; absent: made from account, layerName and version.",
    )
    description: Annotated[str, Field(max_length=DESCRIPTION_MAX)] = Field(
        "", description="Free text."
    )
    compatible_runtimes: list[Annotated[str, Field(max_length=128)]] | None = Field(
        None,
        max_length=COMPATIBLE_RUNTIMES_MAX,
        description="Runtimes that it is made for; for listing only.",
        json_schema_extra=LIST_ATOMIC,
    )
    compatible_architectures: list[Literal["x86_64", "arm64"]] | None = Field(
        None,
        max_length=2,
        description="Architectures that it is made for; for listing only.",
        json_schema_extra=LIST_ATOMIC,
    )
    license_info: Annotated[str, Field(max_length=LICENSE_INFO_MAX)] | None = Field(
        None, description="Its licence: an identifier, an address, or the text."
    )
    content: Content = Field(
        description="What is unpacked into /opt; never changes.",
        json_schema_extra=cel(
            rule("self == oldSelf", "content cannot change: publish a new version")
        ),
    )
    policy: (
        Annotated[list[LayerPermission], Field(max_length=100, json_schema_extra=list_map("sid"))]
        | None
    ) = Field(None, description="Which other accounts may use it, one entry per statement.")
    deleted: bool | None = Field(
        None,
        description="True: a tombstone. It keeps the number taken; nobody new can use the version.",
    )


class LayerVersionStatus(Model):
    """What became of the layer version."""

    observed_generation: int | None = Field(
        None, ge=0, description="The generation that the gateway has seen."
    )
    arn: Annotated[str, Field(max_length=256)] | None = Field(
        None, description="The ARN by which functions name it."
    )
    content: ResolvedCode | None = Field(
        None, description="The content that an explicit source led to."
    )
    conditions: Conditions = Field(default_factory=list)


class LayerVersion(KubeObject):
    """A version of a layer: files for /opt that several functions share."""

    DEFINITION: ClassVar[Definition] = Definition(
        kind=LAYER_VERSION,
        singular="layerversion",
        short_names=("lyr",),
        columns=(
            Column(name="Layer", path=".spec.layerName", description="The name in Lambda's API"),
            Column(name="Version", path=".spec.version", type="integer"),
            Column(name="Ready", path=".status.conditions[?(@.type=='Ready')].status"),
            Column(name="Reason", path=".status.conditions[?(@.type=='Ready')].reason"),
            Column(name="Deleted", path=".spec.deleted", type="boolean"),
            Column(name="ARN", path=".status.arn", priority=1),
            Column(
                name="Message", path=".status.conditions[?(@.type=='Ready')].message", priority=1
            ),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
        selectable=(".spec.layerName",),
    )

    spec: LayerVersionSpec
    status: LayerVersionStatus = Field(default_factory=LayerVersionStatus)
