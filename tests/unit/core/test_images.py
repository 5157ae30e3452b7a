"""Functions of packageType Image: what they freeze, what their instances are told."""

from typing import Any

import pytest

from klambda_core import assignment
from klambda_core.crd import Image, Version
from klambda_core.digest import function_digest, snapshot_digest
from klambda_core.snapshot import NewVersion, publish
from tests.unit.core.objects import IMAGE, image_function


@pytest.mark.parametrize(
    ("overrides", "command", "directory"),
    [
        ({}, ["/entry", "app.handler"], "/work"),
        ({"command": ["x", "y"]}, ["/entry", "x", "y"], "/work"),
        ({"entryPoint": ["/other"]}, ["/other", "app.handler"], "/work"),
        ({"entryPoint": ["/o"], "command": ["c"]}, ["/o", "c"], "/work"),
        ({"workingDirectory": "/there"}, ["/entry", "app.handler"], "/there"),
    ],
)
def test_image_config_replaces_each_for_itself(
    overrides: dict[str, Any], command: list[str], directory: str
) -> None:
    """aws-contract h: EntryPoint, Command, WorkingDirectory override ENTRYPOINT, CMD, WORKDIR."""
    item = image_function(imageConfig=overrides)
    start = assignment.image_start(item.spec, Image.model_validate(IMAGE))
    assert (start.command, start.working_directory) == (command, directory)


def test_a_version_freezes_the_image_and_has_its_functions_digest() -> None:
    item = image_function()
    made = publish(item, [])
    assert isinstance(made, NewVersion)
    snapshot = made.manifest["spec"]["snapshot"]
    assert snapshot["image"] == IMAGE | {"init": False}
    assert "code" not in snapshot
    version = Version.read(made.manifest)
    assert snapshot_digest(version.spec.snapshot) == function_digest(item)


def test_another_digest_is_another_configuration() -> None:
    other = {"resolved": str(IMAGE["resolved"]).replace("a" * 64, "b" * 64)}
    assert function_digest(image_function()) != function_digest(image_function(image=other))


def test_an_instance_is_told_how_to_start_and_of_no_code() -> None:
    item = image_function()
    text = assignment.build(
        item.spec,
        revision="r",
        function_name="area",
        version="$LATEST",
        account="123456789012",
        region="us-east-1",
        runtime="",
        code=Image.model_validate(IMAGE),
    ).to_json()
    assert text["image"] == {"command": ["/entry", "app.handler"], "workingDirectory": "/work"}
    assert not text.keys() & {"code"}
    assert (text["runtime"], text["handler"], text["layers"]) == ("", "", [])
