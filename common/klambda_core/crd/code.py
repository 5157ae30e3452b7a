"""Where code and layers come from: the object itself, an address, a bucket, an image, a blob.

At most one explicit source; it wins over `blob`, which the gateway writes after an upload. So Git
stays the truth when both doors are used, and no apply is ever rejected after an UpdateFunctionCode.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from klambda_core.crd.base import LIST_ATOMIC, MAP_ATOMIC, Json, Model, cel, rule
from klambda_core.limits import FILES_BYTES_MAX, FILES_COUNT_MAX, ZIP_BASE64_MAX

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", max_length=64)]


class Blob(Model):
    """Code in Klambda's store."""

    sha256: Sha256 = Field(description="Digest of the zip, lower-case hex.")
    size: int = Field(ge=0, description="Bytes of the zip.")
    unzipped: int | None = Field(None, ge=0, description="Bytes of its files.")


Words = Annotated[
    list[Annotated[str, Field(max_length=4096)]],
    Field(max_length=128, json_schema_extra=LIST_ATOMIC),
]


class Image(Model):
    """A container image, pinned, with what it says about its own start."""

    uri: str = Field(max_length=1024, description="The image as the user names it.")
    resolved: str = Field(
        max_length=1280, pattern="@sha256:[0-9a-f]{64}$", description="The image by its digest."
    )
    entry_point: Words | None = Field(None, description="Its ENTRYPOINT.")
    command: Words | None = Field(None, description="Its CMD.")
    working_directory: Annotated[str, Field(max_length=4096)] | None = Field(
        None, description="Its WORKDIR."
    )
    init: bool = Field(False, description="Whether it carries Klambda's init (label).")

    @property
    def digest(self) -> str:
        """The image's digest, hex."""
        return self.resolved.rpartition(":")[2]


class S3Source(Model):
    """Code in an S3-compatible bucket."""

    bucket: str = Field(min_length=3, max_length=63, description="The bucket.")
    key: str = Field(min_length=1, max_length=1024, description="The object's key.")
    version_id: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        None, description="The object's version; absent: the newest."
    )


_PINNED = rule(
    "!has(self.imageDigest) || has(self.imageUri)",
    "code.imageDigest says which image code.imageUri means: give both",
)


def _one_of(field: str, *sources: str, also: Json | None = None) -> Json:
    """At most one explicit source."""
    count = " + ".join(f"(has(self.{source}) ? 1 : 0)" for source in sources)
    names = ", ".join(sources[:-1]) + f" and {sources[-1]}"
    return cel(
        rule(f"{count} <= 1", f"{field}: give at most one of {names}"),
        rule(
            "has(self.url) == has(self.sha256)", f"{field}.url and {field}.sha256 belong together"
        ),
        *([also] if also else []),
    )


class Sources(Model):
    """Where a zip comes from."""

    files: dict[str, Annotated[str, Field(max_length=FILES_BYTES_MAX)]] | None = Field(
        None,
        max_length=FILES_COUNT_MAX,
        description="Path to text, 128 KiB in all: small functions live in the object itself.",
        json_schema_extra=MAP_ATOMIC
        | cel(
            rule(
                "self.all(k, size(k) <= 256 && !k.split('/').exists(p, p in ['', '.', '..']))",
                "files: paths are relative and at most 256 long, without empty, . or .. parts",
            )
        ),
    )
    zip: Annotated[str, Field(max_length=ZIP_BASE64_MAX)] | None = Field(
        None, description="A zip of at most 180 KiB, base64."
    )
    url: Annotated[str, Field(min_length=8, max_length=2048, pattern="^https?://")] | None = Field(
        None, description="Address of a zip (with sha256); hosts are allow-listed in the chart."
    )
    sha256: Sha256 | None = Field(None, description="Digest of the zip behind url, lower-case hex.")
    s3: S3Source | None = Field(None, description="A zip in an S3-compatible bucket.")
    blob: Blob | None = Field(
        None,
        description="What the Lambda API uploaded; ignored beside an explicit source.",
    )


class Code(Sources):
    """The function's code: at most one of files, zip, url, s3, imageUri, or an uploaded blob."""

    model_config = ConfigDict(
        json_schema_extra=_one_of("code", "files", "zip", "url", "s3", "imageUri", also=_PINNED)
    )

    image_uri: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        None, description="A container image (packageType Image)."
    )
    image_digest: Annotated[str, Field(max_length=71, pattern="^sha256:[0-9a-f]{64}$")] | None = (
        Field(None, description="What the image's tag meant when it was set; else it is looked up.")
    )


class Content(Sources):
    """A layer's content: at most one of files, zip, url, s3, or an uploaded blob."""

    model_config = ConfigDict(json_schema_extra=_one_of("content", "files", "zip", "url", "s3"))
