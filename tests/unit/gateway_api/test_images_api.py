"""Functions of packageType Image through the API; registries in memory (aws-contract a.4, h)."""

from __future__ import annotations

from typing import Any

import pytest

from klambda_core.crd import Function, Image, ResolvedImage
from klambda_core.kinds import FUNCTION
from klambda_gateway.code import sources
from klambda_gateway.images.trouble import ImageTrouble, NoImage, NoImageName
from tests.unit.core.objects import image_function
from tests.unit.gateway_api.fakes import ACCOUNT, REGION, ROLE, World, make_zip

HEX, OTHER = "a" * 64, "b" * 64
URI = "registry.example.com/team/app:1"
SIGNING = f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-" + "0" * 17
PROFILE = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/1234567890"


def image(digest: str = HEX, **members: Any) -> Image:
    resolved = f"registry.example.com/team/app@sha256:{digest}"
    return Image(uri=URI, resolved=resolved, entry_point=["/e"], **members)


def create(client: Any, **members: Any) -> Any:
    arguments = {"PackageType": "Image", "Code": {"ImageUri": URI}, "Role": ROLE} | members
    return client.create_function(FunctionName="area", **arguments)


def test_creation_pins_what_the_tag_means_now(world: World, client: Any) -> None:
    world.images.known[URI] = image()
    made = create(client, Publish=True, Architectures=["arm64"])
    assert world.images.asked == [(URI, None, "arm64")]
    assert (made["Version"], made["CodeSha256"], made["CodeSize"]) == ("1", HEX, 0)
    (stored,) = world.kube.all(FUNCTION)
    assert stored["spec"]["code"] == {"imageUri": URI, "imageDigest": f"sha256:{HEX}"}
    assert stored["status"]["image"]["entryPoint"] == ["/e"]


def test_an_update_follows_the_tag_and_a_dry_run_only_tells(world: World, client: Any) -> None:
    world.images.known[URI] = image()
    create(client)
    world.kube.settle()
    world.images.known[URI] = image(OTHER)
    dry = client.update_function_code(FunctionName="area", ImageUri=URI, DryRun=True)
    assert (dry["CodeSha256"], dry["CodeSize"]) == (OTHER, 0)
    (stored,) = world.kube.all(FUNCTION)
    assert stored["spec"]["code"]["imageDigest"] == f"sha256:{HEX}"
    updated = client.update_function_code(FunctionName="area", ImageUri=URI)
    assert updated["CodeSha256"] == OTHER
    world.kube.settle()
    code = client.get_function(FunctionName="area")["Code"]
    assert code["ResolvedImageUri"] == image(OTHER).resolved


def test_an_image_that_nobody_has_looked_up_yet(world: World, client: Any) -> None:
    """As kubectl leaves it: the name is shown, nothing is made up."""
    world.images.known[URI] = image()
    create(client)
    (stored,) = world.kube.all(FUNCTION)
    del stored["status"]
    got = client.get_function(FunctionName="area")
    assert got["Code"] == {"RepositoryType": "ECR", "ImageUri": URI}
    assert "CodeSha256" not in got["Configuration"]


@pytest.mark.parametrize(
    ("reason", "status", "code", "text"),
    [
        ("ImageNotFound", 400, "InvalidParameterValueException", f"Source image {URI} does not"),
        ("ImageAccessDenied", 403, "AccessDeniedException", "Lambda does not have permission"),
        ("InvalidImage", 400, "InvalidParameterValueException", "Provide a valid source image. m"),
        ("RegistryNotAllowed", 400, "InvalidParameterValueException", "is not valid."),
        ("RegistryUnreachable", 500, "ServiceException", "m"),
    ],
)
def test_what_the_registry_refuses(
    world: World, client: Any, reason: str, status: int, code: str, text: str
) -> None:
    world.images.known[URI] = ImageTrouble(reason, "m")
    with pytest.raises(client.exceptions.ClientError) as raised:
        create(client)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert raised.value.response["Error"]["Code"] == code
    assert text in raised.value.response["Error"]["Message"]
    assert world.kube.all(FUNCTION) == []


