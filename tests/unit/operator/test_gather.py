"""Gathering and executing: what is read afresh, and what a world that moved on leads to."""

from typing import Any

import pytest

from klambda_core.arn import account_id
from klambda_core.kinds import ALIAS, DEPLOYMENT, FUNCTION, NAMESPACE, VERSION
from klambda_kube.errors import Forbidden, NotFound
from klambda_operator.execute import Again, Executor
from klambda_operator.gather import Accounts, Gatherer
from klambda_operator.model import (
    Adopt,
    AliasSnapshot,
    Broken,
    CreateDeployment,
    Delete,
    FunctionSnapshot,
    Key,
    Plan,
    WriteStatus,
)
from klambda_operator.observed import Observed
from klambda_operator.plan import plan
from klambda_operator.settings import Settings
from tests.unit.operator.world import NOW, RUNTIMES, FakeApi, new_function

KEY = Key("functions", "default", "area")


class Rig:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.observed = Observed()
        self.concerned: set[Key] = set()
        self.gatherer = Gatherer(
            api=self.api,
            observed=self.observed,
            accounts=Accounts(self.api, {}, lambda: 0.0),
            settings=Settings(namespace="klambda", runtimes=RUNTIMES),
            installation_key="0" * 64,
            concern=self.concerned.update,
        )
        self.executor = Executor(self.api, self.observed, self.concerned.update)

    async def function(self) -> FunctionSnapshot:
        found = await self.gatherer.gather(KEY)
        assert isinstance(found, FunctionSnapshot)
        return found


@pytest.fixture
def rig() -> Rig:
    return Rig()


class TestGather:
    async def test_absence_is_confirmed(self, rig: Rig) -> None:
        assert (await rig.function()).function is None
        rig.api.put(FUNCTION, new_function())
        assert (await rig.function()).function is not None

    async def test_a_child_of_a_younger_namesake_is_never_an_orphan(self, rig: Rig) -> None:
        """Its own event may come before that of the function that was created again."""
        rig.observed.put(FUNCTION, rig.api.put(FUNCTION, new_function()))
        rig.api.remove(FUNCTION, "area")
        successor = rig.api.put(FUNCTION, new_function())
        owner = {"apiVersion": "klambda.io/v1alpha1", "kind": "Function", "name": "area"}
        metadata = {
            "name": "area-v1",
            "ownerReferences": [owner | {"uid": successor["metadata"]["uid"], "controller": True}],
        }
        spec = {"functionRef": "area", "version": 1}
        rig.observed.put(VERSION, rig.api.put(VERSION, {"metadata": metadata, "spec": spec}))
        found = await rig.function()
        assert found.function is not None
        assert found.function.metadata.uid == successor["metadata"]["uid"]
        assert not any(isinstance(a, Delete) for a in plan(found, NOW).actions)

    @pytest.mark.parametrize("gone", [True, False])
    async def test_who_lost_what_it_serves_with_is_read_again(self, rig: Rig, gone: bool) -> None:
        """Its Deployment's end may be told before its own; only one that lives gets another."""
        active = {"deployment": "area-latest-1"}
        stored = rig.api.put(FUNCTION, new_function() | {"status": {"active": active}})
        rig.observed.put(FUNCTION, stored)
        if gone:
            rig.api.remove(FUNCTION, "area")
        assert ((await rig.function()).function is None) is gone
        assert (rig.observed.get(FUNCTION, "default", "area") is None) is gone

    async def test_what_cannot_be_read_is_broken(self, rig: Rig) -> None:
        rig.api.put(FUNCTION, new_function(timeout=9999))
        found = (await rig.function()).function
        assert isinstance(found, Broken)
        assert found.message.startswith("spec.timeout: ")

    async def test_a_stranger_is_read_again_each_time(self, rig: Rig) -> None:
        rig.api.put(FUNCTION, new_function())
        (create, _) = plan(await rig.function(), NOW).actions
        assert isinstance(create, CreateDeployment)
        name = create.manifest["metadata"]["name"]
        stranger = {"metadata": {"name": name}, "spec": {"template": {}}}
        rig.observed.put(DEPLOYMENT, rig.api.put(DEPLOYMENT, stranger))
        (found,) = (await rig.function()).deployments
        assert found.owner is None
        rig.api.remove(DEPLOYMENT, name)
        assert list((await rig.function()).deployments) == []

    async def test_an_alias_sees_its_family_only(self, rig: Rig) -> None:
        function = rig.api.put(FUNCTION, new_function())
        rig.observed.put(FUNCTION, function)
        snapshot = new_function()["spec"] | {"functionName": "area"}
        for number, uid in ((1, function["metadata"]["uid"]), (2, "vanished")):
            owner = {"apiVersion": "klambda.io/v1alpha1", "kind": "Function", "name": "area"}
            metadata = {
                "name": f"area-v{number}",
                "ownerReferences": [owner | {"uid": uid, "controller": True}],
            }
            spec = {"functionRef": "area", "version": number, "snapshot": snapshot}
            body = rig.api.put(VERSION, {"metadata": metadata, "spec": spec})
            rig.observed.put(VERSION, body)
        for name in ("one", "two"):
            spec = {"functionRef": "area", "name": "live", "functionVersion": "1"}
            body = rig.api.put(ALIAS, {"metadata": {"name": name}, "spec": spec})
            rig.observed.put(ALIAS, body)
        found = await rig.gatherer.gather(Key("aliases", "default", "one"))
        assert isinstance(found, AliasSnapshot)
        assert found.versions == {1}
        assert [rival.name for rival in found.rivals] == ["two"]
        assert found.function_uid == function["metadata"]["uid"]
        assert found.function_name == function["spec"].get("functionName", "area")


