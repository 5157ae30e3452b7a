"""Refusals of a function's code: packages, signatures, container images."""

from __future__ import annotations

from klambda_core.errors.kinds import (
    ACCESS_DENIED,
    CODE_STORAGE_EXCEEDED,
    CODE_VERIFICATION_FAILED,
    REQUEST_ENTITY_TOO_LARGE,
    LambdaError,
    invalid_parameter,
)


def bad_zip() -> LambdaError:
    """The upload is no readable zip (D: quoted in many deployments' logs)."""
    return invalid_parameter(
        "Could not unzip uploaded file. Please check your file, then try to upload again."
    )


def empty_zip() -> LambdaError:
    """The upload is empty (D: quoted in many deployments' logs)."""
    return invalid_parameter("Uploaded file must be a non-empty zip")


def unzipped_too_big(limit: int) -> LambdaError:
    """The zip unpacks to more than 250 MB (D: quoted in many deployments' logs)."""
    return invalid_parameter(f"Unzipped size must be smaller than {limit} bytes")


def code_storage_exceeded() -> LambdaError:
    """The account's code is over 75 GB (M; D: quoted in many deployments' logs)."""
    return LambdaError(CODE_STORAGE_EXCEEDED, "Code storage limit exceeded.")


def zipped_too_big(limit: int) -> LambdaError:
    """A direct upload over 50 MB (D: quoted in deployments' logs)."""
    return LambdaError(REQUEST_ENTITY_TOO_LARGE, f"Zipped size must be smaller than {limit} bytes")


def signature_refused(function_name: str) -> LambdaError:
    """Unsigned code under a config that enforces signatures (D: recorded in aws-cdk's issues)."""
    return LambdaError(
        CODE_VERIFICATION_FAILED,
        "Lambda cannot deploy the function. The function or layer might be signed using a "
        "signature that the client is not configured to accept. Check the provided signature for "
        f"{function_name}.",
    )


def image_uri_needed(verb: str) -> LambdaError:
    """400: an image function without an image (D: ``updating`` in appleboy/lambda-action#28)."""
    return invalid_parameter(
        f"Please provide ImageUri when {verb} a function with packageType Image."
    )


def image_uri_unwanted(verb: str) -> LambdaError:
    """400: an image for a deployment package.

    D: recorded in umihico/pythonista-chromeless#19, and for ``creating`` in boto/boto3#2705.
    """
    if verb == "creating":
        return no_code()
    return invalid_parameter(
        f"Please don't provide ImageUri when {verb} a function with packageType Zip."
    )


def no_code() -> LambdaError:
    """400: neither a package nor an object in S3 (D: recorded in aws/aws-sdk-go#2183)."""
    return invalid_parameter("Please provide a source for function code.")


def image_missing(uri: str) -> LambdaError:
    """400: the registry has no such image (D: recorded in aws/aws-cdk#24648)."""
    return invalid_parameter(f"Source image {uri} does not exist. Provide a valid source image.")


def image_invalid(uri: str, detail: str = "") -> LambdaError:
    """400: no image's name (D: recorded in ministryofjustice/modernisation-platform#2419).

    ``detail``: what only we refuse, in our own words.
    """
    text = f"Source image {uri} is not valid. Provide a valid source image. {detail}"
    return invalid_parameter(text.rstrip())


def image_unsupported(uri: str) -> LambdaError:
    """400: what is there is no container image (D: recorded in aws-samples/bedrock-chat#890)."""
    return invalid_parameter(
        f"The image manifest, config or layer media type for the source image {uri} is not "
        "supported."
    )


def image_denied() -> LambdaError:
    """403: the registry wants credentials that nobody has here (D: quoted in many logs)."""
    return LambdaError(
        ACCESS_DENIED,
        "Lambda does not have permission to access the ECR image. Check the ECR permissions.",
    )
