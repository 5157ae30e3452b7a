"""Version: a published, immutable snapshot of a function, and what Lambda lets change on it."""

from typing import Annotated, ClassVar

from pydantic import Field

from klambda_core.crd.access import EventInvokeConfig, Policy, RuntimeManagement
from klambda_core.crd.base import LIST_ATOMIC, Column, Definition, KubeObject, Model, cel, rule
from klambda_core.crd.code import Blob, Image
from klambda_core.crd.configuration import Configuration
from klambda_core.crd.pod import PodSettings
from klambda_core.crd.status import (
    Active,
    Conditions,
    Failed,
    ProvisionedStatus,
    ResolvedLayer,
    WarmPlace,
)
from klambda_core.kinds import VERSION
from klambda_core.limits import (
    DESCRIPTION_MAX,
    FUNCTION_NAME_MAX,
    FUNCTION_NAME_PATTERN,
    LAYERS_MAX,
    OBJECT_NAME_MAX,
    VERSION_NUMBER_MAX,
)

# name == functionRef + '-v' + string(version), in words whose cost the API server can bound
_NUMBER = "self.metadata.name.substring(size(self.spec.functionRef) + 2)"
_NAME_RULE = (
    "self.metadata.name.startsWith(self.spec.functionRef + '-v') && "
    f"{_NUMBER}.matches('^[1-9][0-9]{{0,5}}$') && int({_NUMBER}) == self.spec.version"
)


class Snapshot(Configuration):
    """What a version froze: configuration, and digests of code and layers, never bytes."""

    function_name: str = Field(
        min_length=1,
        max_length=FUNCTION_NAME_MAX,
        pattern=FUNCTION_NAME_PATTERN,
        description="The function's name in Lambda's API.",
    )
    code: Blob | None = Field(None, description="The code.")
    image: Image | None = Field(None, description="The image (packageType Image).")
    layers: list[ResolvedLayer] | None = Field(
        None,
        max_length=LAYERS_MAX,
        description="Layer versions, in order.",
        json_schema_extra=LIST_ATOMIC,
    )
    pod: PodSettings | None = Field(None, description="Where and as whom instances run.")


class VersionSpec(Model):
    """A snapshot, whose it is, and what may change on a version."""

    function_ref: str = Field(
        min_length=1,
        max_length=OBJECT_NAME_MAX,
        description="Name of the Function object.",
        json_schema_extra=cel(rule("self == oldSelf", "functionRef cannot change")),
    )
    version: int = Field(
        ge=1,
        le=VERSION_NUMBER_MAX,
        description="The version's number.",
        json_schema_extra=cel(rule("self == oldSelf", "version cannot change")),
    )
    description: Annotated[str, Field(max_length=DESCRIPTION_MAX)] = Field(
        "", description="Free text."
    )
    snapshot: Snapshot = Field(
        description="What was frozen when the version was published; never changes.",
        json_schema_extra=cel(
            rule("self == oldSelf", "snapshot cannot change: publish a new version")
        ),
    )
    provisioned_concurrent_executions: int | None = Field(
        None, ge=1, description="Instances that are kept initialised."
    )
    event_invoke_config: EventInvokeConfig | None = Field(
        None, description="Asynchronous invocation."
    )
    policy: Policy | None = Field(None, description="Resource policy, one entry per statement.")
    runtime_management: RuntimeManagement | None = Field(None, description="Runtime updates.")


class VersionStatus(Model):
    """What became of the version."""

    observed_generation: int | None = Field(
        None, ge=0, description="The generation that the operator has seen."
    )
    active: Active | None = Field(None, description="The revision that serves.")
    failed: Failed | None = Field(None, description="Why it could not be brought into use.")
    provisioned_concurrency: ProvisionedStatus | None = Field(
        None, description="What is kept initialised."
    )
    warm: WarmPlace | None = Field(
        None, description="Where requests go while instances are provisioned; follows active."
    )
    conditions: Conditions = Field(default_factory=list)


class Version(KubeObject):
    """A published version of a function. Only few members may change afterwards."""

    DEFINITION: ClassVar[Definition] = Definition(
        kind=VERSION,
        singular="version",
        short_names=("fnv",),
        columns=(
            Column(
                name="Function",
                path=".spec.snapshot.functionName",
                description="The name in Lambda's API",
            ),
            Column(name="Version", path=".spec.version", type="integer"),
            Column(name="Runtime", path=".spec.snapshot.runtime"),
            Column(name="Ready", path=".status.conditions[?(@.type=='Ready')].status"),
            Column(name="Reason", path=".status.conditions[?(@.type=='Ready')].reason"),
            Column(name="Deployment", path=".status.active.deployment", priority=1),
            Column(
                name="Message", path=".status.conditions[?(@.type=='Ready')].message", priority=1
            ),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
        selectable=(".spec.functionRef",),
        rules=(
            rule(
                _NAME_RULE,
                "metadata.name must be <spec.functionRef>-v<spec.version>",
            ),
        ),
    )

    spec: VersionSpec
    status: VersionStatus = Field(default_factory=VersionStatus)
