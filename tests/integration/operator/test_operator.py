"""The operator with real kopf against a real API server.

There is no controller-manager: Deployments make no pods, and nothing collects garbage, so whatever
is cleaned up here the operator cleaned up itself.
"""

import random
import re
import time
from pathlib import Path

import pytest

from klambda_core.crd import Function, Version
from klambda_core.kinds import ALIAS, DEPLOYMENT, EVENT, FUNCTION, VERSION
from klambda_core.snapshot import NewVersion, publish
from klambda_core.state import function_state
from klambda_operator.assess import Target, assess, subject_of_function
from klambda_operator.model import World
from klambda_operator.settings import Runtime, Runtimes
from tests.integration.operator.rig import (
    OWN_NAMESPACE,
    RUNTIMES,
    SHA,
    Hands,
    OperatorProcess,
    active,
    condition_of,
    forget_lease,
    set_account,
    wait,
)
from tests.support.apiserver import ApiServer

OTHER_CODE = {"blob": {"sha256": "b" * 64, "size": 12}}


class TestFunction:
    def test_a_new_function_becomes_active(self, hands: Hands) -> None:
        hands.function()
        body = hands.ready()
        (deployment,) = hands.list(DEPLOYMENT)
        assert deployment["metadata"]["name"] == active(body)
        assert deployment["spec"]["replicas"] == 0
        assert deployment["metadata"]["ownerReferences"][0]["uid"] == body["metadata"]["uid"]
        assert function_state(Function.read(body)).state == "Active"

    def test_the_operator_writes_nothing_but_its_status(self, hands: Hands) -> None:
        hands.function()
        body = hands.ready()
        managers = {(m["manager"], m.get("subresource")) for m in body["metadata"]["managedFields"]}
        assert {m for m in managers if m[0].startswith(("klambda", "kopf"))} == {
            ("klambda-operator", "status")
        }
        assert "finalizers" not in body["metadata"]
        assert "annotations" not in body["metadata"]

    def test_the_address_of_a_url_comes_and_goes_with_it(self, hands: Hands) -> None:
        def address() -> str | None:
            body = hands.get(FUNCTION, "area")
            found: str | None = (body or {}).get("status", {}).get("url")
            return found

        hands.function(url={"authType": "NONE"})
        hands.ready()
        shown = str(wait(address, "the address"))
        assert re.fullmatch(r"http://[a-z2-7]{32}\.lambda-url\.us-east-1\.localhost/", shown)
        hands.patch(FUNCTION, "area", {"spec": {"url": None}})
        wait(lambda: address() is None, "no address")

    def test_an_update_switches_then_the_old_goes(self, hands: Hands) -> None:
        hands.function()
        old = active(hands.ready())
        hands.patch(FUNCTION, "area", {"spec": {"code": OTHER_CODE}})
        new = active(hands.ready())
        assert new != old
        assert hands.deployments() == {old, new}, "a request may still be on its way to the old"
        wait(lambda: hands.deployments() == {new}, "the old one goes")

    def test_an_old_revision_stays_until_it_is_drained(self, hands: Hands) -> None:
        hands.function()
        old = active(hands.ready())
        hands.scale(old, 2)
        hands.report(old, 2)
        hands.patch(FUNCTION, "area", {"spec": {"timeout": 9}})
        hands.ready()
        time.sleep(11)  # longer than the grace after the switch
        assert old in hands.deployments()
        hands.scale(old, 0)
        time.sleep(0.3)
        assert old in hands.deployments(), "its pods are still there"
        hands.report(old, 0)
        wait(lambda: old not in hands.deployments(), "the drained one goes")

    def test_a_tag_is_no_update(self, hands: Hands) -> None:
        hands.function()
        old = active(hands.ready())
        hands.patch(FUNCTION, "area", {"spec": {"tags": {"a": "b"}}})
        assert active(hands.ready()) == old

    def test_going_back_before_the_old_is_gone_uses_it_again(self, hands: Hands) -> None:
        hands.function()
        old = active(hands.ready())
        hands.patch(FUNCTION, "area", {"spec": {"timeout": 9}})
        hands.ready()
        hands.patch(FUNCTION, "area", {"spec": {"timeout": 3}})
        assert active(hands.ready()) == old

    def test_no_code_then_code(self, hands: Hands) -> None:
        hands.function(code=None)
        body = hands.condition("Ready", "False")
        assert condition_of(body, "Ready")["reason"] == "NoCode"
        assert function_state(Function.read(body)).state == "Pending"
        assert hands.deployments() == set()
        hands.patch(FUNCTION, "area", {"spec": {"code": OTHER_CODE}})
        hands.ready()

    def test_an_unknown_runtime_keeps_the_old_revision_serving(self, hands: Hands) -> None:
        hands.function()
        old = active(hands.ready())
        hands.patch(FUNCTION, "area", {"spec": {"runtime": "cobol"}})
        body = hands.condition("Ready", "False")
        assert "python3.13" in condition_of(body, "Ready")["message"]
        assert active(body) == old
        state = function_state(Function.read(body))
        assert (state.last_update_status, state.last_update_status_reason_code) == (
            "Failed",
            "InvalidRuntime",
        )
        hands.patch(FUNCTION, "area", {"spec": {"runtime": "python3.13"}})
        body = hands.ready()
        assert "failed" not in body["status"]

    def test_the_account_is_that_of_the_namespace(self, apiserver: ApiServer, hands: Hands) -> None:
        set_account(apiserver, hands.namespace, "210987654321")
        hands.function()
        hands.ready()
        (deployment,) = hands.list(DEPLOYMENT)
        assert "210987654321" in deployment["metadata"]["annotations"]["klambda.io/assignment"]

    def test_events_are_transitions(self, hands: Hands) -> None:
        hands.function(runtime="cobol")
        hands.condition("Ready", "False")
        hands.patch(FUNCTION, "area", {"spec": {"description": "x"}})
        hands.patch(FUNCTION, "area", {"spec": {"runtime": "python3.13"}})
        hands.ready()
        wait(lambda: len(hands.list(EVENT)) >= 2, "both events")
        told = [(e["type"], e["reason"]) for e in hands.list(EVENT)]
        assert sorted(told) == [("Normal", "Ready"), ("Warning", "UnknownRuntime")]