@pytest.mark.parametrize(
    ("trouble", "text"),
    [
        # recorded in ministryofjustice/modernisation-platform#2419
        (NoImageName("m"), f"Source image {URI} is not valid. Provide a valid source image."),
        # recorded in aws-samples/bedrock-chat#890
        (NoImage("m"), (f"The image manifest, config or layer media type for the source image {URI}"
                        " is not supported.")),
    ],
)  # fmt: skip
def test_what_is_no_image_has_sentences_of_its_own(
    world: World, client: Any, trouble: ImageTrouble, text: str
) -> None:
    world.images.known[URI] = trouble
    with pytest.raises(client.exceptions.InvalidParameterValueException):
        create(client)
    assert world.error() == {"Type": "User", "message": text}


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"Handler": "a.b"}, "Please don't provide Handler or Runtime or Layer when"),
        ({"Runtime": "python3.13"}, "Please don't provide Handler or Runtime or Layer when"),
        # recorded in DataDog/terraform-aws-lambda-datadog#2
        ({"Layers": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:1"]},
         "Lambda layers are not supported for functions created with container images."),
        ({"CodeSigningConfigArn": SIGNING},
         "Code signing is not supported for functions created with container images."),
        ({"Code": {"ZipFile": b"x"}}, "Please provide ImageUri when creating a function"),
        ({"PackageType": "Zip", "Runtime": "python3.13", "Handler": "a.b",
          "ImageConfig": {"Command": ["x"]}}, "Please don't provide ImageConfig"),
        # recorded in boto/boto3#2705
        ({"PackageType": "Zip", "Runtime": "python3.13", "Handler": "a.b"},
         "Please provide a source for function code."),
    ],
)  # fmt: skip
def test_members_that_do_not_go_together(
    world: World, client: Any, members: dict[str, Any], text: str
) -> None:
    world.images.known[URI] = image()
    with pytest.raises(client.exceptions.InvalidParameterValueException, match=text):
        create(client, **members)


def test_updates_that_do_not_go_together(world: World, client: Any, function: str) -> None:
    wrong = client.exceptions.InvalidParameterValueException
    with pytest.raises(wrong, match="Please don't provide ImageUri when updating a function with"):
        client.update_function_code(FunctionName=function, ImageUri=URI)
    world.images.known[URI] = image()
    client.create_function(
        FunctionName="other", PackageType="Image", Code={"ImageUri": URI}, Role=ROLE
    )
    world.kube.settle()
    with pytest.raises(wrong, match="Please provide ImageUri when updating a function with"):
        client.update_function_code(FunctionName="other", ZipFile=make_zip())
    # recorded in cloudquery/cq-provider-aws#230 and aws-controllers-k8s/community#1225
    config = {"AllowedPublishers": {"SigningProfileVersionArns": [PROFILE]}}
    signing = client.create_code_signing_config(**config)["CodeSigningConfig"]
    named = {"FunctionName": "other", "CodeSigningConfigArn": signing["CodeSigningConfigArn"]}
    with pytest.raises(wrong, match="Code signing is not supported for functions created with"):
        client.put_function_code_signing_config(**named)
    with pytest.raises(wrong, match="Code signing is not supported for functions created with"):
        client.get_function_code_signing_config(FunctionName="other")
    with pytest.raises(wrong, match="Please don't provide Handler"):
        client.update_function_configuration(FunctionName="other", Handler="a.b")


# --- what the leading gateway does about an object ------------------------------------------------


def told(item: Function, outcome: sources.Outcome) -> Function:
    """The function with the outcome in its status."""
    condition = {
        "type": outcome.fact.type, "status": outcome.fact.status, "reason": outcome.fact.reason,
        "message": outcome.fact.message, "observedGeneration": item.metadata.generation,
        "lastTransitionTime": "2026-11-21T12:00:00Z",
    }  # fmt: skip
    body = item.model_dump(by_alias=True, exclude_none=True)
    body["status"]["conditions"] = [condition]
    if outcome.image is not None:
        body["status"]["image"] = outcome.image.to_json()
    return Function.read(body)


def test_an_object_asks_for_its_image_once() -> None:
    item = image_function(status=False)
    work = sources.needed(item)
    assert isinstance(work, sources.Search)
    assert (work.uri, work.digest, work.architecture) == (URI, None, "x86_64")
    assert not sources.settled(item)
    outcome = sources.found(image(), work.source)
    assert isinstance(outcome.image, ResolvedImage)
    settled = told(item, outcome)
    assert sources.settled(settled)
    assert sources.said(settled).image == outcome.image


@pytest.mark.parametrize(
    ("reason", "retry", "status", "settled"),
    [
        ("ImageNotFound", True, "False", False),
        ("ImageAccessDenied", True, "False", False),
        ("RegistryUnreachable", True, "Unknown", False),
        ("InvalidImage", False, "False", True),
        ("RegistryNotAllowed", False, "False", True),
    ],
)
def test_what_is_not_found_is_looked_for_again(
    reason: str, retry: bool, status: str, settled: bool
) -> None:
    outcome = sources.not_found(ImageTrouble(reason, "m", retry=retry))
    assert (outcome.fact.status, outcome.retry) == (status, retry)
    assert sources.settled(told(image_function(status=False), outcome)) is settled


def test_a_function_of_images_without_one() -> None:
    outcome = sources.needed(image_function(status=False, code=None))
    assert isinstance(outcome, sources.Outcome)
    assert outcome.fact.reason == "NoCode"
