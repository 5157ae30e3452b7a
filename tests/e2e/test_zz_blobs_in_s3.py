"""Code, layers and packages in buckets behind a private authority, and back to the volume.

By the commands of docs/operations.md as printed, against a real S3 server beside the node: one
that speaks TLS only, with a certificate that nobody trusts without ``caBundle``. Late in the tier
by name: it upgrades the release and restores it.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import CONTROL_PLANE, LAYOUT, ROLE, Cluster, all_gone, zip_of
from tests.support.documented import blocks, paste
from tests.support.node import host_address
from tests.support.release import upgrade
from tests.support.versity import KEY_ID, REGION, SECRET, client_of, running_versity
from tools.cluster import pki

OPERATIONS = "docs/operations.md"
EXAMPLE = "https://s3.eu-central-1.amazonaws.com"
"""What the page says instead of our server's address."""
AUTHORITY = "private-authority"
PREFIX = "klambda/default"
SOURCE = f"""
# {secrets.token_hex(8)}: what other runs have left in the store is not this
import hashlib, pathlib
def handler(event, context):
    large = pathlib.Path('/opt/large')
    return [WORD, large.exists() and hashlib.sha256(large.read_bytes()).hexdigest()]
"""
LARGE = os.urandom(400_000)
"""More than a gateway keeps at hand: instances fetch it from the store."""
pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The S3 server, and a client that trusts it."""

    endpoint: str
    keys: pki.Pki
    client: Any

    def digests(self) -> set[str]:
        """Of the blobs of the default account."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket="my-blobs", Prefix=f"{PREFIX}/"
        )
        found = (each["Key"] for page in pages for each in page.get("Contents", ()))
        return {key.rpartition("/")[2] for key in found}


@pytest.fixture
def service(cluster: Cluster, tmp_path: Path) -> Iterator[Service]:
    address = host_address(cluster)
    keys = pki.create(
        tmp_path / "authority", addresses=[address], identities=[],
        now=datetime.datetime.now(datetime.UTC),
    )  # fmt: skip
    with running_versity(tmp_path, address=address, keys=keys) as endpoint:
        client = client_of(endpoint, trusted=keys.ca)
        for bucket in ("my-blobs", "packages"):
            client.create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
            )
        yield Service(endpoint=endpoint, keys=keys, client=client)


@pytest.fixture
def names(cluster: Cluster) -> Iterator[list[str]]:
    """Three functions of the test's own."""
    names = [f"{word}-{secrets.token_hex(3)}" for word in ("volume", "bucket", "fetched")]
    yield names
    cluster.kubectl("delete", "functions.klambda.io", *names, "--ignore-not-found")
    cluster.aws.delete_layer_version(LayerName=names[0], VersionNumber=1)
    all_gone(cluster, set(names))


@pytest.fixture
def restored(cluster: Cluster) -> Iterator[None]:
    """Whatever happens, the release is the one of `make up` afterwards."""
    yield
    upgrade(cluster)
    cluster.wait_ready()
    for what in ("secret/klambda-blobs", "secret/s3-key", f"configmap/{AUTHORITY}"):
        cluster.kubectl("delete", "-n", CONTROL_PLANE, what, "--ignore-not-found")
    cluster.kubectl(
        "exec", "-n", CONTROL_PLANE, "klambda-store-0", "--", "rm", "-rf", "/data/passing",
        "/data/moving",
    )  # fmt: skip


def commands(service: Service) -> list[str]:
    """What the page says of blobs in S3, as its reader fills it in: there, moving, back."""
    there, moving, back = blocks(OPERATIONS, "## Blobs in S3")
    assert EXAMPLE in there
    there = there.replace(EXAMPLE, service.endpoint)
    there = there.replace("accessKeyId=...", f"accessKeyId={KEY_ID}")
    there = there.replace("secretAccessKey=...", f"secretAccessKey={SECRET}")
    secret, fetching = blocks(OPERATIONS, "## Code from buckets")[0].split("helm upgrade", 1)
    secret = secret.replace("accessKeyId=...", f"accessKeyId={KEY_ID}")
    secret = secret.replace("secretAccessKey=...", f"secretAccessKey={SECRET}")
    flags = fetching.partition("--set ")[2].replace("http://minio.storage.svc:9000",
                                                    service.endpoint)  # fmt: skip
    authority = (
        f"kubectl create configmap -n klambda {AUTHORITY} --from-file=ca.crt={service.keys.ca}\n"
    )
    there = f"{authority}{secret}{there.rstrip()} \\\n  --set caBundle.configMap={AUTHORITY}"
    there += f" --set sources.s3.region={REGION} --set {flags}"
    return [each.replace("my-values.yaml", str(LAYOUT.values)) for each in (there, moving, back)]


def cold(cluster: Cluster, name: str, word: str, large: str | bool) -> None:
    """An instance that is started now answers."""
    cluster.kubectl("delete", "pods", "-l", f"klambda.io/function={name}", "--now")
    assert cluster.invoke(name) == [word, large]


@pytest.mark.usefixtures("restored")
def test_blobs_move_to_a_bucket_behind_a_private_authority_and_back(
    cluster: Cluster, service: Service, names: list[str]
) -> None:
    on_volume, in_bucket, fetched = names
    there, moving, back = commands(service)
    content = zip_of({"large": LARGE})
    large = hashlib.sha256(LARGE).hexdigest()
    layer = cluster.aws.publish_layer_version(LayerName=on_volume, Content={"ZipFile": content})
    layers = [layer["LayerVersionArn"]]
    cluster.create(on_volume, SOURCE.replace("WORD", "'v'"), Layers=layers)
    assert cluster.invoke(on_volume) == ["v", large]
    kept = set(cluster.blobs())

    paste(cluster, there)
    copied = re.search(r"(\d+) blobs copied", paste(cluster, moving))
    assert copied is not None
    assert int(copied[1]) >= len(kept)
    cluster.wait_ready()
    assert kept <= service.digests()
    assert set(cluster.blobs()) == service.digests(), "the store serves the bucket"
    cold(cluster, on_volume, "v", large)

    cluster.create(in_bucket, SOURCE.replace("WORD", "'b'"), Layers=layers)
    package = zip_of({"app.py": SOURCE.replace("WORD", "'f'")})
    service.client.put_object(Bucket="packages", Key="a folder/app.zip", Body=package)
    cluster.aws.create_function(
        FunctionName=fetched, Runtime="python3.13", Handler="app.handler", Role=ROLE,
        Code={"S3Bucket": "packages", "S3Key": "a folder/app.zip"},
    )  # fmt: skip
    cluster.wait_active(fetched)
    new = service.digests() - kept
    assert hashlib.sha256(package).hexdigest() in new
    assert len(new) == 2
    cluster.kubectl("rollout", "restart", "-n", CONTROL_PLANE, "statefulset/klambda-store")
    cluster.wait_ready()
    cold(cluster, in_bucket, "b", large)
    cold(cluster, fetched, "f", False)

    copying, returning = back.split("helm upgrade", 1)
    assert "2 blobs copied" in paste(cluster, copying)
    paste(cluster, f"helm upgrade{returning}")
    cluster.wait_ready()
    assert kept | new <= set(cluster.blobs())
    before = service.digests()
    for name, word, found in ((on_volume, "v", large), (in_bucket, "b", large)):
        cold(cluster, name, word, found)
    cold(cluster, fetched, "f", False)
    cluster.update_code(fetched, SOURCE.replace("WORD", "'n'"))
    cold(cluster, fetched, "n", False)
    assert service.digests() == before, "nothing goes to the bucket any more"
