"""Container images of users: how their pods differ, and why there may be none."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from klambda_core.crd import Function
from klambda_operator.assess import Blocked, Target, assess, subject_of_function
from klambda_operator.model import Json
from klambda_operator.render.deployment import render
from klambda_operator.settings import SettingsError, UserImages, from_environment
from tests.unit.core.objects import image_function
from tests.unit.operator.world import WORLD

GOLDEN = Path(__file__).parents[2] / "golden" / "operator"
IMAGES = replace(WORLD, images=UserImages(init="klambda/init:1", pull_secrets=("registry",)))


def item(*, init: bool = False, **members: Any) -> Function:
    return image_function(image={"init": init}, **members)


def target_of(function: Function, world: Any = IMAGES) -> Target:
    target = assess(subject_of_function(function), world)
    assert isinstance(target, Target), target
    return target


def pod_of(function: Function, world: Any = IMAGES) -> Json:
    subject = subject_of_function(function)
    pod: Json = render(subject, target_of(function, world), world)["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize(("name", "init"), [("image-guest", False), ("image-native", True)])
def test_golden(name: str, init: bool) -> None:
    path = GOLDEN / f"{name}.yaml"
    subject = subject_of_function(item(init=init))
    manifest = render(subject, target_of(item(init=init)), IMAGES)
    text = yaml.safe_dump(manifest, sort_keys=False, width=100)
    if os.environ.get("KLAMBDA_GOLDEN") == "write":
        path.write_text(text)
    assert path.read_text() == text


def test_an_image_with_init_starts_like_ours() -> None:
    pod = pod_of(item(init=True))
    (container,) = pod["containers"]
    assert container["image"].startswith("registry.example.com/team/app@sha256:")
    assert container["command"] == ["/klambda/init"]
    assert not pod.keys() & {"volumes", "initContainers"}
    assert pod["imagePullSecrets"] == [{"name": "registry"}]


def test_another_image_gets_init_and_a_tmp() -> None:
    pod = pod_of(item(ephemeralStorage={"size": 1024}))
    (installer,) = pod["initContainers"]
    assert installer["image"] == "klambda/init:1"
    assert installer["command"] == ["/klambda/init", "install", "/target/init"]
    assert installer["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    sizes = {each["name"]: each["emptyDir"]["sizeLimit"] for each in pod["volumes"]}
    assert sizes["tmp"] == "1Gi"
    mounted = {each["mountPath"]: each["name"] for each in pod["containers"][0]["volumeMounts"]}
    assert mounted == {"/klambda": "klambda", "/tmp": "tmp"}


def test_pull_secrets_of_function_and_installation() -> None:
    pod = {"imagePullSecrets": [{"name": "own"}, {"name": "registry"}]}
    assert pod_of(item(pod=pod))["imagePullSecrets"] == pod["imagePullSecrets"]


def test_another_init_is_another_revision_only_where_it_is_used() -> None:
    newer = replace(IMAGES, images=UserImages(init="klambda/init:2"))
    assert target_of(item()).revision != target_of(item(), newer).revision
    own = item(init=True)
    assert target_of(own).revision == target_of(own, newer).revision


@pytest.mark.parametrize(
    ("function", "world", "reason", "code"),
    [
        (item(), WORLD, "NoInitImage", None),
        (item(status=False), IMAGES, "CodePending", None),
        (item(status=False, code=None), IMAGES, "NoCode", None),
    ],
)
def test_what_stands_in_the_way(function: Function, world: Any, reason: str, code: Any) -> None:
    found = assess(subject_of_function(function), world)
    assert isinstance(found, Blocked)
    assert (found.condition, found.reason, found.code) == ("ImageResolved", reason, code)


def test_an_image_that_says_nothing_about_its_start() -> None:
    function = image_function(image={"entryPoint": None, "command": None})
    found = assess(subject_of_function(function), IMAGES)
    assert isinstance(found, Blocked)
    assert (found.reason, found.code) == ("NoEntryPoint", "InvalidImage")


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("ImageNotFound", "ImageDeleted"),
        ("ImageAccessDenied", "ImageAccessDenied"),
        ("RegistryNotAllowed", "ImageAccessDenied"),
        ("InvalidImage", "InvalidImage"),
    ],
)
def test_a_refusal_of_the_gateway_has_lambdas_code(reason: str, code: str) -> None:
    condition = {
        "type": "CodeResolved", "status": "False", "reason": reason, "message": "m",
        "observedGeneration": 1, "lastTransitionTime": "2026-11-21T12:00:00Z",
    }  # fmt: skip
    body = image_function(status=False).model_dump(by_alias=True, exclude_none=True)
    body["status"]["conditions"] = [condition]
    found = assess(subject_of_function(Function.read(body)), IMAGES)
    assert isinstance(found, Blocked)
    assert (found.reason, found.code, found.message) == (reason, code, "m")


def test_settings() -> None:
    variables = {
        "KLAMBDA_NAMESPACE": "k",
        "KLAMBDA_INIT_IMAGE": "i:1",
        "KLAMBDA_FUNCTION_IMAGES": '{"pullSecrets": ["a"], "registries": []}',
    }
    assert from_environment(variables).images == UserImages(init="i:1", pull_secrets=("a",))
    variables["KLAMBDA_FUNCTION_IMAGES"] = '{"pullSecrets": "a"}'
    with pytest.raises(SettingsError, match="pullSecrets"):
        from_environment(variables)
