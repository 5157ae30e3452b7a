"""Alias: a name for one version of a function, or for a weighted pair."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from klambda_core.crd.access import EventInvokeConfig, FunctionUrl, Policy
from klambda_core.crd.base import (
    MAP_ATOMIC,
    Column,
    Definition,
    KubeObject,
    Model,
    cel,
    list_map,
    rule,
)
from klambda_core.crd.status import (
    Conditions,
    ProvisionedOfAlias,
    UrlAddress,
    WeightedVersion,
)
from klambda_core.kinds import ALIAS
from klambda_core.limits import ALIAS_NAME_MAX, ALIAS_NAME_PATTERN, DESCRIPTION_MAX, OBJECT_NAME_MAX

_WEIGHTS = "self.routingConfig.additionalVersionWeights"
_PAIR = f"has(self.functionVersion) && has(self.routingConfig) && has({_WEIGHTS})"


class RoutingConfig(Model):
    """A second version that takes a share of the requests."""

    additional_version_weights: dict[str, Annotated[float, Field(ge=0.0, le=1.0)]] | None = Field(
        None,
        max_length=1,
        description="One other version's number and its share from 0 to 1.",
        json_schema_extra=MAP_ATOMIC
        | cel(
            rule(
                "self.all(k, k.matches('^[0-9]+$'))",
                "routingConfig.additionalVersionWeights: the key is a version's number",
            )
        ),
    )


class AliasSpec(Model):
    """Where the alias points."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule(
                "has(self.functionVersion) != has(self.track)",
                "give one of functionVersion and track",
            ),
            rule(
                f"!({_PAIR}) || self.functionVersion != '$LATEST'",
                "routingConfig: $LATEST cannot share an alias with another version",
            ),
            rule(
                f"!({_PAIR}) || !(self.functionVersion in {_WEIGHTS})",
                "routingConfig: the other version must differ from functionVersion",
            ),
            rule(
                "self.functionRef == oldSelf.functionRef && self.name == oldSelf.name",
                "functionRef and name cannot change: delete and create the alias",
            ),
        )
    )

    function_ref: str = Field(
        min_length=1, max_length=OBJECT_NAME_MAX, description="Name of the Function object."
    )
    name: str = Field(
        min_length=1,
        max_length=ALIAS_NAME_MAX,
        pattern=ALIAS_NAME_PATTERN,
        description="The alias's name in Lambda's API; not all digits.",
        json_schema_extra=cel(
            rule("!self.matches('^[0-9]+$')", "name: digits alone are a version's number")
        ),
    )
    function_version: (
        Annotated[str, Field(max_length=16, pattern=r"^(\$LATEST|[0-9]+)$")] | None
    ) = Field(None, description="A version's number in quotes, or $LATEST.")
    track: Literal["LatestPublished"] | None = Field(
        None, description="LatestPublished follows the newest version in place of functionVersion."
    )
    description: Annotated[str, Field(max_length=DESCRIPTION_MAX)] = Field(
        "", description="Free text."
    )
    routing_config: RoutingConfig | None = Field(
        None, description="A second version with a share of the requests."
    )
    provisioned_concurrent_executions: int | None = Field(
        None, ge=1, description="Instances that are kept initialised, split by weight."
    )
    event_invoke_config: EventInvokeConfig | None = Field(
        None, description="Asynchronous invocation."
    )
    url: FunctionUrl | None = Field(None, description="The alias's URL.")
    policy: Policy | None = Field(None, description="Resource policy, one entry per statement.")


class AliasStatus(Model):
    """Where the alias leads now."""

    observed_generation: int | None = Field(
        None, ge=0, description="The generation that the operator has seen."
    )
    versions: list[WeightedVersion] | None = Field(
        None,
        max_length=2,
        description="Targets with their shares.",
        json_schema_extra=list_map("version"),
    )
    provisioned_concurrency: ProvisionedOfAlias | None = Field(
        None, description="What is kept initialised."
    )
    url: UrlAddress | None = Field(None, description="The address of the alias's URL.")
    conditions: Conditions = Field(default_factory=list)


class Alias(KubeObject):
    """A name for a version of a function, or for two of them with weights."""

    DEFINITION: ClassVar[Definition] = Definition(
        kind=ALIAS,
        singular="alias",
        short_names=("fna",),
        columns=(
            Column(name="Function", path=".spec.functionRef", description="The Function object"),
            Column(name="Alias", path=".spec.name", description="The name in Lambda's API"),
            Column(name="Version", path=".spec.functionVersion"),
            Column(name="Ready", path=".status.conditions[?(@.type=='Ready')].status"),
            Column(name="Reason", path=".status.conditions[?(@.type=='Ready')].reason"),
            Column(name="Targets", path=".status.versions[*].version", priority=1),
            Column(name="URL", path=".status.url", priority=1),
            Column(
                name="Message", path=".status.conditions[?(@.type=='Ready')].message", priority=1
            ),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
        selectable=(".spec.functionRef",),
    )

    spec: AliasSpec
    status: AliasStatus = Field(default_factory=AliasStatus)
