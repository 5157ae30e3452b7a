"""Plans as tables: a situation, and what is to be done about it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from klambda_core import labels
from klambda_core.conditions import find
from klambda_core.crd import Alias, Condition, Function, Version
from klambda_core.kinds import ALIAS, DEPLOYMENT, VERSION
from klambda_core.snapshot import NewVersion, publish
from klambda_operator import observed as seen
from klambda_operator.assess import Target, assess, subject_of_function, subject_of_version
from klambda_operator.model import (
    Action,
    Adopt,
    AliasSnapshot,
    Broken,
    Child,
    CreateDeployment,
    Delete,
    Deployment,
    FunctionSnapshot,
    Key,
    Owner,
    Plan,
    RepairDeployment,
    Rival,
    VersionSnapshot,
    WriteStatus,
)
from klambda_operator.plan import plan
from klambda_operator.plan.alias import wanted_targets
from klambda_operator.render.deployment import birth, render
from klambda_operator.settings import Runtime
from tests.unit.operator.world import LATER, NOW, RUNTIMES, WORLD, stored_function

KEY = Key("functions", "default", "area")


def function(status: dict[str, Any] | None = None, **spec: Any) -> Function:
    return Function.read(stored_function(status=status or {}, **spec))


LAYER: dict[str, Any] = {
    "arn": "arn:aws:lambda:us-east-1:123456789012:layer:l:1",
    "sha256": "b" * 64,
    "size": 3,
    "unzipped": 9,
}


def target_of(item: Function | Version) -> Target:
    subject = subject_of_function(item) if isinstance(item, Function) else subject_of_version(item)
    found = assess(subject, WORLD)
    assert isinstance(found, Target)
    return found


def deployment_of(item: Function | Version, **changes: Any) -> Deployment:
    """The Deployment as the API server would show it, with its defaults."""
    subject = subject_of_function(item) if isinstance(item, Function) else subject_of_version(item)
    body = birth(render(subject, target_of(item), WORLD))
    body["metadata"] |= {"uid": f"uid-of-{body['metadata']['name']}", "resourceVersion": "5"}
    body["spec"]["strategy"] = {"type": "RollingUpdate"}
    body["spec"]["template"]["spec"]["schedulerName"] = "default-scheduler"
    return replace(seen.deployment(seen.project(DEPLOYMENT, body)), **changes)


def snapshot(item: Function | None, *deployments: Deployment, **members: Any) -> FunctionSnapshot:
    return FunctionSnapshot(key=KEY, function=item, world=WORLD, deployments=deployments, **members)


def status_of(found: Plan) -> dict[str, Any]:
    (written,) = (a for a in found.actions if isinstance(a, WriteStatus))
    return written.status


def condition_of(found: Plan, kind: str) -> Condition:
    conditions = [Condition.model_validate(c) for c in status_of(found)["conditions"]]
    condition = find(conditions, kind)
    assert condition is not None
    return condition


def settled(item: Function) -> Function:
    """The function after its first plan was carried out."""
    return item.model_copy(
        update={
            "status": Function.read(
                stored_function(status=status_of(plan(snapshot(item), NOW)))
            ).status
        }
    )


def kinds(actions: Sequence[Action]) -> list[type[Action]]:
    return [type(action) for action in actions]


class TestFunction:
    def test_a_new_one_gets_its_deployment_then_its_status(self) -> None:
        found = plan(snapshot(function()), NOW)
        assert kinds(found.actions) == [CreateDeployment, WriteStatus]
        target = target_of(function())
        assert status_of(found)["active"] == {
            "configDigest": target.config_digest,
            "revision": target.revision,
            "deployment": target.deployment,
            "since": "2026-11-21T12:00:00Z",
        }
        assert status_of(found)["functionName"] == "area"
        assert condition_of(found, "Ready").status == "True"
        assert [t.condition.type for t in found.transitions] == ["Ready"]

    @pytest.mark.parametrize(
        ("age", "wait"),
        [
            (0.0, 10.0),
            (9.5, 0.5),
            pytest.param(10.0, 0.0, id="its code is not there in time: that is said"),
            pytest.param(-1.0, 0.0, id="our clock is behind the API server's"),
        ],
    )
    def test_of_a_new_one_nothing_is_said_while_its_code_comes(
        self, age: float, wait: float
    ) -> None:
        body = stored_function(code={"files": {"a.py": ""}}, status={})
        body["metadata"]["creationTimestamp"] = "2026-11-21T12:00:00Z"
        found = plan(snapshot(Function.read(body)), NOW + timedelta(seconds=age))
        if wait:
            assert not found.actions
            assert not found.transitions
            assert found.requeue_after == wait
        else:
            assert condition_of(found, "Ready").reason == "CodePending"

    def test_of_one_that_was_told_of_before_it_is_said_at_once(self) -> None:
        ready: dict[str, Any] = {"type": "Ready", "status": "True", "reason": "AsExpected"}
        ready |= {"lastTransitionTime": "2026-11-21T12:00:00Z", "observedGeneration": 1}
        body = stored_function(
            code={"files": {"a.py": ""}}, status={"conditions": [ready | {"message": ""}]}
        )
        body["metadata"]["creationTimestamp"] = "2026-11-21T12:00:00Z"
        found = plan(snapshot(Function.read(body)), NOW)
        assert condition_of(found, "Ready").reason == "CodePending"

    def test_a_settled_one_gets_nothing(self) -> None:
        item = settled(function())
        found = plan(snapshot(item, deployment_of(item)), LATER)
        assert (found.actions, found.transitions, found.requeue_after) == ([], [], None)

    def test_nobody_runs_before_the_gateway_asks(self) -> None:
        (create, _) = plan(snapshot(function()), NOW).actions
        assert isinstance(create, CreateDeployment)
        assert create.manifest["spec"]["replicas"] == 0

    def test_an_update_switches_and_keeps_the_old_for_a_while(self) -> None:
        old = settled(function())
        new = old.model_copy(update={"spec": function(timeout=9).spec})
        found = plan(snapshot(new, deployment_of(old)), NOW)
        assert kinds(found.actions) == [CreateDeployment, WriteStatus]
        assert found.requeue_after == 10.0
        assert status_of(found)["active"]["deployment"] == target_of(new).deployment

    @pytest.mark.parametrize(("empty", "expected"), [(True, 1), (False, 0)])
    def test_the_old_goes_when_it_is_empty(self, empty: bool, expected: int) -> None:
        old = function(timeout=9)
        item = settled(function())
        before = deployment_of(old, empty=empty)
        found = plan(snapshot(item, deployment_of(item), before), NOW + timedelta(seconds=10))
        assert [a.name for a in found.actions if isinstance(a, Delete)] == [before.name] * expected

    def test_quick_updates_do_not_pile_up(self) -> None:
        item = settled(function())
        old = [
            deployment_of(function(timeout=9 + n), created=f"2026-11-21T11:00:0{n}Z")
            for n in range(6)
        ]
        found = plan(snapshot(item, deployment_of(item), *reversed(old)), NOW)
        assert [a.name for a in found.actions if isinstance(a, Delete)] == [
            each.name for each in old[:2]
        ]
        assert found.requeue_after == 10.0

    def test_the_old_is_deleted_exactly_as_it_was_seen(self) -> None:
        item, before = settled(function()), deployment_of(function(timeout=9))
        (action,) = plan(snapshot(item, deployment_of(item), before), LATER).actions
        assert isinstance(action, Delete)
        assert (action.uid, action.resource_version) == (before.uid, "5")

    def test_a_deployment_that_was_deleted_by_hand_comes_back_under_its_name(self) -> None:
        item = settled(function())
        (action,) = plan(snapshot(item), LATER).actions
        assert isinstance(action, CreateDeployment)
        assert action.manifest["metadata"]["name"] == item.status.active.deployment  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        "edit",
        [
            ("metadata", "labels", {labels.MANAGED_BY: "klambda"}),
            ("metadata", "annotations", {}),
            ("spec", "revisionHistoryLimit", 10),
        ],
    )
    def test_what_was_edited_by_hand_is_repaired(self, edit: tuple[str, str, Any]) -> None:
        item = settled(function())
        current = deployment_of(item)
        part, member, value = edit
        content = dict(current.content)
        content[part] = content[part] | {member: value}
        found = plan(snapshot(item, replace(current, content=content)), LATER)
        assert kinds(found.actions) == [RepairDeployment]

    def test_a_foreign_member_is_nulled_and_replicas_are_never_mentioned(self) -> None:
        item = settled(function())
        current = deployment_of(item)
        body = current.content
        pod = body["spec"]["template"]["spec"] | {"hostNetwork": True, "volumes": [{"name": "v"}]}
        template = body["spec"]["template"] | {"spec": pod}
        content = {**body, "spec": body["spec"] | {"template": template}}
        (action,) = plan(snapshot(item, replace(current, content=content)), LATER).actions
        assert isinstance(action, RepairDeployment)
        patch = action.patch
        assert patch["metadata"]["resourceVersion"] == "5"
        assert patch["spec"]["template"]["spec"]["hostNetwork"] is None
        assert patch["spec"]["template"]["spec"]["volumes"] is None
        assert "replicas" not in patch["spec"]

    def test_an_added_variable_is_drift(self) -> None:
        item = settled(function())
        current = deployment_of(item)
        container = current.content["spec"]["template"]["spec"]["containers"][0]
        container["env"].append({"name": "X", "value": "1"})
        assert kinds(plan(snapshot(item, current), LATER).actions) == [RepairDeployment]

    def test_a_stranger_is_left_alone(self) -> None:
        item = function()
        stranger = deployment_of(item, owner=None)
        found = plan(snapshot(item, stranger), NOW)
        assert kinds(found.actions) == [WriteStatus]
        assert condition_of(found, "Ready").reason == "NameConflict"
        assert condition_of(found, "DeploymentApplied").status == "False"
        assert status_of(found)["failed"]["reasonCode"] == "InternalError"
        assert found.requeue_after == 60.0

    def test_one_that_is_being_deleted_is_waited_for(self) -> None:
        item = function()
        found = plan(snapshot(item, deployment_of(item, deleting=True)), NOW)
        assert kinds(found.actions) == [WriteStatus]
        assert found.requeue_after == 1.0
        assert "failed" not in status_of(found)

    @pytest.mark.parametrize(
        ("spec", "reason", "condition", "code"),
        [
            ({"code": None}, "NoCode", None, None),
            ({"code": {"files": {"a.py": ""}}}, "CodePending", None, None),
            ({"runtime": "cobol"}, "UnknownRuntime", "ImageResolved", "InvalidRuntime"),
            (
                {"layers": ["arn:aws:lambda:us-east-1:123456789012:layer:l:1"]},
                "LayersPending",
                None,
                None,
            ),
            (
                {"environment": {"variables": {"KEY": "x" * 4096}}},
                "InvalidConfiguration",
                "ImageResolved",
                "InvalidConfiguration",
            ),
        ],
    )
    def test_what_stands_in_the_way(
        self, spec: dict[str, Any], reason: str, condition: str | None, code: str | None
    ) -> None:
        found = plan(snapshot(function(**spec)), NOW)
        assert kinds(found.actions) == [WriteStatus]
        ready = condition_of(found, "Ready")
        passing = reason in ("CodePending", "LayersPending")
        assert (ready.status, ready.reason) == ("Unknown" if passing else "False", reason)
        assert bool(found.transitions) is not passing
        assert len(ready.message) > 20
        if condition:
            assert condition_of(found, condition).status == "False"
        assert status_of(found).get("failed", {}).get("reasonCode") == code
        assert condition_of(found, "DeploymentApplied").status == "Unknown"

    def test_layers_that_the_gateway_refused(self) -> None:
        refusal = {
            "type": "LayersResolved", "status": "False", "reason": "LayerMissing",
            "message": "Layer version l:1 does not exist.", "observedGeneration": 1,
            "lastTransitionTime": "2026-11-21T12:00:00Z",
        }  # fmt: skip
        found = plan(snapshot(function({"conditions": [refusal]}, layers=[LAYER["arn"]])), NOW)
        ready = condition_of(found, "Ready")
        assert (ready.status, ready.reason, ready.message) == (
            "False", "LayerMissing", refusal["message"],
        )  # fmt: skip
        assert status_of(found)["failed"]["reasonCode"] == "InvalidConfiguration"

    def test_resolved_layers_are_assigned_in_order(self) -> None:
        other = {"arn": LAYER["arn"] + "2", "sha256": "c" * 64, "size": 4}
        item = function({"layers": [LAYER, other]}, layers=[other["arn"], LAYER["arn"]])
        assert kinds(plan(snapshot(item), NOW).actions) == [CreateDeployment, WriteStatus]
        assigned = target_of(item).assignment.layers
        assert [(each.sha256, each.size) for each in assigned] == [("c" * 64, 4), ("b" * 64, 3)]

    def test_what_serves_goes_on_serving(self) -> None:
        old = settled(function())
        broken = old.model_copy(update={"spec": function(runtime="cobol").spec})
        found = plan(snapshot(broken, deployment_of(old)), LATER)
        assert kinds(found.actions) == [WriteStatus]
        assert old.status.active is not None
        assert status_of(found)["active"] == old.status.active.to_json()

    def test_an_unknown_runtime_names_those_that_are_there(self) -> None:
        message = condition_of(plan(snapshot(function(runtime="cobol")), NOW), "Ready").message
        assert "python3.13" in message

    def test_a_substitute_is_told(self) -> None:
        found = plan(snapshot(function(runtime="python3.12")), NOW)
        assert condition_of(found, "RuntimeSubstituted").status == "True"
        assert {t.condition.type for t in found.transitions} == {"Ready", "RuntimeSubstituted"}

    @pytest.mark.parametrize(
        ("rival", "taken"),
        [
            (Rival(name="old", uid="u", created="2026-11-21T10:00:00Z"), True),
            (Rival(name="same-second", uid="a", created="2026-11-21T11:00:00Z"), True),
            (Rival(name="young", uid="u", created="2026-11-21T11:30:00Z"), False),
        ],
    )
    def test_the_oldest_has_the_name(self, rival: Rival, taken: bool) -> None:
        found = plan(snapshot(function(), rivals=[rival]), NOW)
        assert condition_of(found, "NameTaken").status == str(taken)
        assert condition_of(found, "Ready").status == str(not taken)
        assert any(isinstance(a, CreateDeployment) for a in found.actions) is not taken

    def test_a_refused_deployment_is_a_condition(self) -> None:
        found = plan(snapshot(function(), refusal="exceeded quota"), NOW)
        assert kinds(found.actions) == [WriteStatus]
        assert "exceeded quota" in condition_of(found, "Ready").message
        assert found.requeue_after == 60.0

    def test_children_of_a_vanished_namesake_go(self) -> None:
        item = settled(function())
        owner = Owner(kind="Function", name="area", uid="before")
        old = deployment_of(item, name="area-latest-0", owner=owner, empty=False, uid="d")
        child = Child(kind=VERSION, name="area-v1", uid="v", owner=owner)
        mine = Child(kind=ALIAS, name="a", uid="a", owner=replace(owner, uid=item.uid))
        users = Child(kind=ALIAS, name="b", uid="b", owner=None)
        found = plan(snapshot(item, deployment_of(item), old, children=[child, mine, users]), LATER)
        assert found.actions == [
            Delete(kind=VERSION, name="area-v1", uid="v"),
            Delete(kind=DEPLOYMENT, name="area-latest-0", uid="d"),
        ]

    def test_a_vanished_function_takes_everything_with_it(self) -> None:
        item = function()
        (action,) = plan(snapshot(None, deployment_of(item, empty=False)), NOW).actions
        assert isinstance(action, Delete)
        assert action.resource_version is None

    def test_a_new_image_is_an_upgrade(self) -> None:
        item = settled(function())
        images = dict(RUNTIMES.images) | {"python3.13": Runtime(image="klambda/python3.13:2")}
        world = replace(WORLD, runtimes=replace(RUNTIMES, images=images))
        found = plan(replace(snapshot(item, deployment_of(item)), world=world), LATER)
        assert found.upgrade
        assert not plan(snapshot(settled(function()), deployment_of(item)), LATER).upgrade

    def test_an_object_that_cannot_be_read_says_so_and_keeps_serving(self) -> None:
        item = function()
        status = {"active": {"configDigest": "c", "revision": "r", "deployment": "d"}}
        broken = Broken(
            kind=item.DEFINITION.kind,
            metadata=item.metadata,
            status=status,
            message="spec.timeout: too big",
        )
        found = plan(replace(snapshot(None), function=broken), NOW)
        assert status_of(found)["active"] == status["active"]
        assert condition_of(found, "Ready").reason == "InvalidObject"

    def test_a_function_being_deleted_is_left_to_the_collector(self) -> None:
        body = stored_function()
        body["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
        assert plan(snapshot(Function.read(body)), NOW).actions == []


def version(owned: bool = True, status: dict[str, Any] | None = None) -> Version:
    made = publish(function(), [])
    assert isinstance(made, NewVersion)
    body = made.manifest
    body["metadata"] |= {"uid": "uid-v", "generation": 1, "resourceVersion": "7"}
    if not owned:
        del body["metadata"]["ownerReferences"]
    return Version.read(body | {"status": status or {}})


def version_snapshot(item: Version | None, *deployments: Deployment, uid: str | None = "uid-1",
                     **members: Any) -> VersionSnapshot:  # fmt: skip
    return VersionSnapshot(
        key=Key("versions", "default", "area-v1"),
        version=item,
        world=WORLD,
        function_uid=uid,
        deployments=deployments,
        **members,
    )


class TestVersion:
    def test_it_gets_a_deployment_of_its_own(self) -> None:
        found = plan(version_snapshot(version()), NOW)
        assert kinds(found.actions) == [CreateDeployment, WriteStatus]
        assert status_of(found)["active"]["deployment"].startswith("area-v1-")

    def test_a_settled_one_gets_nothing(self) -> None:
        item = version(status=status_of(plan(version_snapshot(version()), NOW)))
        assert plan(version_snapshot(item, deployment_of(item)), LATER).actions == []

    def test_one_that_a_user_made_is_adopted_first(self) -> None:
        found = plan(version_snapshot(version(owned=False)), NOW)
        (action,) = found.actions
        assert isinstance(action, Adopt)
        (reference,) = action.patch["metadata"]["ownerReferences"]
        assert (reference["uid"], reference["controller"]) == ("uid-1", True)
        assert action.patch["metadata"]["resourceVersion"] == "7"
        assert found.requeue_after == 0.0

    def test_without_its_function_it_waits(self) -> None:
        found = plan(version_snapshot(version(owned=False), uid=None), NOW)
        assert kinds(found.actions) == [WriteStatus]
        assert condition_of(found, "Ready").reason == "FunctionMissing"

    def test_one_of_a_vanished_namesake_counts_for_nothing(self) -> None:
        assert plan(version_snapshot(version(), uid="uid-2"), NOW).actions == []

    def test_when_it_goes_its_deployments_go(self) -> None:
        found = plan(version_snapshot(None, deployment_of(version(), empty=False)), NOW)
        assert kinds(found.actions) == [Delete]


def alias(owned: bool = True, status: dict[str, Any] | None = None, **spec: Any) -> Alias:
    base = {"functionRef": "area", "name": "live", "functionVersion": "1"}
    owner = {"apiVersion": "klambda.io/v1alpha1", "kind": "Function", "name": "area"}
    references = [owner | {"uid": "uid-1", "controller": True}] if owned else []
    return Alias.read(
        {
            "metadata": {
                "name": "area-live",
                "namespace": "default",
                "uid": "uid-a",
                "generation": 1,
                "resourceVersion": "3",
                "creationTimestamp": "2026-11-21T11:00:00Z",
                "ownerReferences": references,
            },
            "spec": {k: v for k, v in (base | spec).items() if v is not None},
            "status": status or {},
        }
    )


def alias_snapshot(item: Alias | None, *versions: int, **members: Any) -> AliasSnapshot:
    members = {"function_uid": "uid-1"} | members
    return AliasSnapshot(
        key=Key("aliases", "default", "area-live"),
        alias=item,
        world=WORLD,
        versions=frozenset(versions),
        **members,
    )


WEIGHTED: dict[str, Any] = {"routingConfig": {"additionalVersionWeights": {"2": 0.1}}}


class TestAlias:
    def test_it_leads_to_its_version(self) -> None:
        found = plan(alias_snapshot(alias(), 1), NOW)
        assert status_of(found)["versions"] == [{"version": "1", "weight": 1.0}]
        assert condition_of(found, "TargetsExist").status == "True"

    def test_a_settled_one_gets_nothing(self) -> None:
        item = alias(status=status_of(plan(alias_snapshot(alias(), 1), NOW)))
        assert plan(alias_snapshot(item, 1), LATER).actions == []

    @pytest.mark.parametrize(
        ("spec", "existing", "expected"),
        [
            ({}, {1}, [("1", 1.0)]),
            (WEIGHTED, {1, 2}, [("1", 0.9), ("2", 0.1)]),
            ({"functionVersion": "$LATEST"}, set(), [("$LATEST", 1.0)]),
            ({"functionVersion": None, "track": "LatestPublished"}, {1, 3}, [("3", 1.0)]),
            ({"functionVersion": None, "track": "LatestPublished"}, set(), []),
            (
                {"functionVersion": None, "track": "LatestPublished"} | WEIGHTED,
                {2},
                [("2", 1.0)],
            ),
        ],
    )
    def test_targets_and_weights(
        self, spec: dict[str, Any], existing: set[int], expected: list[tuple[str, float]]
    ) -> None:
        found = wanted_targets(alias(**spec), frozenset(existing))
        assert [(t.version, t.weight) for t in found] == expected

    @pytest.mark.parametrize(
        ("spec", "provisioned", "status"),
        [
            ({}, {1}, None),
            ({"provisionedConcurrentExecutions": 2}, set(), "False"),
            ({"provisionedConcurrentExecutions": 2}, {3}, "False"),
            ({"provisionedConcurrentExecutions": 2}, {1, 3}, "True"),
            ({"provisionedConcurrentExecutions": 2} | WEIGHTED, {2}, "True"),
            ({"provisionedConcurrentExecutions": 2, "functionVersion": "$LATEST"}, {1}, "False"),
        ],
    )
    def test_an_alias_and_its_version_provisioned_both(
        self, spec: dict[str, Any], provisioned: set[int], status: str | None
    ) -> None:
        """What the API refuses (aws-contract f), kubectl's door tells."""
        snapshot = alias_snapshot(alias(**spec), 1, 2, 3, provisioned=frozenset(provisioned))
        conditions = status_of(plan(snapshot, NOW))["conditions"]
        found = [each for each in conditions if each["type"] == "ProvisionedTwice"]
        assert [each["status"] for each in found] == ([] if status is None else [status])

    @pytest.mark.parametrize(
        ("item", "members", "versions", "reason"),
        [
            (alias(), {"function_uid": "uid-1"}, (), "TargetMissing"),
            (alias(**WEIGHTED), {}, (1,), "TargetMissing"),
            (alias(owned=False), {"function_uid": None}, (1,), "FunctionMissing"),
            (alias(functionVersion=None, track="LatestPublished"), {}, (), "NoVersion"),
            (
                alias(),
                {"rivals": [Rival(name="x", uid="u", created="2026-11-21T10:00:00Z")]},
                (1,),
                "NameTaken",
            ),
        ],
    )
    def test_trouble_is_a_condition(
        self, item: Alias, members: dict[str, Any], versions: tuple[int, ...], reason: str
    ) -> None:
        found = plan(alias_snapshot(item, *versions, **members), NOW)
        for kind in ("Ready", "TargetsExist"):
            assert condition_of(found, kind).reason == reason
        assert "versions" not in status_of(found)

    def test_it_never_moves_to_where_nothing_answers(self) -> None:
        before = status_of(plan(alias_snapshot(alias(), 1), NOW))
        moved = alias(status=before, functionVersion="9")
        found = plan(alias_snapshot(moved, 1), NOW)
        assert status_of(found)["versions"] == [{"version": "1", "weight": 1.0}]
        assert condition_of(found, "Ready").status == "False"

    def test_one_that_a_user_made_is_adopted(self) -> None:
        assert kinds(plan(alias_snapshot(alias(owned=False), 1), NOW).actions) == [Adopt]

    @pytest.mark.parametrize("members", [{"function_uid": "uid-2"}, {"function_uid": None}])
    def test_one_of_a_vanished_function_counts_for_nothing(self, members: dict[str, Any]) -> None:
        assert plan(alias_snapshot(alias(), 1, **members), NOW).actions == ()

    def test_one_that_is_gone_needs_nothing(self) -> None:
        assert plan(alias_snapshot(None), NOW) == Plan()
