"""Who may do what, with a real RBAC authoriser: keys, the roles of the chart, both doors."""

from __future__ import annotations

import http.client
import json
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import botocore.exceptions
import pytest

from klambda_core.kinds import FUNCTION, VERSION
from tests.integration.gateway_api.account import (
    ROLE,
    Account,
    account,
    code_of,
    eventually,
    package,
)
from tests.integration.gateway_api.conftest import Rig
from tests.support.rights import grant

ACCESS_DENIED = "AccessDeniedException"


def answers(call: Callable[[Any], Any], client: Any, expected: str) -> bool:
    return code_of(lambda: call(client)) == expected


@pytest.fixture(scope="module")
def team(rig: Rig) -> Account:
    return account(rig, "team")


@pytest.fixture(scope="module")
def developer(team: Account) -> Any:
    client = team.member("klambda-developer", "dora")
    team.create(client, "area")
    return client


def test_a_key_without_a_grant_is_denied_in_awss_words(team: Account, developer: Any) -> None:
    nobody = team.client(user="nobody")
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        nobody.invoke(FunctionName="area")
    error = refused.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert error["Error"]["Code"] == ACCESS_DENIED
    account = developer.get_function(FunctionName="area")["Configuration"]["FunctionArn"].split(
        ":"
    )[4]
    assert error["Error"]["Message"] == (
        f"User: arn:aws:iam::{account}:user/nobody is not authorized to perform: "
        f"lambda:InvokeFunction on resource: arn:aws:lambda:us-east-1:{account}:function:area "
        "because no identity-based policy allows the lambda:InvokeFunction action"
    )


# What the chart's roles may do: operation, then the roles that may.
MATRIX: list[tuple[str, Callable[[Any], Any], str]] = [
    ("invoke", lambda c: c.invoke(FunctionName="area"), "admin developer invoker"),
    ("get", lambda c: c.get_function(FunctionName="area"), "admin developer viewer"),
    ("list", lambda c: c.list_functions(), "admin developer viewer"),
    ("aliases", lambda c: c.list_aliases(FunctionName="area"), "admin developer viewer"),
    (
        "update",
        lambda c: c.update_function_configuration(FunctionName="area", Description="d"),
        "admin developer",
    ),
    ("publish", lambda c: c.publish_version(FunctionName="area"), "admin developer"),
]


@pytest.mark.parametrize("role", ["admin", "developer", "invoker", "viewer"])
def test_the_charts_roles(team: Account, developer: Any, role: str) -> None:
    user = f"u-{secrets.token_hex(3)}"
    grant(team.rig.server, team.namespace, f"klambda-{role}", user=user)
    client = team.client(user=user)
    team.rig.settle(team.namespace)
    for _, call, roles in MATRIX:
        expected = "passed" if role in roles.split() else ACCESS_DENIED
        eventually(partial(answers, call, client, expected))
        team.rig.settle(team.namespace)


def test_a_right_to_one_function_and_a_service_account(team: Account, developer: Any) -> None:
    team.create(developer, "other")
    user = f"system:serviceaccount:{team.namespace}:robot"
    grant(team.rig.server, team.namespace, "narrow", user=user, only={"invoke functions": "area"})
    client = team.client(serviceAccount=f"{team.namespace}/robot")
    eventually(lambda: code_of(lambda: client.invoke(FunctionName="area")) == "passed")
    assert code_of(lambda: client.invoke(FunctionName="other")) == ACCESS_DENIED
    assert code_of(client.list_functions) == ACCESS_DENIED