class TestDeletion:
    def test_deleting_leaves_nothing(self, hands: Hands) -> None:
        hands.function()
        hands.ready()
        hands.delete(FUNCTION, "area")
        wait(lambda: hands.deployments() == set(), "the Deployment goes")

    def test_delete_and_create_a_hundred_times(self, hands: Hands) -> None:
        for round_ in range(100):
            hands.function(timeout=round_ % 3 + 1)
            if round_ % 10 == 0:
                hands.ready()
            hands.delete(FUNCTION, "area")
        hands.function()
        body = hands.ready()
        wait(lambda: hands.deployments() == {active(body)}, "no orphan is left")
        (deployment,) = hands.list(DEPLOYMENT)
        assert deployment["metadata"]["ownerReferences"][0]["uid"] == body["metadata"]["uid"]

    def test_delete_create_and_publish_in_a_row(self, hands: Hands) -> None:
        for _ in range(5):
            hands.function()
            body = hands.ready()
            made = publish(Function.read(body), [])
            assert isinstance(made, NewVersion)
            wait(lambda: hands.get(VERSION, "area-v1") is None, "the old version is gone")
            hands.post(VERSION, made.manifest)
            hands.ready("area-v1", VERSION)
            hands.delete(FUNCTION, "area")
        wait(lambda: hands.deployments() == set(), "nothing is left")
        assert hands.list(VERSION) == []


