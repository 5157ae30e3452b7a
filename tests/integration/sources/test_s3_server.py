"""Packages from a real S3 server: Versity's S3 gateway, built from its Go module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from klambda_core.crd.code import S3Source
from klambda_core.signer import Credentials
from klambda_gateway.code.fetching import Allowed, Fetcher, Unfetched
from tests.support.apiserver import free_ports
from tests.support.versity import KEY_ID, REGION, SECRET, client_of, running_versity

KEY = Credentials(access_key_id=KEY_ID, secret_access_key=SECRET)
pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a server with versioning."""
    with running_versity(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def versions(server: str) -> dict[str, str]:
    """What boto3 puts there: keys, and the first version of each."""
    client = client_of(server)
    client.create_bucket(
        Bucket="packages", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    client.put_bucket_versioning(Bucket="packages", VersioningConfiguration={"Status": "Enabled"})
    found: dict[str, str] = {}
    for key in ("code.zip", "a dir/ü+~ code.zip"):
        for number in (1, 2):
            answer = client.put_object(Bucket="packages", Key=key, Body=f"{key} {number}".encode())
            found.setdefault(key, answer["VersionId"])
    client.put_object(Bucket="packages", Key="large", Body=bytes(20_000_000))
    return found


def fetcher(server: str, **changes: Any) -> Fetcher:
    members: dict[str, Any] = {
        "endpoint": server, "region": REGION, "credentials": KEY, "buckets": ("packages", "nope")
    }  # fmt: skip
    return Fetcher(Allowed(**members | changes))


async def test_objects_and_their_versions(server: str, versions: dict[str, str]) -> None:
    async with fetcher(server) as fetching:
        for key, version in versions.items():
            for version_id, number in ((None, 2), (version, 1)):
                source = S3Source(bucket="packages", key=key, version_id=version_id)
                with await fetching.s3(source) as upload:
                    assert upload.file().read() == f"{key} {number}".encode()
        with await fetching.s3(S3Source(bucket="packages", key="large")) as upload:
            assert len(upload) == 20_000_000


@pytest.mark.parametrize(
    ("bucket", "key", "changes", "code"),
    [
        ("packages", "nope", {}, "NoSuchKey"),
        ("nope", "k", {}, "NoSuchBucket"),
        (
            "packages", "code.zip",
            {"credentials": Credentials(access_key_id="AKIAROOT", secret_access_key="x")},
            "SignatureDoesNotMatch",
        ),
        ("packages", "code.zip", {"credentials": None}, "AccessDenied"),
    ],
)  # fmt: skip
async def test_refusals(
    server: str, versions: dict[str, str], bucket: str, key: str, changes: Any, code: str
) -> None:
    assert versions
    async with fetcher(server, **changes) as fetching:
        with pytest.raises(Unfetched) as caught:
            await fetching.s3(S3Source(bucket=bucket, key=key))
    assert f"S3 Error Code: {code}." in (caught.value.error.message or "")


async def test_a_service_that_is_not_there() -> None:
    (port,) = free_ports(1)
    async with fetcher(f"http://127.0.0.1:{port}") as fetching:
        with pytest.raises(Unfetched) as caught:
            await fetching.s3(S3Source(bucket="packages", key="code.zip"))
    assert caught.value.error.status == 503
