"""What a request says a function runs: a deployment package or an image, checked and at hand.

Place: CreateFunction and UpdateFunctionCode, before anything is written. Invariants: an upload is
checked before it is stored and stored before an object names it; an image is found in its registry
and pinned before an object names it. Not here: what becomes of it (``code``, ``functions``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from klambda_core import errors
from klambda_core.code import CodeRef, reference, source_digest
from klambda_core.crd import Blob, Function, Image, ResolvedImage
from klambda_core.crd.base import Json
from klambda_core.crd.code import S3Source
from klambda_gateway.api.call import Call, Services
from klambda_gateway.code.fetching import Unfetched
from klambda_gateway.code.upload import Upload
from klambda_gateway.code.zips import check_upload, check_zip
from klambda_gateway.images import trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The members of ``spec.code``, and the zip in the store or the image that they name."""

    code: Json
    blob: Blob | None = None
    image: Image | None = None

    @property
    def ref(self) -> CodeRef | None:
        """The zip, for judging its size together with layers."""
        return None if self.blob is None else reference(self.blob)


async def source_of(
    services: Services,
    call: Call,
    given: Mapping[str, Any],
    *,
    package_type: str,
    architecture: str,
    verb: str,
    store: bool = True,
) -> Source:
    """The source that a request names. ``verb``: creating or updating, for AWS's texts.

    Raises 400, 403, 413; with ``store`` the upload is in the store afterwards.
    """
    if package_type == "Image":
        if "ImageUri" not in given:
            raise errors.image_uri_needed(verb)
        image = await _found(services, given["ImageUri"], architecture)
        pinned = {"imageUri": image.uri, "imageDigest": f"sha256:{image.digest}"}
        return Source(code=pinned, image=image)
    if "ImageUri" in given:
        raise errors.image_uri_unwanted(verb)
    blob = await uploaded(services, call, given, store=store)
    return Source(code={"blob": blob.to_json()}, blob=blob)


async def uploaded(
    services: Services, call: Call, given: Mapping[str, Any], *, store: bool = True
) -> Blob:
    """Check and store the zip of a request. Raises 400, 403 and 413."""
    async with _checked(services, given) as (upload, unzipped):
        ref = upload.ref
        await services.storage.check(services.objects, call.namespace, ref.size, services.now())
        if store:
            await services.blobs.put_pieces(call.namespace, ref, upload.pieces)
    return Blob(sha256=ref.sha256, size=ref.size, unzipped=unzipped)


async def told(services: Services, function: Function, source: Source) -> Function:
    """The function, with its image in the status already: so it can be published at once."""
    image = source.image
    if image is None:
        return function

    def decide(current: Function) -> Json:
        code = current.spec.code
        if code is None or code.to_json() != source.code:
            return {"status": {}}  # somebody else was faster: their image is found by the leader
        members = {name: getattr(image, name) for name in Image.model_fields}
        found = ResolvedImage(**members, source=source_digest(code) or "")
        return {"status": {"image": found.to_json()}}

    gone = errors.resource_not_found()
    return await services.objects.change(function, decide, gone=gone, subresource="status")


@asynccontextmanager
async def _checked(
    services: Services, code: Mapping[str, Any]
) -> AsyncIterator[tuple[Upload, int]]:
    """The zip of a request, found good, and the size of its files. Raises 400, 403 and 413."""
    with await _package(services, code) as upload:
        check = check_upload if "ZipFile" in code else check_zip
        async with services.checking:
            # Inflating 250 MB takes a second: not on the loop.
            unzipped = await asyncio.to_thread(check, upload.file())
        yield upload, unzipped


async def _package(services: Services, code: Mapping[str, Any]) -> Upload:
    """What a request brings, or what lies where it says."""
    bucket, key = code.get("S3Bucket"), code.get("S3Key")
    if "ZipFile" in code:
        if bucket is not None or key is not None or "S3ObjectVersion" in code:
            raise errors.invalid_parameter(
                "Please do not provide other FunctionCode parameters when providing a ZipFile."
            )
        given = code["ZipFile"]
        return given if isinstance(given, Upload) else Upload.of(given)
    if bucket is None and key is None:
        raise errors.no_code()
    if bucket is None or key is None:
        # (D): quoted in the checks that deployment tools make before they ask.
        raise errors.invalid_parameter(
            "S3 Bucket and Key are required for uploading with S3 parameters."
        )
    source = S3Source(bucket=bucket, key=key, version_id=code.get("S3ObjectVersion"))
    try:
        return await services.fetcher.s3(source)
    except Unfetched as failure:
        raise failure.error from failure


async def _found(services: Services, uri: str, architecture: str) -> Image:
    try:
        return await services.images.find(uri, None, architecture)
    except trouble.NoImageName:
        raise errors.image_invalid(uri) from None
    except trouble.NoImage:
        raise errors.image_unsupported(uri) from None
    except trouble.ImageTrouble as error:
        match error.reason:
            case trouble.NOT_FOUND:
                raise errors.image_missing(uri) from None
            case trouble.DENIED:
                raise errors.image_denied() from None
            case trouble.UNREACHABLE:
                raise errors.service(error.message) from None
            case _:
                raise errors.image_invalid(uri, error.message) from None