class TestDrift:
    def test_replicas_are_the_gateways_and_the_rest_is_ours(self, hands: Hands) -> None:
        hands.function()
        name = active(hands.ready())
        before = hands.get(DEPLOYMENT, name)
        assert before is not None
        hands.scale(name, 3)
        container = {"name": "function", "image": "evil", "env": [{"name": "X", "value": "1"}]}
        more = {"name": "more", "image": "more"}
        pod = {"containers": [container, more], "hostNetwork": True}
        hands.patch(DEPLOYMENT, name, {"spec": {"template": {"spec": pod}}})

        def repaired() -> bool:
            found = hands.get(DEPLOYMENT, name)
            assert found is not None
            return bool(found["spec"]["template"] == before["spec"]["template"])

        wait(repaired, "the edit is undone, to the last field")
        after = hands.get(DEPLOYMENT, name)
        assert after is not None
        assert after["spec"]["replicas"] == 3

    @pytest.mark.parametrize("replicas", [0, 1, 3])
    def test_every_number_of_replicas_survives_a_repair(self, hands: Hands, replicas: int) -> None:
        hands.function()
        name = active(hands.ready())
        for number in (replicas, 5, replicas):
            hands.scale(name, number)
        hands.patch(DEPLOYMENT, name, {"spec": {"revisionHistoryLimit": 10}})

        def repaired() -> bool:
            found = hands.get(DEPLOYMENT, name)
            return found is not None and found["spec"]["revisionHistoryLimit"] == 0

        wait(repaired, "the edit is undone")
        found = hands.get(DEPLOYMENT, name)
        assert found is not None
        assert found["spec"].get("replicas", 0) == replicas

    def test_a_label_that_was_taken_away_comes_back(self, hands: Hands) -> None:
        hands.function()
        name = active(hands.ready())
        patch = {"metadata": {"labels": {"klambda.io/version": None}}}
        hands.patch(DEPLOYMENT, name, patch)

        def repaired() -> bool:
            found = hands.get(DEPLOYMENT, name) or {}
            return "klambda.io/version" in found["metadata"]["labels"]

        wait(repaired, "the label comes back")

    def test_a_deployment_that_was_deleted_comes_back(self, hands: Hands) -> None:
        hands.function()
        name = active(hands.ready())
        old = hands.get(DEPLOYMENT, name)
        assert old is not None
        hands.delete(DEPLOYMENT, name)

        def back() -> bool:
            found = hands.get(DEPLOYMENT, name)
            return found is not None and found["metadata"]["uid"] != old["metadata"]["uid"]

        wait(back, "it comes back under its name")


class TestNames:
    def test_a_stranger_under_our_name_is_left_alone(self, hands: Hands) -> None:
        made = hands.function(code=None)
        hands.condition("Ready", "False")
        wanted = Function.read(made | {"spec": made["spec"] | {"code": OTHER_CODE}})
        name = target(wanted, hands.namespace)
        labels = {"app": "stranger"}
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }
        stranger = hands.create(
            DEPLOYMENT, name, {"selector": {"matchLabels": labels}, "template": template}
        )
        hands.patch(FUNCTION, "area", {"spec": {"code": OTHER_CODE}})
        body = hands.condition("Ready", "False")
        assert condition_of(body, "Ready")["reason"] == "NameConflict"
        assert name in condition_of(body, "Ready")["message"]
        found = hands.get(DEPLOYMENT, name)
        assert found is not None
        assert found["metadata"]["resourceVersion"] == stranger["metadata"]["resourceVersion"]

    def test_the_oldest_has_the_name(self, hands: Hands) -> None:
        hands.function("first", functionName="Area")
        hands.ready("first")
        time.sleep(1.1)  # creation times are whole seconds
        hands.function("second", functionName="Area")
        body = hands.condition("NameTaken", "True", "second")
        assert "first" in condition_of(body, "Ready")["message"]
        hands.delete(FUNCTION, "first")
        hands.ready("second")


