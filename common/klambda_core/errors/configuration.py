"""Refusals of a function's configuration."""

from __future__ import annotations

from collections.abc import Sequence

from klambda_core.errors.kinds import LambdaError, invalid_parameter


def role_not_assumable() -> LambdaError:
    """A role that does not trust the function to take it (K)."""
    return invalid_parameter("The role defined for the function cannot be assumed by Lambda.")


def unknown_runtime(runtime: str, known: Sequence[str]) -> LambdaError:
    """Not a runtime's name (L)."""
    return invalid_parameter(
        f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum "
        f"value set: [{', '.join(known)}] or be a valid ARN"
    )


def retired_runtime(runtime: str) -> LambdaError:
    """A runtime that AWS no longer creates (L)."""
    return invalid_parameter(
        f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS "
        "Lambda functions. We recommend you use a supported runtime while creating or updating "
        "functions."
    )


def environment_too_big(measured: str) -> LambdaError:
    """Variables over 4 KB; ``measured`` is their compact JSON (L)."""
    return invalid_parameter(
        "Lambda was unable to configure your environment variables because the environment "
        f"variables you have provided exceeded the 4KB limit. String measured: {measured}"
    )


def environment_reserved(keys: Sequence[str]) -> LambdaError:
    """Reserved variable names (K)."""
    return invalid_parameter(
        "Lambda was unable to configure your environment variables because the environment "
        "variables you have provided contains reserved keys that are currently not supported for "
        f"modification. Reserved keys used in this request: {', '.join(keys)}"
    )


def runtime_and_handler_needed() -> LambdaError:
    """Zip functions without one of both (K)."""
    return invalid_parameter(
        "Runtime and Handler are mandatory parameters for functions created with deployment "
        "packages."
    )


def image_without_runtime() -> LambdaError:
    """400: members of deployment packages for a container image (K)."""
    return invalid_parameter(
        "Please don't provide Handler or Runtime or Layer when the intended function PackageType "
        "is Image."
    )


def image_config_for_zip() -> LambdaError:
    """400: ImageConfig for a deployment package (K)."""
    return invalid_parameter(
        "Please don't provide ImageConfig when the intended function PackageType is Zip."
    )
