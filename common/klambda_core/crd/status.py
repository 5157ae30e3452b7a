"""What is observed: conditions, the serving revision, resolved code. Never written by users.

Who owns which member stands in docs/runtime-contract.md section 7; each owner applies its own
members server-side.
"""

from typing import Annotated, Literal

from pydantic import Field

from klambda_core.crd.base import Model, list_map
from klambda_core.crd.code import Image


class Condition(Model):
    """metav1.Condition."""

    type: str = Field(
        max_length=316,
        pattern=r"^[A-Za-z][A-Za-z0-9_,:./-]*$",
        description="What the condition is about.",
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: int | None = Field(
        None, ge=0, description="The generation that it speaks of."
    )
    last_transition_time: str = Field(
        description="When the status last changed.", json_schema_extra={"format": "date-time"}
    )
    reason: str = Field(
        min_length=1,
        max_length=1024,
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        description="One word.",
    )
    message: str = Field(max_length=32768, description="A sentence that says what to do.")


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=32,
        description="What holds and what does not.",
        json_schema_extra=list_map("type"),
    ),
]


class Active(Model):
    """The revision that serves now."""

    config_digest: str = Field(max_length=64, description="Digest of code and configuration.")
    revision: str = Field(
        max_length=64, description="Digest of everything an instance is made from."
    )
    deployment: str = Field(max_length=63, description="The Deployment that holds its instances.")
    since: str | None = Field(
        None, description="When it began to serve.", json_schema_extra={"format": "date-time"}
    )


class Failed(Model):
    """A configuration that could not be brought into use."""

    config_digest: str = Field(max_length=64, description="Digest of code and configuration.")
    reason_code: str = Field(max_length=128, description="Lambda's reason code.")
    message: str = Field(max_length=32768, description="What is wrong and what to do.")


class ProvisionedStatus(Model):
    """What is kept initialised; written by whoever keeps it, for the number it was asked for."""

    requested: int = Field(ge=1, description="The number that this speaks of.")
    allocated: int = Field(0, ge=0, description="Instances that were started for it.")
    available: int = Field(0, ge=0, description="Instances that are initialised.")
    reason: Annotated[str, Field(max_length=1024)] | None = Field(
        None, description="Why it failed, in Lambda's words."
    )


class WarmPlace(Model):
    """Where requests of a provisioned version go, which an upgrade's new revision follows later."""

    deployment: str = Field(max_length=63, description="The Deployment that serves.")
    revision: str = Field(max_length=64, description="The revision that serves.")
    waiting_since: str | None = Field(
        None,
        description="Since when another revision is active that is not initialised yet.",
        json_schema_extra={"format": "date-time"},
    )


class WeightedVersion(Model):
    """One target of an alias."""

    version: str = Field(max_length=16, description="A version's number or $LATEST.")
    weight: float = Field(ge=0.0, le=1.0, description="Its share of the requests.")


class ProvisionedOfAlias(ProvisionedStatus):
    """The same of an alias, which may point elsewhere before anything is initialised there."""

    versions: list[WeightedVersion] | None = Field(
        None,
        max_length=2,
        description="Where requests go: the former versions, until the new ones are initialised.",
        json_schema_extra=list_map("version"),
    )
    waiting_since: str | None = Field(
        None,
        description="Since when the alias has pointed elsewhere.",
        json_schema_extra={"format": "date-time"},
    )


UrlAddress = Annotated[str, Field(max_length=512)]
"""`<scheme>://<id>.lambda-url.<region>.<domain>[:port]/`."""


class ResolvedCode(Model):
    """The zip that an explicit source led to."""

    sha256: str = Field(max_length=64, description="Digest of the zip, lower-case hex.")
    size: int = Field(ge=0, description="Bytes of the zip.")
    unzipped: int | None = Field(None, ge=0, description="Bytes of its files.")
    source: str = Field(max_length=64, description="Digest of the source it was made from.")


class ResolvedImage(Image):
    """The image that code.imageUri led to."""

    source: str = Field(max_length=64, description="Digest of the source it was found for.")


class ResolvedLayer(Model):
    """A layer version's content, resolved once and never again."""

    arn: str = Field(max_length=2048, description="The layer version.")
    sha256: str = Field(max_length=64, description="Digest of its zip, lower-case hex.")
    size: int = Field(ge=0, description="Bytes of its zip.")
    unzipped: int | None = Field(None, ge=0, description="Bytes of its files.")
