"""Function: what Lambda calls a function, its `$LATEST`, and what Lambda keeps beside it."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from klambda_core.crd.access import EventInvokeConfig, FunctionUrl, Policy, RuntimeManagement
from klambda_core.crd.base import (
    LIST_ATOMIC,
    Column,
    Definition,
    KubeObject,
    Model,
    cel,
    list_map,
    rule,
)
from klambda_core.crd.code import Code
from klambda_core.crd.configuration import Configuration
from klambda_core.crd.layer import LayerArn
from klambda_core.crd.pod import PodSettings
from klambda_core.crd.status import (
    Active,
    Conditions,
    Failed,
    ResolvedCode,
    ResolvedImage,
    ResolvedLayer,
    UrlAddress,
)
from klambda_core.crd.tags import Tags
from klambda_core.kinds import FUNCTION
from klambda_core.limits import (
    FUNCTION_NAME_MAX,
    FUNCTION_NAME_PATTERN,
    LAYERS_MAX,
    OBJECT_NAME_MAX,
)

_NAME_KEPT = (
    "has(self.functionName) == has(oldSelf.functionName) && "
    "(!has(self.functionName) || self.functionName == oldSelf.functionName)"
)


class Publish(Model):
    """A wish to publish: each new id publishes a version once."""

    id: str = Field(
        min_length=1, max_length=128, description="Any text, such as a commit; a new one publishes."
    )
    description: Annotated[str, Field(max_length=256)] | None = Field(
        None, description="The version's description."
    )


class Scaling(Model):
    """How instances come and go."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule(
                "!has(self.minReplicas) || !has(self.maxReplicas) || "
                "self.minReplicas <= self.maxReplicas",
                "scaling.minReplicas cannot be above scaling.maxReplicas",
            )
        )
    )

    idle_seconds: int | None = Field(
        None,
        ge=1,
        le=86400,
        description="Idle instances are stopped after this time; the chart's value when absent.",
    )
    min_replicas: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="So many instances of $LATEST are kept though idle; versions and aliases have "
        "provisioned concurrency.",
    )
    max_replicas: int | None = Field(
        None,
        ge=1,
        le=10000,
        description="At most so many invocations at once, over all versions; more are throttled. "
        "Unlike reservedConcurrentExecutions it takes nothing from the account.",
    )
    burst_limit: int | None = Field(
        None,
        ge=1,
        le=10000,
        description="At most so many instances are started within ten seconds; requests that need "
        "more are throttled. Lambda's 1000 when absent.",
    )