def test_rights_to_one_functions_parts_to_one_qualifier_and_to_one_layer(
    team: Account, developer: Any
) -> None:
    """docs/security.md, "Narrower than a namespace"."""
    mine, other = "Ship_It", "other-parts"  # the first one's object has another name
    for name in (mine, other):
        team.create(developer, name)
    objects = team.rig.objects(FUNCTION, team.namespace)
    (held,) = (o["metadata"]["name"] for o in objects if o["spec"].get("functionName") == mine)
    for layer in ("Tools_1", "secret"):
        developer.publish_layer_version(LayerName=layer, Content={"ZipFile": package()})
        developer.publish_layer_version(LayerName=layer, Content={"ZipFile": package()})
    rights = {
        "create get patch functions": f"{held} fresh",
        "list create versions": held,
        "list create get patch delete aliases": held,
        "get create list layerversions": "Tools_1",
        "get delete layerversions": "secret:2",
        "invoke functions": f"{held}:live",
    }
    grant(team.rig.server, team.namespace, "deployer", user="ci", only=rights)
    client = team.client(user="ci")
    eventually(lambda: code_of(lambda: client.get_function(FunctionName=mine)) == "passed")

    def refused(call: str, **members: Any) -> bool:
        return code_of(lambda: getattr(client, call)(**members)) == ACCESS_DENIED

    client.publish_version(FunctionName=mine)
    team.rig.settle(team.namespace)
    client.create_alias(FunctionName=mine, Name="live", FunctionVersion="1")
    client.update_alias(FunctionName=mine, Name="live", Description="d")
    assert len(client.list_aliases(FunctionName=mine)["Aliases"]) == 1
    assert len(client.list_versions_by_function(FunctionName=mine)["Versions"]) == 2
    for call in ("list_aliases", "list_versions_by_function", "publish_version", "get_function"):
        assert refused(call, FunctionName=other)
    assert refused("create_alias", FunctionName=other, Name="live", FunctionVersion="$LATEST")
    assert refused("delete_alias", FunctionName=other, Name="live")
    assert refused("list_functions")

    assert client.invoke(FunctionName=mine, Qualifier="live")["StatusCode"] == 200
    assert client.invoke(FunctionName=f"{mine}:live")["StatusCode"] == 200
    assert refused("invoke", FunctionName=mine)
    assert refused("invoke", FunctionName=mine, Qualifier="1")

    team.create(client, "fresh")
    code = {"FunctionName": "stale", "Role": ROLE, "Code": {"ZipFile": package()}}
    assert refused("create_function", Runtime="python3.13", Handler="f.h", **code)

    client.publish_layer_version(LayerName="Tools_1", Content={"ZipFile": package()})
    assert client.get_layer_version(LayerName="Tools_1", VersionNumber=3)["Version"] == 3
    assert len(client.list_layer_versions(LayerName="Tools_1")["LayerVersions"]) == 3
    assert refused("publish_layer_version", LayerName="secret", Content={"ZipFile": package()})
    assert refused("list_layer_versions", LayerName="secret")
    assert refused("list_layers")
    client.get_layer_version(LayerName="secret", VersionNumber=2)
    assert refused("get_layer_version", LayerName="secret", VersionNumber=1)
    client.delete_layer_version(LayerName="secret", VersionNumber=2)
    assert refused("delete_layer_version", LayerName="secret", VersionNumber=1)


def test_rights_to_the_mappings_of_one_function(team: Account, developer: Any) -> None:
    """docs/security.md, "Rights"; IAM: the condition key lambda:FunctionArn."""
    mine, other = f"Mapped_{secrets.token_hex(3)}", f"mapped-{secrets.token_hex(3)}"
    for name in (mine, other):
        team.create(developer, name)
    objects = team.rig.objects(FUNCTION, team.namespace)
    (held,) = (o["metadata"]["name"] for o in objects if o["spec"].get("functionName") == mine)
    rights = {"create list get patch delete eventsourcemappings": held}
    user = f"pipe-{secrets.token_hex(3)}"
    grant(team.rig.server, team.namespace, f"mapper-{user}", user=user, only=rights)
    client = team.client(user=user)
    queue = f"arn:aws:sqs:us-east-1:{'1' * 12}:q"
    theirs = developer.create_event_source_mapping(FunctionName=other, EventSourceArn=queue)
    eventually(
        lambda: code_of(lambda: client.list_event_source_mappings(FunctionName=mine)) == "passed"
    )
    made = client.create_event_source_mapping(FunctionName=mine, EventSourceArn=queue)
    arn = {"Resource": made["EventSourceMappingArn"]}

    assert client.get_event_source_mapping(UUID=made["UUID"])["FunctionArn"].endswith(mine)
    client.update_event_source_mapping(UUID=made["UUID"], BatchSize=3, FunctionName=mine)
    client.tag_resource(**arn, Tags={"a": "b"})
    assert client.list_tags(**arn)["Tags"] == {"a": "b"}
    client.untag_resource(**arn, TagKeys=["a"])

    def said(call: str, **members: Any) -> str:
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            getattr(client, call)(**members)
        assert refused.value.response["Error"]["Code"] == ACCESS_DENIED
        return str(refused.value.response["Error"]["Message"])

    nothing = "00000000-0000-4000-8000-000000000000"
    for call, more in (
        ("get_event_source_mapping", {}),
        ("update_event_source_mapping", {"BatchSize": 3}),
        ("update_event_source_mapping", {"FunctionName": mine}),
        ("delete_event_source_mapping", {}),
    ):
        unseen = said(call, UUID=nothing, **more)
        assert said(call, UUID=theirs["UUID"], **more) == unseen.replace(nothing, theirs["UUID"])
    said("list_tags", Resource=theirs["EventSourceMappingArn"])
    said("tag_resource", Resource=theirs["EventSourceMappingArn"], Tags={"a": "b"})
    said("update_event_source_mapping", UUID=made["UUID"], FunctionName=other)
    said("list_event_source_mappings", FunctionName=other)
    said("list_event_source_mappings")
    assert developer.get_event_source_mapping(UUID=theirs["UUID"])["BatchSize"] == 10
    client.delete_event_source_mapping(UUID=made["UUID"])
    developer.delete_event_source_mapping(UUID=theirs["UUID"])


