"""CodeSigningConfig: whose signatures are trusted, and what happens to code without one."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from klambda_core.crd.base import LIST_SET, Column, Definition, KubeObject, Model
from klambda_core.crd.status import Conditions
from klambda_core.crd.tags import Tags
from klambda_core.kinds import CODE_SIGNING_CONFIG
from klambda_core.limits import DESCRIPTION_MAX, SIGNING_PROFILES_MAX


class AllowedPublishers(Model):
    """Whose signatures are trusted."""

    signing_profile_version_arns: list[
        Annotated[str, Field(max_length=2048, pattern=r"^arn:aws[a-zA-Z0-9-]*:.+$")]
    ] = Field(
        min_length=1,
        max_length=SIGNING_PROFILES_MAX,
        description="ARNs of signing profile versions.",
        json_schema_extra=LIST_SET,
    )


class CodeSigningPolicies(Model):
    """What happens to code that fails the check."""

    untrusted_artifact_on_deployment: Literal["Warn", "Enforce"] = Field(
        "Warn", description="Enforce refuses code without a trusted signature."
    )


class CodeSigningConfigSpec(Model):
    """Trusted signers and the policy."""

    description: Annotated[str, Field(max_length=DESCRIPTION_MAX)] | None = Field(
        None, description="Free text."
    )
    allowed_publishers: AllowedPublishers = Field(description="Whose signatures are trusted.")
    code_signing_policies: CodeSigningPolicies = Field(
        CodeSigningPolicies(), description="What happens to code that fails the check."
    )
    tags: Tags | None = Field(None, description="Lambda's tags.")


class CodeSigningConfigStatus(Model):
    """Nothing is observed yet."""

    conditions: Conditions = Field(default_factory=list)


class CodeSigningConfig(KubeObject):
    """Trusted signers of functions' code; functions name it by its ARN."""

    DEFINITION: ClassVar[Definition] = Definition(
        kind=CODE_SIGNING_CONFIG,
        singular="codesigningconfig",
        short_names=("csc",),
        columns=(
            Column(
                name="Policy",
                path=".spec.codeSigningPolicies.untrustedArtifactOnDeployment",
                description="What happens to untrusted code",
            ),
            Column(name="Description", path=".spec.description", priority=1),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
    )

    spec: CodeSigningConfigSpec
    status: CodeSigningConfigStatus = Field(default_factory=CodeSigningConfigStatus)
