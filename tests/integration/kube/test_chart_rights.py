"""The chart on a real API server: every object is valid, every part may do its work and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.apiserver import ApiServer, running_apiserver
from tests.support.chart import SCENARIOS, objects, template, values_of
from tests.support.rights import apply, path_of

REVIEW = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
FOREIGN = {"gateway.networking.k8s.io", "monitoring.coreos.com"}
"""Groups that come with other people's controllers: this server does not know them."""

Rights = tuple[str, str, str, str, str]
"""Part, verb, group/resource[/subresource], namespace, name."""

ALLOWED: list[Rights] = [
    ("gateway", "create", "klambda.io/functions", "default", ""),
    ("gateway", "patch", "klambda.io/aliases", "default", "a"),
    ("gateway", "delete", "klambda.io/versions", "default", "v"),
    ("gateway", "watch", "klambda.io/functions", "", ""),
    ("gateway", "patch", "klambda.io/functions/status", "default", "f"),
    ("gateway", "patch", "klambda.io/versions/status", "default", "f-v1"),
    ("gateway", "patch", "klambda.io/aliases/status", "default", "a"),
    ("gateway", "create", "klambda.io/layerversions", "default", ""),
    ("gateway", "list", "klambda.io/layerversions", "", ""),
    ("gateway", "delete", "klambda.io/layerversions", "default", "l-1"),
    ("gateway", "patch", "klambda.io/layerversions/status", "default", "l-1"),
    ("gateway", "patch", "apps/deployments/scale", "default", "d"),
    ("gateway", "watch", "/pods", "", ""),
    ("gateway", "delete", "/pods", "default", "p"),
    ("gateway", "list", "/namespaces", "", ""),
    ("gateway", "create", "authorization.k8s.io/localsubjectaccessreviews", "default", ""),
    ("gateway", "create", "authentication.k8s.io/tokenreviews", "", ""),
    ("gateway", "list", "/secrets", "klambda", ""),
    ("gateway", "create", "/secrets", "klambda", ""),
    ("gateway", "patch", "coordination.k8s.io/leases", "klambda", "klambda-gateway"),
    ("operator", "watch", "klambda.io/functions", "", ""),
    ("operator", "patch", "klambda.io/versions", "default", "v"),
    ("operator", "create", "klambda.io/versions", "default", ""),
    ("operator", "delete", "klambda.io/aliases", "default", "a"),
    ("operator", "patch", "klambda.io/aliases/status", "default", "a"),
    ("operator", "update", "klambda.io/functions/finalizers", "default", "f"),
    ("operator", "create", "apps/deployments", "default", ""),
    ("operator", "delete", "apps/deployments", "default", "d"),
    ("operator", "get", "/namespaces", "", "default"),
    ("operator", "create", "/events", "default", ""),
    ("operator", "get", "/secrets", "klambda", "klambda-installation"),
    ("operator", "create", "coordination.k8s.io/leases", "klambda", ""),
    ("store", "get", "/secrets", "klambda", "klambda-installation"),
]

DENIED: list[Rights] = [
    ("gateway", "get", "apps/deployments/scale", "default", "d"),
    ("gateway", "watch", "klambda.io/codesigningconfigs", "default", ""),
    ("operator", "list", "/namespaces", "", ""),
    ("operator", "get", "klambda.io/layerversions", "default", "l-1"),
    ("gateway", "get", "/secrets", "default", "s"),
    ("gateway", "patch", "/secrets", "klambda", "s"),
    ("gateway", "delete", "/secrets", "klambda", "s"),
    ("gateway", "create", "apps/deployments", "default", ""),
    ("gateway", "patch", "apps/deployments", "default", "d"),
    ("gateway", "delete", "apps/deployments", "default", "d"),
    ("gateway", "create", "/pods", "default", ""),
    ("gateway", "create", "/pods/exec", "default", "p"),
    ("gateway", "create", "authorization.k8s.io/subjectaccessreviews", "", ""),
    ("gateway", "patch", "coordination.k8s.io/leases", "default", "l"),
    ("operator", "patch", "klambda.io/functions", "default", "f"),
    ("operator", "delete", "klambda.io/functions", "default", "f"),
    ("operator", "patch", "apps/deployments/scale", "default", "d"),
    ("operator", "list", "/pods", "default", ""),
    ("operator", "list", "/secrets", "klambda", ""),
    ("operator", "get", "/secrets", "klambda", "klambda-credentials"),
    ("operator", "get", "/secrets", "default", "klambda-installation"),
    ("operator", "create", "/secrets", "default", ""),
    ("store", "get", "/secrets", "klambda", "klambda-credentials"),
    ("store", "list", "/secrets", "klambda", ""),
    ("store", "get", "klambda.io/functions", "default", "f"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with running_apiserver() as server:
        for name in ("klambda", "team-a", "team-b"):
            server.create_namespace(name)
        yield server


def allowed(server: ApiServer, right: Rights, user_namespace: str = "klambda") -> bool:
    part, verb, what, namespace, name = right
    group, _, rest = what.partition("/")
    resource, _, subresource = rest.partition("/")
    body = {
        "spec": {
            "user": f"system:serviceaccount:{user_namespace}:klambda-{part}",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {
                "verb": verb,
                "group": group,
                "resource": resource,
                "subresource": subresource,
                "namespace": namespace,
                "name": name,
            },
        }
    }
    status, answer = server.request("POST", REVIEW, body)
    assert status == 201, answer
    return bool(answer["status"]["allowed"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_object_is_accepted_without_an_unknown_field(
    server: ApiServer, scenario: str
) -> None:
    for obj in objects(template("--values", str(values_of(scenario)))):
        if obj["kind"] == "Pod":
            continue  # needs its service account admitted; its spec is that of the others
        if obj["apiVersion"].partition("/")[0] in FOREIGN:
            continue
        status, answer = apply(server, obj, dry=True)
        assert status in (200, 201), f"{path_of(obj)}: {json.dumps(answer)[:500]}"


def test_rights_in_the_whole_cluster(server: ApiServer) -> None:
    install_rights(server, "default")
    wrong = [right for right in ALLOWED if not allowed(server, right)]
    assert not wrong, "these are needed"
    wrong = [right for right in DENIED if allowed(server, right)]
    assert not wrong, "these are too much"


def install_rights(server: ApiServer, scenario: str) -> None:
    for obj in objects(template("--values", str(values_of(scenario)))):
        if "rbac" in obj["apiVersion"]:
            assert apply(server, obj, dry=False)[0] in (200, 201)


def test_rights_in_chosen_namespaces() -> None:
    """On a server of its own: cluster-wide rights would hide what is missing."""
    with running_apiserver() as server:
        for name in ("klambda", "team-a", "team-b"):
            server.create_namespace(name)
        install_rights(server, "namespaced")
        for right in ALLOWED:
            part, verb, what, namespace, name = right
            if "namespaces" in what or "tokenreviews" in what:
                assert not allowed(server, right)
            elif namespace == "klambda":
                assert allowed(server, right), right
            else:
                for team in ("team-a", "team-b"):
                    assert allowed(server, (part, verb, what, team, name)), right
                assert not allowed(server, (part, verb, what, "default", name)), right
                assert not allowed(server, (part, verb, what, "", name)), right
        assert not [right for right in DENIED if allowed(server, right)]
