"""State, LastUpdateStatus and RevisionId, with AWS's texts (aws-contract a.4)."""

from typing import Any

import pytest

from klambda_core.crd import Alias, Version
from klambda_core.digest import function_digest
from klambda_core.snapshot import NewVersion, publish
from klambda_core.state import Lifecycle, function_state, revision_id, version_state
from tests.unit.core.objects import function

WANTED = function_digest(function())
ACTIVE = {"configDigest": WANTED, "revision": "r", "deployment": "d"}
OLD = ACTIVE | {"configDigest": "old"}
FAILED = {"configDigest": WANTED, "reasonCode": "InvalidRuntime", "message": "no image"}
CREATING = ("The function is being created.", "Creating")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (
            {},
            Lifecycle(state="Pending", state_reason=CREATING[0], state_reason_code=CREATING[1]),
        ),
        (
            {"failed": FAILED},
            Lifecycle(state="Failed", state_reason="no image", state_reason_code="InvalidRuntime"),
        ),
        (
            {"failed": FAILED | {"configDigest": "old"}},
            Lifecycle(state="Pending", state_reason=CREATING[0], state_reason_code=CREATING[1]),
        ),
        ({"active": ACTIVE}, Lifecycle(state="Active", last_update_status="Successful")),
        (
            {"active": ACTIVE, "failed": FAILED | {"configDigest": "old"}},
            Lifecycle(state="Active", last_update_status="Successful"),
        ),
        (
            {"active": OLD},
            Lifecycle(
                state="Active",
                last_update_status="InProgress",
                last_update_status_reason=CREATING[0],
                last_update_status_reason_code=CREATING[1],
            ),
        ),
        (
            {"active": OLD, "failed": FAILED},
            Lifecycle(
                state="Active",
                last_update_status="Failed",
                last_update_status_reason="no image",
                last_update_status_reason_code="InvalidRuntime",
            ),
        ),
    ],
)
def test_state_is_derived(status: dict[str, Any], expected: Lifecycle) -> None:
    assert function_state(function(status=status)) == expected


def test_code_that_is_being_fetched_is_in_progress() -> None:
    found = function_state(function(code={"files": {"a": "1"}}, status={"active": ACTIVE}))
    assert found.last_update_status == "InProgress"


def test_a_version_is_pending_then_active() -> None:
    made = publish(function(), [])
    assert isinstance(made, NewVersion)
    assert version_state(Version.read(made.manifest)).state == "Pending"
    active = Version.read(made.manifest | {"status": {"active": ACTIVE}})
    assert version_state(active) == Lifecycle(state="Active", last_update_status="Successful")


class TestRevisionId:
    def test_it_is_the_same_for_the_same_object(self) -> None:
        assert revision_id(function()) == revision_id(function())

    @pytest.mark.parametrize(
        "change",
        [
            {"uid": "uid-2"},
            {"generation": 2},
            {"annotations": {"klambda.io/nonce": "x"}},
            {"status": {"lastVersion": 1}},
        ],
    )
    def test_every_change_makes_a_new_one(self, change: dict[str, Any]) -> None:
        assert revision_id(function(**change)) != revision_id(function())

    def test_a_change_of_state_makes_a_new_one(self) -> None:
        """As on AWS (aws/aws-sdk#377)."""
        assert revision_id(function(status={"active": ACTIVE})) != revision_id(function())

    def test_other_status_changes_nothing(self) -> None:
        moved = ACTIVE | {"revision": "r2", "deployment": "d2"}
        assert revision_id(function(status={"active": moved})) == revision_id(
            function(status={"active": ACTIVE})
        )

    def test_aliases_have_one_too(self) -> None:
        body = {
            "metadata": {"name": "a", "uid": "u", "generation": 1},
            "spec": {"functionRef": "area", "name": "live", "functionVersion": "1"},
        }
        changed = body | {"metadata": {"name": "a", "uid": "u", "generation": 2}}
        assert revision_id(Alias.read(body)) != revision_id(Alias.read(changed))
