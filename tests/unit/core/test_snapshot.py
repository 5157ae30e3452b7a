"""PublishVersion: numbers, unchanged functions, what is frozen."""

from klambda_core.code import Unresolved
from klambda_core.crd import Function, Version
from klambda_core.snapshot import NewVersion, Unchanged, publish
from tests.unit.core.objects import SHA, function


def published(source: Function, number: int) -> Version:
    made = publish(source, [])
    assert isinstance(made, NewVersion)
    body = made.manifest
    body["metadata"]["name"] = f"area-v{number}"
    body["spec"]["version"] = number
    return Version.read(body)


def test_the_first_number_is_one() -> None:
    made = publish(function(), [])
    assert isinstance(made, NewVersion)
    assert made.number == 1
    metadata = made.manifest["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("area-v1", "default")
    assert metadata["ownerReferences"][0]["uid"] == "uid-1"
    assert metadata["labels"] == {"klambda.io/function": "area"}


def test_what_is_frozen() -> None:
    source = function(
        functionName="Area",
        timeout=9,
        description="d",
        tags={"k": "v"},
        reservedConcurrentExecutions=1,
        environment={"variables": {"KEY": "v"}},
    )
    made = publish(source, [])
    assert isinstance(made, NewVersion)
    snapshot = made.manifest["spec"]["snapshot"]
    assert snapshot["functionName"] == "Area"
    assert snapshot["timeout"] == 9
    assert snapshot["code"] == {"sha256": SHA, "size": 12}
    assert snapshot["environment"] == {"variables": {"KEY": "v"}}
    assert not snapshot.keys() & {"tags", "reservedConcurrentExecutions", "policy", "url"}


def test_the_description_is_the_functions_unless_given() -> None:
    source = function(description="of the function")
    for given, expected in ((None, "of the function"), ("mine", "mine"), ("", "")):
        made = publish(source, [], description=given)
        assert isinstance(made, NewVersion)
        assert made.manifest["spec"]["description"] == expected


def test_nothing_changed_returns_the_last_version() -> None:
    last = published(function(), 3)
    assert publish(function(), [published(function(), 2), last]) == Unchanged(version=last)


def test_a_change_since_makes_the_next_number() -> None:
    made = publish(function(timeout=9), [published(function(), 3)])
    assert isinstance(made, NewVersion)
    assert made.number == 4


def test_numbers_are_never_used_again() -> None:
    made = publish(function(status={"lastVersion": 7}), [])
    assert isinstance(made, NewVersion)
    assert made.number == 8


def test_a_version_being_deleted_is_no_answer_but_keeps_its_number() -> None:
    body = published(function(), 1).to_json()
    body["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    made = publish(function(), [Version.read(body)])
    assert isinstance(made, NewVersion)
    assert made.number == 2


def test_going_back_to_older_content_is_a_new_version() -> None:
    versions = [published(function(), 1), published(function(timeout=9), 2)]
    made = publish(function(), versions)
    assert isinstance(made, NewVersion)
    assert made.number == 3


def test_without_code_or_layers_nothing_is_published() -> None:
    assert isinstance(publish(function(code=None), []), Unresolved)
    layer = "arn:aws:lambda:us-east-1:123456789012:layer:l:1"
    found = publish(function(layers=[layer]), [])
    assert isinstance(found, Unresolved)
    assert layer in found.message


def test_resolved_layers_are_frozen_in_order() -> None:
    arns = [f"arn:aws:lambda:us-east-1:123456789012:layer:l{i}:1" for i in (2, 1)]
    layers = [{"arn": arn, "sha256": "d" * 64, "size": 1} for arn in reversed(arns)]
    made = publish(function(layers=arns, status={"layers": layers}), [])
    assert isinstance(made, NewVersion)
    assert [each["arn"] for each in made.manifest["spec"]["snapshot"]["layers"]] == arns


def test_a_version_was_modified_when_its_function_was() -> None:
    """In the CLI's example of list-versions-by-function version 2 has the time of `$LATEST`."""
    for annotations, expected in (
        ({"klambda.io/last-modified": "2026-11-21T13:00:00.123+0000"}, "13:00:00.123"),
        ({}, "12:00:00.000"),  # made by kubectl: its birth
    ):
        made = publish(function(annotations=annotations), [])
        assert isinstance(made, NewVersion)
        modified = f"2026-11-21T{expected}+0000"
        assert made.manifest["metadata"]["annotations"] == {"klambda.io/last-modified": modified}