def target(function: Function, namespace: str) -> str:
    """The name that the operator will want for the Deployment."""
    from klambda_core.arn import account_id

    world = World(
        namespace=namespace,
        account=account_id(namespace),
        region="us-east-1",
        gateways="",
        runtimes=Runtimes(images={k: Runtime(image=v["image"]) for k, v in RUNTIMES.items()}),
        installation_key="",
    )
    found = assess(subject_of_function(function), world)
    assert isinstance(found, Target)
    return found.deployment


class TestVersionsAndAliases:
    def snapshot(self) -> dict[str, object]:
        return {
            "runtime": "python3.13",
            "handler": "a.b",
            "functionName": "area",
            "code": {"sha256": SHA, "size": 12},
        }

    def test_those_that_a_user_made_are_adopted_and_served(self, hands: Hands) -> None:
        function = hands.function()
        spec = {"functionRef": "area", "version": 1, "snapshot": self.snapshot()}
        hands.create(VERSION, "area-v1", spec)
        live = {"functionRef": "area", "name": "live", "functionVersion": "1"}
        hands.create(ALIAS, "area-live", live)
        version = hands.ready("area-v1", VERSION)
        alias = hands.ready("area-live", ALIAS)
        for each in (version, alias):
            (owner,) = each["metadata"]["ownerReferences"]
            assert owner["uid"] == function["metadata"]["uid"]
        assert alias["status"]["versions"] == [{"version": "1", "weight": 1}]
        deployment = hands.get(DEPLOYMENT, active(version))
        assert deployment is not None
        assert deployment["metadata"]["labels"]["klambda.io/version"] == "1"
        assert active(version) != active(hands.ready())

    def test_an_alias_waits_for_its_version(self, hands: Hands) -> None:
        hands.function()
        live = {"functionRef": "area", "name": "live", "functionVersion": "1"}
        hands.create(ALIAS, "area-live", live)
        body = hands.condition("TargetsExist", "False", "area-live", ALIAS)
        assert condition_of(body, "Ready")["reason"] == "TargetMissing"
        spec = {"functionRef": "area", "version": 1, "snapshot": self.snapshot()}
        hands.create(VERSION, "area-v1", spec)
        hands.ready("area-live", ALIAS)

    def test_a_version_waits_for_its_function(self, hands: Hands) -> None:
        spec = {"functionRef": "area", "version": 1, "snapshot": self.snapshot()}
        hands.create(VERSION, "area-v1", spec)
        body = hands.condition("Ready", "False", "area-v1", VERSION)
        assert condition_of(body, "Ready")["reason"] == "FunctionMissing"
        hands.function()
        hands.ready("area-v1", VERSION)

    def test_weights(self, hands: Hands) -> None:
        hands.function()
        for number in (1, 2):
            spec = {"functionRef": "area", "version": number, "snapshot": self.snapshot()}
            hands.create(VERSION, f"area-v{number}", spec)
        routing = {"additionalVersionWeights": {"2": 0.1}}
        live = {"functionRef": "area", "name": "live", "functionVersion": "1"}
        hands.create(ALIAS, "area-live", live | {"routingConfig": routing})
        body = hands.ready("area-live", ALIAS)
        assert body["status"]["versions"] == [
            {"version": "1", "weight": 0.9},
            {"version": "2", "weight": 0.1},
        ]

    def test_a_deleted_version_takes_its_deployment(self, hands: Hands) -> None:
        hands.function()
        own = active(hands.ready())
        spec = {"functionRef": "area", "version": 1, "snapshot": self.snapshot()}
        hands.create(VERSION, "area-v1", spec)
        hands.ready("area-v1", VERSION)
        hands.delete(VERSION, "area-v1")
        wait(lambda: hands.deployments() == {own}, "its Deployment goes")

    def test_what_publish_builds_is_what_the_operator_reads(self, hands: Hands) -> None:
        hands.function()
        made = publish(Function.read(hands.ready()), [])
        assert isinstance(made, NewVersion)
        hands.post(VERSION, made.manifest)
        body = hands.ready("area-v1", VERSION)
        assert Version.read(body).status.active is not None