def test_accounts_are_isolated(team: Account, developer: Any) -> None:
    other = account(team.rig, "team")
    admin = other.member("klambda-admin", "olga")
    other.create(admin, "area")
    mine = admin.get_function(FunctionName="area")["Configuration"]["FunctionArn"]
    theirs = developer.get_function(FunctionName="area")["Configuration"]["FunctionArn"]
    assert mine != theirs
    assert code_of(lambda: admin.get_function(FunctionName=theirs)) == ACCESS_DENIED
    assert code_of(lambda: developer.delete_function(FunctionName=mine)) == ACCESS_DENIED
    # The right is of the namespace that the key names: olga has none in the other one.
    abroad = team.client(user="olga")
    assert code_of(abroad.list_functions) == ACCESS_DENIED


def test_a_grant_and_its_end_work_within_seconds(team: Account, developer: Any) -> None:
    client = team.client(user="late")
    assert code_of(lambda: client.invoke(FunctionName="area")) == ACCESS_DENIED
    grant(team.rig.server, team.namespace, "klambda-invoker", user="late")
    eventually(lambda: code_of(lambda: client.invoke(FunctionName="area")) == "passed")
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{team.namespace}/rolebindings"
    assert team.rig.server.request("DELETE", f"{path}/late-klambda-invoker")[0] == 200
    eventually(lambda: code_of(lambda: client.invoke(FunctionName="area")) == ACCESS_DENIED)


def test_pod_settings_need_a_right_of_their_own_at_the_api(team: Account, developer: Any) -> None:
    team.create(developer, "placed")
    path = FUNCTION.path(team.namespace, "placed")
    patch = {"spec": {"pod": {"nodeSelector": {"disk": "fast"}}}}
    status, _ = team.rig.server.request("PATCH", path, patch, "application/merge-patch+json")
    assert status == 200
    team.rig.settle(team.namespace)
    with pytest.raises(botocore.exceptions.ClientError, match="klambda:UsePod"):
        developer.update_function_code(FunctionName="placed", ZipFile=package())
    with pytest.raises(botocore.exceptions.ClientError, match="klambda:UsePod"):
        developer.update_function_configuration(FunctionName="placed", Timeout=5)
    grant(team.rig.server, team.namespace, "klambda-admin", user="adam")
    admin = team.client(user="adam")
    eventually(lambda: code_of(admin.list_functions) == "passed")
    admin.update_function_configuration(FunctionName="placed", Timeout=5)