class FunctionSpec(Configuration):
    """A function and its `$LATEST`: code, configuration, and what Lambda keeps beside them."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule(
                _NAME_KEPT,
                "functionName cannot change, appear or disappear: delete and create the function",
            ),
            rule(
                "self.packageType == 'Image' || (has(self.runtime) && has(self.handler))",
                "runtime and handler are required when packageType is Zip",
            ),
            rule(
                "self.packageType == 'Zip' || "
                "(!has(self.runtime) && !has(self.handler) && !has(self.layers))",
                "runtime, handler and layers cannot be given when packageType is Image",
            ),
            rule(
                "!has(self.code) || !has(self.code.imageUri) || self.packageType == 'Image'",
                "code.imageUri needs packageType Image",
            ),
            rule(
                "!has(self.imageConfig) || self.packageType == 'Image'",
                "imageConfig needs packageType Image",
            ),
        )
    )

    function_name: (
        Annotated[
            str, Field(min_length=1, max_length=FUNCTION_NAME_MAX, pattern=FUNCTION_NAME_PATTERN)
        ]
        | None
    ) = Field(
        None, description="The name in Lambda's API; metadata.name when absent. Never changes."
    )
    code: Code | None = Field(
        None, description="Where the code comes from; may be absent until CI uploads it."
    )
    layers: list[LayerArn] | None = Field(
        None,
        max_length=LAYERS_MAX,
        description="ARNs of layer versions, in order.",
        json_schema_extra=LIST_ATOMIC,
    )
    tags: Tags | None = Field(None, description="Lambda's tags.")
    reserved_concurrent_executions: int | None = Field(
        None, ge=0, description="At most so many instances at once; 0 stops the function."
    )
    url: FunctionUrl | None = Field(None, description="The function's URL.")
    event_invoke_config: EventInvokeConfig | None = Field(
        None, description="Asynchronous invocation."
    )
    policy: Policy | None = Field(None, description="Resource policy, one entry per statement.")
    code_signing_config: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="ARN of a code signing config."
    )
    recursive_loop: Literal["Terminate", "Allow"] | None = Field(
        None, description="What happens to loops; Terminate when absent."
    )
    async_paused: bool | None = Field(
        None, description="Asynchronous events are taken in and wait; none is begun."
    )
    runtime_management: RuntimeManagement | None = Field(None, description="Runtime updates.")
    publish: Publish | None = Field(
        None, description="Publishes a version once per id: how GitOps publishes."
    )
    auto_publish: bool | None = Field(None, description="Publishes a version after every change.")
    scaling: Scaling | None = Field(None, description="How instances come and go.")
    pod: PodSettings | None = Field(None, description="Where and as whom instances run.")


class Published(Model):
    """The last wish to publish that was carried out."""

    id: str = Field(max_length=128, description="The id of spec.publish.")
    version: int = Field(ge=1, description="The version that it led to.")


class FunctionStatus(Model):
    """What became of the function."""

    observed_generation: int | None = Field(
        None, ge=0, description="The generation that the operator has seen."
    )
    function_name: Annotated[str, Field(max_length=FUNCTION_NAME_MAX)] | None = Field(
        None, description="The name in Lambda's API."
    )
    code: ResolvedCode | None = Field(None, description="The code that an explicit source led to.")
    image: ResolvedImage | None = Field(None, description="The image that code.imageUri led to.")
    layers: list[ResolvedLayer] | None = Field(
        None,
        max_length=LAYERS_MAX,
        description="Contents of the layers.",
        json_schema_extra=list_map("arn"),
    )
    last_version: int | None = Field(
        None, ge=0, description="The highest version number given out."
    )
    published: Published | None = Field(None, description="The last publish that is done.")
    url: UrlAddress | None = Field(None, description="The address of the function's URL.")
    active: Active | None = Field(None, description="The revision of $LATEST that serves.")
    failed: Failed | None = Field(
        None, description="The configuration that could not be brought into use."
    )
    conditions: Conditions = Field(default_factory=list)


class Function(KubeObject):
    """A Lambda function; Lambda's API and kubectl show and change the same object."""

    DEFINITION: ClassVar[Definition] = Definition(
        kind=FUNCTION,
        singular="function",
        short_names=("fn",),
        columns=(
            Column(
                name="Function", path=".status.functionName", description="The name in Lambda's API"
            ),
            Column(name="Runtime", path=".spec.runtime"),
            Column(name="Ready", path=".status.conditions[?(@.type=='Ready')].status"),
            Column(name="Reason", path=".status.conditions[?(@.type=='Ready')].reason"),
            Column(
                name="Version",
                path=".status.lastVersion",
                type="integer",
                description="Last published version",
            ),
            Column(name="Memory", path=".spec.memorySize", type="integer", priority=1),
            Column(name="Timeout", path=".spec.timeout", type="integer", priority=1),
            Column(name="Deployment", path=".status.active.deployment", priority=1),
            Column(name="URL", path=".status.url", priority=1),
            Column(
                name="Message", path=".status.conditions[?(@.type=='Ready')].message", priority=1
            ),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
        selectable=(".spec.functionName",),
        rules=(
            rule(
                f"size(self.metadata.name) <= {OBJECT_NAME_MAX} && "
                "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
                "metadata.name: lower-case letters, digits and -, "
                f"at most {OBJECT_NAME_MAX} characters; "
                "put any other Lambda name in spec.functionName",
            ),
        ),
    )

    spec: FunctionSpec
    status: FunctionStatus = Field(default_factory=FunctionStatus)

    @property
    def aws_name(self) -> str:
        """The name in Lambda's API."""
        return self.spec.function_name or self.metadata.name
