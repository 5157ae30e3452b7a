"""Pod settings that a Function may carry: where it runs and as whom, never what runs.

Part of a revision: a change makes new instances. Tolerations and affinity pass through as
Kubernetes defines them.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from klambda_core.crd.base import LIST_ATOMIC, MAP_ATOMIC, Json, Model, cel, list_map, rule

_NAME = Annotated[str, Field(min_length=1, max_length=253)]


def _foreign_keys(where: str) -> Json:
    return cel(
        rule(
            "self.all(k, !k.startsWith('klambda.io/') && !k.startsWith('app.kubernetes.io/'))",
            f"{where}: keys of klambda.io/ and app.kubernetes.io/ belong to Klambda",
        )
    )


class Toleration(Model):
    """core/v1 Toleration."""

    key: Annotated[str, Field(max_length=316)] | None = Field(
        None, description="The taint's key; absent: all."
    )
    operator: Literal["Exists", "Equal"] | None = Field(None, description="Equal when absent.")
    value: Annotated[str, Field(max_length=63)] | None = Field(
        None, description="The taint's value."
    )
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="The effect; absent: all."
    )
    toleration_seconds: int | None = Field(None, description="How long NoExecute is tolerated.")


class PullSecret(Model):
    """A Secret with a registry's credentials."""

    name: _NAME = Field(description="The Secret's name.")


class PodSettings(Model):
    """Where and as whom the function's instances run."""

    node_selector: dict[str, Annotated[str, Field(max_length=63)]] | None = Field(
        None,
        max_length=32,
        description="Labels that the node must have.",
        json_schema_extra=MAP_ATOMIC,
    )
    tolerations: list[Toleration] | None = Field(
        None, max_length=32, description="Taints that are tolerated.", json_schema_extra=LIST_ATOMIC
    )
    affinity: dict[str, Any] | None = Field(
        None,
        description="core/v1 Affinity.",
        json_schema_extra={
            "x-kubernetes-preserve-unknown-fields": True,
            "x-kubernetes-map-type": "atomic",
        },
    )
    service_account_name: _NAME | None = Field(
        None, description="Service account; its token is never mounted, image pull secrets count."
    )
    image_pull_secrets: list[PullSecret] | None = Field(
        None, max_length=8, description="Registry credentials.", json_schema_extra=list_map("name")
    )
    cpu: (
        Annotated[str, Field(max_length=16, pattern=r"^([0-9]+m|[0-9]+(\.[0-9]{1,3})?)$")] | None
    ) = Field(
        None, description="CPU request in place of the share that follows memorySize, such as 500m."
    )
    runtime_class_name: _NAME | None = Field(None, description="RuntimeClass of the instances.")
    labels: dict[str, Annotated[str, Field(max_length=63)]] | None = Field(
        None,
        max_length=32,
        description="Further labels.",
        json_schema_extra=MAP_ATOMIC | _foreign_keys("pod.labels"),
    )
    annotations: dict[str, Annotated[str, Field(max_length=4096)]] | None = Field(
        None,
        max_length=32,
        description="Further annotations.",
        json_schema_extra=MAP_ATOMIC | _foreign_keys("pod.annotations"),
    )