def kubectl(
    rig: Rig, user: str, namespace: str, body: dict[str, Any], patched: str = ""
) -> tuple[int, str]:
    """Create, or patch, a Function as a user of Kubernetes' own door."""
    connection = http.client.HTTPSConnection(
        rig.server.host, rig.server.port, context=rig.server.ssl_context(), timeout=30
    )
    headers = {
        "Authorization": f"Bearer {rig.server.token}",
        "Content-Type": "application/merge-patch+json" if patched else "application/json",
        "Impersonate-User": user,
        "Impersonate-Group": "system:authenticated",
    }
    path = FUNCTION.path(namespace, patched or None) + "?dryRun=All"
    connection.request("PATCH" if patched else "POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


@pytest.mark.parametrize(
    "settings",
    [
        {"pod": {"nodeSelector": {"disk": "fast"}}},
        {
            "environment": {
                "valueFrom": {"PASSWORD": {"secretKeyRef": {"name": "db", "key": "password"}}}
            }
        },
    ],
)
def test_pod_settings_need_a_right_of_their_own_at_kubectls_door(
    team: Account, developer: Any, settings: dict[str, Any]
) -> None:
    grant(team.rig.server, team.namespace, "klambda-admin", user="adam")
    plain = {"runtime": "python3.13", "handler": "f.h"}
    body = {
        "apiVersion": "klambda.io/v1alpha1",
        "kind": "Function",
        "metadata": {"name": f"k-{secrets.token_hex(3)}"},
        "spec": plain,
    }
    assert kubectl(team.rig, "dora", team.namespace, body)[0] == 201
    body["spec"] = plain | settings

    def refused() -> bool:
        status, text = kubectl(team.rig, "dora", team.namespace, body)
        return status == 403 and "use on functions.klambda.io/pod" in text

    eventually(refused)  # the policy itself comes into force seconds after it was made
    status, text = kubectl(team.rig, "adam", team.namespace, body)
    assert status == 201, text


def test_what_has_pod_settings_is_changed_with_that_right_only(
    team: Account, developer: Any
) -> None:
    """Its labels and finalizers need it not: Kubernetes' own controllers write those."""
    server, name = team.rig.server, "has-pod"
    team.create(developer, name)
    pod = {"spec": {"pod": {"nodeSelector": {"disk": "fast"}}}}
    path = FUNCTION.path(team.namespace, name)
    assert server.request("PATCH", path, pod, "application/merge-patch+json")[0] == 200

    def refused() -> bool:
        change = {"spec": {"timeout": 9}}
        return kubectl(team.rig, "dora", team.namespace, change, name)[0] == 403

    eventually(refused)
    label = {"metadata": {"labels": {"team": "a"}, "finalizers": ["example.com/f"]}}
    status, text = kubectl(team.rig, "dora", team.namespace, label, name)
    assert status == 200, text


@pytest.fixture
def away(rig: Rig) -> Iterator[Callable[[], None]]:
    yield lambda: rig.server.stop()
    rig.server.start()
    # Ready comes a moment before custom resources are served.
    kinds = (FUNCTION, VERSION)
    eventually(lambda: all(rig.server.request("GET", k.path("default"))[0] == 200 for k in kinds))


def test_without_the_api_server_warm_rights_serve_and_cold_ones_fail_closed(
    team: Account, developer: Any, away: Callable[[], None]
) -> None:
    stranger = team.client(user="stranger")
    grant(team.rig.server, team.namespace, "klambda-invoker", user="stranger")
    assert code_of(lambda: developer.invoke(FunctionName="area")) == "passed"
    away()
    assert code_of(lambda: developer.invoke(FunctionName="area")) == "passed"
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        stranger.invoke(FunctionName="area")
    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert answer["Error"]["Code"] == "ServiceUnavailableException"


def test_a_token_of_a_service_account_is_as_good_as_a_signature(
    team: Account, developer: Any
) -> None:
    server, path = team.rig.server, f"/api/v1/namespaces/{team.namespace}/serviceaccounts"
    assert server.request("POST", path, {"metadata": {"name": "caller"}})[0] == 201
    request = {"spec": {"audiences": ["klambda"], "expirationSeconds": 600}}
    status, made = server.request("POST", f"{path}/caller/token", request)
    assert status == 201, made
    user = f"system:serviceaccount:{team.namespace}:caller"
    grant(server, team.namespace, "klambda-invoker", user=user)

    def call(token: str, name: str = "area") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", team.rig.port, timeout=30)
        headers = {"Authorization": f"Bearer {token}"}
        connection.request("POST", f"/2015-03-31/functions/{name}/invocations", b"1", headers)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    token = made["status"]["token"]
    eventually(lambda: call(token) == (200, "1"))
    status, text = call(token[:-4] + "AAAA")
    assert status == 403
    assert "security token included in the request is invalid" in text
    assert server.request("DELETE", f"{path}/caller")[0] == 200
    eventually(lambda: call(token)[0] == 403)
