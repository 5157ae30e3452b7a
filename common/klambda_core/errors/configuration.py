"""Refusals of a function's configuration."""

from __future__ import annotations

from collections.abc import Sequence

from klambda_core.errors.kinds import VALIDATION, LambdaError, invalid_parameter


def role_not_assumable() -> LambdaError:
    """A role that does not trust the function to take it (D: recorded in many clients' retries)."""
    return invalid_parameter("The role defined for the function cannot be assumed by Lambda.")


def memory_too_big(limit: int) -> LambdaError:
    """More memory than the account may use, which the service checks and not the framework.

    D: recorded in remotion-dev/remotion#2737 and ubc-cirrus-lab/parrotfish#38.
    """
    return LambdaError(
        VALIDATION,
        "'MemorySize' value failed to satisfy constraint: Member must have value less than or "
        f"equal to {limit}",
    )


def unknown_runtime(runtime: str, known: Sequence[str]) -> LambdaError:
    """Not a runtime's name (D: recorded in serverless/serverless#7183)."""
    return invalid_parameter(
        f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum "
        f"value set: [{', '.join(known)}] or be a valid ARN"
    )


def retired_runtime(runtime: str) -> LambdaError:
    """A runtime that AWS no longer creates.

    D: recorded in aws-samples/aws-iam-identity-center-extensions#128.
    """
    return invalid_parameter(
        f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS "
        "Lambda functions. We recommend you use a supported runtime while creating or updating "
        "functions."
    )


def environment_too_big(measured: str) -> LambdaError:
    """Variables over 4 KB; ``measured`` is their compact JSON.

    D: recorded in github-aws-runners/terraform-aws-github-runner#3594. Deployments' logs of summer
    2026 end in ``Measured size: 4152 bytes`` instead, without the variables.
    """
    return invalid_parameter(
        "Lambda was unable to configure your environment variables because the environment "
        f"variables you have provided exceeded the 4KB limit. String measured: {measured}"
    )


def environment_reserved(keys: Sequence[str]) -> LambdaError:
    """Reserved variable names (D: recorded in mattermost/mattermost-cloud-monitoring#264)."""
    return invalid_parameter(
        "Lambda was unable to configure your environment variables because the environment "
        "variables you have provided contains reserved keys that are currently not supported for "
        f"modification. Reserved keys used in this request: {', '.join(keys)}"
    )


def runtime_and_handler_needed() -> LambdaError:
    """Zip functions without one of both (D: quoted in CloudFormation events)."""
    return invalid_parameter(
        "Runtime and Handler are mandatory parameters for functions created with deployment "
        "packages."
    )


def image_without_runtime() -> LambdaError:
    """400: members of packages for an image (D: recorded in pulumi/pulumi-aws#5439)."""
    return invalid_parameter(
        "Please don't provide Handler or Runtime or Layer when the intended function PackageType "
        "is Image."
    )


def image_without_layers() -> LambdaError:
    """400: layers for an image (D: recorded in DataDog/terraform-aws-lambda-datadog#2)."""
    return invalid_parameter(
        "Lambda layers are not supported for functions created with container images."
    )


def image_without_signing() -> LambdaError:
    """400: a code signing config of an image (D: aws-controllers-k8s/community#1225)."""
    return invalid_parameter(
        "Code signing is not supported for functions created with container images."
    )


def image_config_for_zip() -> LambdaError:
    """400: ImageConfig for a deployment package (K)."""
    return invalid_parameter(
        "Please don't provide ImageConfig when the intended function PackageType is Zip."
    )


def log_level_needs_json() -> LambdaError:
    """Log levels for plain text (D: recorded in aws/aws-cdk#28045)."""
    return invalid_parameter(
        'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your '
        'request or change the LogFormat to "Json" and try again.'
    )


def subnets_without_groups() -> LambdaError:
    """One of both without the other (D: recorded in aws/aws-sdk-js#1293)."""
    return invalid_parameter("SubnetIds and SecurityIds must coexist or be both empty list.")


def file_system_needs_vpc(arn: str) -> LambdaError:
    """A file system outside of a VPC (D: recorded in aws-cloudformation/cfn-lint#4408)."""
    return invalid_parameter(
        f"Function must be configured to execute in a VPC to reference access point {arn}."
    )


def vpc_needed_by_file_system(arn: str) -> LambdaError:
    """A VPC taken from under a file system (D: recorded in aws/chalice#1453)."""
    return invalid_parameter(
        f"Function VPC configuration cannot be removed with access point {arn} referenced."
    )


def snap_start_runtime(runtime: str | None) -> LambdaError:
    """SnapStart for a runtime without it (D: recorded in aws-samples/bedrock-chat#617)."""
    return invalid_parameter(f"{runtime} is not supported for SnapStart enabled functions.")


def snap_start_excludes(what: str) -> LambdaError:
    """SnapStart beside what the developer guide excludes (the rule D, the words O)."""
    return invalid_parameter(f"{what} is not supported for SnapStart enabled functions.")


def empty_dead_letter_target() -> LambdaError:
    """A function made with an empty target, which AWS quotes behind the colon and a blank.

    D: recorded in cloud-custodian/cloud-custodian#1990 and motdotla/node-lambda#208.
    """
    return invalid_parameter("Invalid dead letter queue ARN: ARNs must start with 'arn:': ")


def runtime_managed_manually() -> LambdaError:
    """Another runtime under Manual (D: recorded in hashicorp/terraform-provider-aws#42699)."""
    return invalid_parameter(
        "Cannot change runtime identifier when runtime management configuration is set to "
        "'Manual'. Change the runtime management configuration to 'Auto' or 'FunctionUpdate', "
        "then retry."
    )


def cors_beside_wildcard(name: str) -> LambdaError:
    """Names beside the wildcard (D: recorded of AllowMethods in a deployment's log)."""
    return invalid_parameter(
        f"You can't specify additional fields for {name} because you already specified the "
        "wildcard character (*)."
    )


def cors_without_origins() -> LambdaError:
    """Cors of a function URL that lets nobody in (D: recorded in anomalyco/ion#229)."""
    return invalid_parameter("You can't leave AllowOrigins as empty when Cors is enabled.")


def ordered_dead_letters() -> LambdaError:
    """A FIFO queue as the target (D: recorded in a Terraform run's log)."""
    return invalid_parameter(
        "Invalid dead letter queue ARN: FIFO SQS queue is not supported for dead letter "
        "configuration"
    )


def no_dead_letter_target() -> LambdaError:
    """A target that is neither a queue nor a topic (D: quoted in deployments' checks)."""
    return invalid_parameter(
        "Invalid dead letter queue ARN: The service specified by the TargetArn is not supported "
        "for dead letter configuration."
    )
