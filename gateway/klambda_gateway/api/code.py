"""Code: what an upload must be, and UpdateFunctionCode.

Place: CreateFunction and UpdateFunctionCode. Invariants: an upload is checked before it is stored
and stored before an object names it; the object gets the blob and loses every other source, so that
what was uploaded is what runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from klambda_core import errors
from klambda_core.code import CodeRef, reference
from klambda_core.crd import Blob, Function
from klambda_core.crd.base import Json
from klambda_core.crd.code import S3Source
from klambda_gateway.api import checks
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.function_layers import check_size
from klambda_gateway.api.lookup import (
    check_changeable,
    check_latest,
    check_pod,
    check_revision,
    function_of,
    place_of,
)
from klambda_gateway.api.objects import merge_members
from klambda_gateway.api.signing import check_signature, config_of
from klambda_gateway.api.versions import publish
from klambda_gateway.api.views import (
    IN_PROGRESS,
    code_sha256,
    function_configuration,
    version_configuration,
)
from klambda_gateway.code.fetching import Unfetched
from klambda_gateway.code.upload import Upload
from klambda_gateway.code.zips import check_upload, check_zip


@asynccontextmanager
async def checked(services: Services, code: Mapping[str, Any]) -> AsyncIterator[tuple[Upload, int]]:
    """The zip of a request, found good, and the size of its files. Raises 400, 403 and 413."""
    with await _package(services, code) as upload:
        check = check_upload if "ZipFile" in code else check_zip
        async with services.checking:
            # Inflating 250 MB takes a second: not on the loop.
            unzipped = await asyncio.to_thread(check, upload.file())
        yield upload, unzipped


async def _package(services: Services, code: Mapping[str, Any]) -> Upload:
    """What a request brings, or what lies where it says."""
    if "ImageUri" in code:
        raise errors.invalid_parameter(
            "Please don't provide ImageUri when updating a function with packageType Zip."
        )
    bucket, key = code.get("S3Bucket"), code.get("S3Key")
    if "ZipFile" in code:
        if bucket is not None or key is not None:
            raise errors.invalid_parameter(
                "Please do not provide other FunctionCode parameters when providing a ZipFile."
            )
        given = code["ZipFile"]
        return given if isinstance(given, Upload) else Upload.of(given)
    if bucket is None or key is None:
        raise errors.invalid_parameter("Please provide a source for function code.")
    source = S3Source(bucket=bucket, key=key, version_id=code.get("S3ObjectVersion"))
    try:
        return await services.fetcher.s3(source)
    except Unfetched as failure:
        raise failure.error from failure


async def uploaded(services: Services, call: Call, code: Mapping[str, Any]) -> Blob:
    """Check and store the zip of a request."""
    async with checked(services, code) as (upload, unzipped):
        ref = upload.ref
        await services.blobs.put_pieces(call.namespace, ref, upload.pieces)
    return Blob(sha256=ref.sha256, size=ref.size, unzipped=unzipped)


async def update_function_code(services: Services, call: Call) -> Reply:
    """UpdateFunctionCode: 200, LastUpdateStatus InProgress."""
    given, target, place = call.input, call.target(), place_of(call)
    check_latest(target)
    function = await function_of(services, call, target)
    await check_pod(services, call, function)
    checks.architectures(given)
    check_revision(function, given.get("RevisionId"))
    check_changeable(function, target.function_arn)
    if function.spec.code_signing_config is not None:
        config = await config_of(services, call, function.spec.code_signing_config)
        if config is not None:
            check_signature(config, function.aws_name)
    if given.get("DryRun"):
        async with checked(services, given) as (upload, _):
            ref = upload.ref
        return Reply(document=_would_be(function_configuration(function, place), given, ref))
    blob = await uploaded(services, call, given)
    check_size(reference(blob), function.status.layers)

    def decide(current: Function) -> Json:
        check_revision(current, given.get("RevisionId"))
        check_changeable(current, target.function_arn)
        return {"spec": _changes(current, given, blob)}

    function = await services.objects.change(
        function, decide, gone=errors.function_not_found(target.arn), configuration=True
    )
    if given.get("Publish"):
        version = await publish(services, function)
        return Reply(document=version_configuration(version, place))
    return Reply(document=function_configuration(function, place) | IN_PROGRESS)


def _changes(function: Function, given: Mapping[str, Any], blob: Blob) -> Json:
    old = function.spec.code.to_json() if function.spec.code is not None else None
    changes: Json = {"code": merge_members(old, {"blob": blob.to_json()})}
    if "Architectures" in given:
        changes["architectures"] = given["Architectures"]
    return changes


def _would_be(document: Json, given: Mapping[str, Any], ref: CodeRef) -> Json:
    """What a dry run answers: the configuration as it would become."""
    blob = Blob(sha256=ref.sha256, size=ref.size)
    document = document | {"CodeSha256": code_sha256(blob), "CodeSize": blob.size}
    if "Architectures" in given:
        document["Architectures"] = given["Architectures"]
    return document