class TestProcess:
    def test_health_and_metrics(self, hands: Hands, operator: OperatorProcess) -> None:
        hands.function()
        hands.ready()
        assert '"ok": true' in operator.read("/healthz")
        assert '"ok": true' in operator.read("/readyz")
        name = 'klambda_operator_reconcile_total{kind="functions",result="success"}'
        assert operator.metrics()[name] > 0

    def test_no_reconcile_was_a_bug(self, operator: OperatorProcess) -> None:
        assert [line for line in operator.log() if line["event"] == "reconcile-bug"] == []

    def test_killed_at_any_moment_it_still_ends_right(
        self, apiserver: ApiServer, hands: Hands, operator: OperatorProcess
    ) -> None:
        dice = random.Random(20261121)
        names = [f"fn{number}" for number in range(12)]
        for _ in range(5):
            for name in names:
                if hands.get(FUNCTION, name) is None:
                    hands.function(name)
                elif dice.random() < 0.3:
                    hands.delete(FUNCTION, name)
                else:
                    hands.patch(FUNCTION, name, {"spec": {"timeout": dice.randint(1, 900)}})
            time.sleep(dice.random() * 0.3)
            operator.kill()
            forget_lease(apiserver)
            operator.start()
        expected = {active(hands.ready(f["metadata"]["name"])) for f in hands.list(FUNCTION)}
        wait(lambda: hands.deployments() == expected, "exactly the wanted set", 40)
        self.check_rest(hands, operator, apiserver)

    def check_rest(self, hands: Hands, operator: OperatorProcess, server: ApiServer) -> None:
        """A fresh operator that looks at everything writes nothing."""
        operator.rest()
        before = self.versions(hands)
        assert operator.stop() == 0
        forget_lease(server)
        operator.start()
        operator.rest()
        writes = {
            name: value
            for name, value in operator.metrics().items()
            if name.startswith("klambda_operator_kube_requests_total")
            and any(f'kind="{kind}"' in name for kind in ("functions", "deployments"))
            and 'verb="list"' not in name
            and 'verb="watch"' not in name
        }
        assert writes == {}
        assert self.versions(hands) == before

    def versions(self, hands: Hands) -> dict[str, str]:
        return {
            each["metadata"]["name"]: each["metadata"]["resourceVersion"]
            for kind in (FUNCTION, DEPLOYMENT)
            for each in hands.list(kind)
        }

    def test_the_api_server_may_go_away(
        self, apiserver: ApiServer, hands: Hands, operator: OperatorProcess
    ) -> None:
        hands.function()
        hands.ready()
        apiserver.stop()
        apiserver.start()
        hands.patch(FUNCTION, "area", {"spec": {"timeout": 9}})
        if (status := operator.outlived(2.0)) is not None:
            # It could not renew its lease in time; the kubelet starts it again.
            assert status == 1
            operator.start()
        hands.ready()

    def test_bound_to_namespaces_it_leaves_the_others_alone(
        self, apiserver: ApiServer, hands: Hands, operator: OperatorProcess, tmp_path: Path
    ) -> None:
        outside = Hands(apiserver, f"{hands.namespace}-outside")
        bound = OperatorProcess(
            apiserver, tmp_path / "log", KLAMBDA_WATCH_NAMESPACES=hands.namespace
        )
        operator.stop()
        forget_lease(apiserver)
        bound.start()
        try:
            outside.function()
            hands.function()
            hands.ready()
            hands.patch(FUNCTION, "area", {"spec": {"timeout": 9}})
            hands.ready()
            assert "status" not in (outside.get(FUNCTION, "area") or {})
        finally:
            bound.stop()
            forget_lease(apiserver)
            operator.start()
        outside.ready()

    def test_a_second_operator_waits_for_the_lease(
        self, apiserver: ApiServer, operator: OperatorProcess
    ) -> None:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{OWN_NAMESPACE}/leases/klambda-operator"
        _, lease = apiserver.request("GET", path)
        assert lease["spec"]["holderIdentity"] == f"operator-{operator.port}"