class Namespaces:
    def __init__(self, answer: dict[str, str] | Exception) -> None:
        self.answer = answer
        self.asked = 0

    async def get(self, kind: Any, namespace: str | None, name: str) -> dict[str, Any]:
        self.asked += 1
        assert (kind, namespace) == (NAMESPACE, None)
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"metadata": {"name": name, "annotations": self.answer}}


class TestAccounts:
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            ({"klambda.io/account-id": "1" * 12}, "1" * 12),
            ({}, "2" * 12),
            (Forbidden(403, "Forbidden", ""), "2" * 12),
            (NotFound(404, "NotFound", ""), "2" * 12),
        ],
    )
    async def test_annotation_then_map(
        self, answer: dict[str, str] | Exception, expected: str
    ) -> None:
        accounts = Accounts(Namespaces(answer), {"ns": "2" * 12}, lambda: 0.0)
        assert await accounts.of("ns") == expected
        assert await accounts.of("other") in {expected, account_id("other")}

    async def test_it_is_asked_once_a_minute(self) -> None:
        now = 0.0
        namespaces = Namespaces({})
        accounts = Accounts(namespaces, {}, lambda: now)
        for now in (0.0, 59.0, 60.0):  # noqa: B007 - read by the clock
            await accounts.of("ns")
        assert namespaces.asked == 2


class TestExecute:
    async def test_a_status_for_another_version_of_the_object(self, rig: Rig) -> None:
        body = rig.api.put(FUNCTION, new_function())
        rig.api.edit(FUNCTION, "area", {"spec": {"timeout": 9}})
        old = body["metadata"]["resourceVersion"]
        action = WriteStatus(kind=FUNCTION, name="area", resource_version=old, status={})
        with pytest.raises(Again):
            await rig.executor.act("default", action)
        assert rig.concerned == {KEY}
        record = rig.observed.get(FUNCTION, "default", "area")
        assert record is not None
        assert record.body()["spec"]["timeout"] == 9

    async def test_a_status_for_an_object_that_is_gone(self, rig: Rig) -> None:
        action = WriteStatus(kind=FUNCTION, name="area", resource_version="1", status={})
        with pytest.raises(Again):
            await rig.executor.act("default", action)

    async def test_a_deletion_that_someone_did_before_is_done(self, rig: Rig) -> None:
        await rig.executor.act("default", Delete(kind=DEPLOYMENT, name="d", uid="u"))

    @pytest.mark.parametrize("change", [{"uid": "other"}, {"resource_version": "0"}])
    async def test_a_deletion_hits_exactly_what_was_seen(
        self, rig: Rig, change: dict[str, str]
    ) -> None:
        made = rig.api.put(DEPLOYMENT, {"metadata": {"name": "d"}, "spec": {}})
        seen = {"uid": made["metadata"]["uid"]} | change
        with pytest.raises(Again):
            await rig.executor.act("default", Delete(kind=DEPLOYMENT, name="d", **seen))
        assert len(rig.api.all(DEPLOYMENT)) == 1

    async def test_an_adoption_of_what_has_changed(self, rig: Rig) -> None:
        rig.api.put(ALIAS, {"metadata": {"name": "a"}, "spec": {}})
        patch = {"metadata": {"resourceVersion": "0", "ownerReferences": []}}
        with pytest.raises(Again):
            await rig.executor.run(
                "default", Plan(actions=[Adopt(kind=ALIAS, name="a", patch=patch)])
            )
