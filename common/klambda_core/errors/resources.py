"""Refusals about what is there: functions, versions, aliases, policies, layers, and their state."""

from __future__ import annotations

from collections.abc import Sequence

from klambda_core.errors.kinds import (
    ACCESS_DENIED,
    POLICY_LENGTH_EXCEEDED,
    PRECONDITION_FAILED,
    PROVISIONED_CONCURRENCY_NOT_FOUND,
    LambdaError,
    conflict,
    invalid_parameter,
    not_found,
)


def function_not_found(arn: str) -> LambdaError:
    """No such function, version or alias; the ARN as asked for, qualifier included.

    D: recorded in aarondfrancis/sidecar#23, of a version in hashicorp/terraform-provider-aws#5049.
    """
    return not_found(f"Function not found: {arn}")


def other_region(asked: str, ours: str) -> LambdaError:
    """The name is an ARN of another region (L)."""
    return not_found(f"Functions from '{asked}' are not reachable in this region ('{ours}')")


def other_account() -> LambdaError:
    """The name is an ARN of another account (L: the message is null)."""
    return LambdaError(ACCESS_DENIED, None)


def qualifier_mismatch() -> LambdaError:
    """Qualifier in the name and as a parameter, and different (L)."""
    return invalid_parameter(
        "The derived qualifier from the function name does not match the specified qualifier."
    )


def only_latest() -> LambdaError:
    """An update of a published version (D: recorded in appleboy/lambda-action#6)."""
    return invalid_parameter(
        "Current operation does not support versions other than $LATEST. Please set the version to "
        "$LATEST or do not set a version in your request."
    )


def resource_not_found() -> LambdaError:
    """URL configs, layers, event source mappings, policies (L)."""
    return not_found("The resource you requested does not exist.")


def function_exists(name: str) -> LambdaError:
    """CreateFunction under a taken name; AWS's own grammar (D: quoted in deployments' logs)."""
    return conflict(f"Function already exist: {name}")


def update_in_progress(arn: str) -> LambdaError:
    """A change while the last one has not settled (D: quoted in many deployments' logs)."""
    return conflict(
        "The operation cannot be performed at this time. "
        f"An update is in progress for resource: {arn}"
    )


def concurrent_update() -> LambdaError:
    """Two changes met (D: recorded in adobe/helix-deploy#83)."""
    return conflict("The function could not be updated due to a concurrent update operation.")


def wrong_state(state: str) -> LambdaError:
    """Invoke or change while Pending or Failed (D: recorded in faastjs/faast.js#758)."""
    return conflict(
        "The operation cannot be performed at this time. "
        f"The function is currently in the following state: {state}"
    )


def revision_mismatch(call: str = "GetFunction/GetAlias") -> LambdaError:
    """RevisionId does not match (L); ``call`` is what AWS tells to call."""
    return LambdaError(
        PRECONDITION_FAILED,
        "The Revision Id provided does not match the latest Revision Id. "
        f"Call the {call} API to retrieve the latest Revision Id",
    )


def latest_not_deletable() -> LambdaError:
    """DeleteFunction with qualifier $LATEST (L)."""
    return invalid_parameter("$LATEST version cannot be deleted without deleting the function.")


def alias_not_deletable_here() -> LambdaError:
    """DeleteFunction with an alias as its qualifier (L)."""
    return invalid_parameter("Deletion of aliases is not currently supported.")


def version_aliased(aliases: Sequence[str]) -> LambdaError:
    """DeleteFunction of a version that aliases point to (D: recorded in clean-up tools' issues)."""
    return conflict(
        "Unable to delete version because the following aliases reference it: "
        f"[{', '.join(aliases)}]"
    )


def alias_not_found(arn: str) -> LambdaError:
    """No such alias, in the words of GetAlias and of settings per qualifier (L)."""
    return not_found(f"Cannot find alias arn: {arn}")


def statement_exists(sid: str) -> LambdaError:
    """AddPermission with a statement id that the policy has (L)."""
    return conflict(
        f"The statement id ({sid}) provided already exists. Please provide a new statement id, or "
        "remove the existing statement."
    )


def policy_too_long(size: int, limit: int) -> LambdaError:
    """A resource policy over its limit (D: recorded in adobe/helix-deploy#24)."""
    return LambdaError(
        POLICY_LENGTH_EXCEEDED,
        f"The final policy size ({size}) is bigger than the limit ({limit}).",
    )


def no_provisioned_concurrency() -> LambdaError:
    """Nothing is provisioned on this qualifier (L)."""
    return LambdaError(
        PROVISIONED_CONCURRENCY_NOT_FOUND,
        "No Provisioned Concurrency Config found for this function",
    )


def unpublished() -> LambdaError:
    """Provisioned concurrency of ``$LATEST``, or of an alias that leads to it.

    D: recorded in hashicorp/terraform-provider-aws#12120.
    """
    return invalid_parameter(
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    )


def weighted() -> LambdaError:
    """Provisioned concurrency of an alias with two versions (D: hashicorp/terraform#24957)."""
    return invalid_parameter("Alias with weights can not be used with Provisioned Concurrency")


def layer_denied(caller: str, arn: str) -> LambdaError:
    """Another account's layer version that no policy opens, or that is not there (L, D)."""
    return LambdaError(
        ACCESS_DENIED,
        f"User: {caller} is not authorized to perform: lambda:GetLayerVersion on resource: {arn} "
        "because no resource-based policy allows the lambda:GetLayerVersion action",
    )
