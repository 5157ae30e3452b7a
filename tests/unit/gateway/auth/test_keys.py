"""Access keys in Secrets: what is a key, whom it makes its holder, and what is refused."""

from __future__ import annotations

import base64
from typing import Any, cast

import pytest

from klambda_gateway.auth.caller import Caller, user_path
from klambda_gateway.auth.keys import AccessKey, Keys, read_key
from klambda_kube.api import Api

KEY = {"accessKeyId": "AKIAABCDEFGHIJKLMNOP", "secretAccessKey": "s", "namespace": "team-a"}


def secret(name: str = "k", kind: str = "klambda.io/access-key", **data: str) -> dict[str, Any]:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    metadata = {"name": name, "namespace": "klambda", "uid": name, "resourceVersion": "1"}
    return {"type": kind, "metadata": metadata, "data": encoded}


ROBOT = "system:serviceaccount:ci:robot"
ROBOT_GROUPS = ("system:serviceaccounts", "system:serviceaccounts:ci")


@pytest.mark.parametrize(
    ("data", "user", "groups"),
    [
        ({"user": "ann", "groups": "a, b"}, "ann", ("a", "b")),
        ({"user": "ann@example.com"}, "ann@example.com", ()),
        ({}, "k", ()),
        ({"serviceAccount": "ci/robot"}, ROBOT, ROBOT_GROUPS),
        ({"user": ROBOT}, ROBOT, ROBOT_GROUPS),
    ],
)
def test_whom_a_key_makes_its_holder(
    data: dict[str, str], user: str, groups: tuple[str, ...]
) -> None:
    key = read_key(secret(**KEY, **data))
    assert key is not None
    assert (key.user, key.groups, key.namespace) == (user, groups, "team-a")
    assert "secret=" not in repr(key)


@pytest.mark.parametrize(
    "body",
    [
        secret("k", "Opaque", **KEY),
        secret(**{**KEY, "secretAccessKey": ""}),
        secret(**{**KEY, "accessKeyId": "with/slash"}),
        secret(**{**KEY, "namespace": "Team_A"}),
        secret(**{**KEY, "namespace": "team-a/x"}),
        secret(**KEY, user="system:admin"),
        secret(**KEY, user="system:node:n1"),
        secret(**KEY, groups="ops,system:masters"),
        secret(**KEY, groups="system:serviceaccounts"),
        secret(**KEY, serviceAccount="robot"),
        secret(**KEY, serviceAccount="ci/robot/x"),
        secret(**KEY, serviceAccount="ci/system:masters"),
        secret(**KEY, user="system:serviceaccount:ci"),
        secret(**KEY, serviceAccount="ci/robot", user="ann"),
        secret(**KEY, serviceAccount="ci/robot", groups="ops"),
        secret(accessKeyId="AKIA"),
        secret() | {"data": {"accessKeyId": "!", "secretAccessKey": "cw==", "namespace": "YQ=="}},
    ],
)
def test_secrets_that_are_no_key(body: dict[str, Any]) -> None:
    assert read_key(body) is None


def test_an_installation_of_chosen_namespaces_takes_keys_of_those() -> None:
    assert read_key(secret(**KEY), accounts=["team-a"]) is not None
    assert read_key(secret(**KEY), accounts=["team-b"]) is None


@pytest.mark.parametrize(
    ("patterns", "function", "serves"),
    [
        ("*", "anything", True),
        ("orders-*, billing", "orders-new", True),
        ("orders-*, billing", "billing", True),
        ("orders-*, billing", "billing2", False),
        ("", "anything", False),
    ],
)
def test_a_role_says_which_functions_may_take_it(
    patterns: str, function: str, serves: bool
) -> None:
    key = read_key(secret(**KEY, functions=patterns))
    assert key is not None
    assert key.serves(function) is serves
    assert key.role == "k"


def test_keys_and_roles_follow_their_secrets() -> None:
    keys = Keys(cast("Api", None), "klambda")

    def read(name: str, **data: str) -> AccessKey | None:
        return read_key(secret(name, **{**KEY, "functions": "*", "role": "worker", **data}))

    def first(found: AccessKey | None) -> str:
        return "" if found is None else found.origin

    keys.change(None, read("b"))
    keys.change(None, read("a"))
    assert first(keys.find(KEY["accessKeyId"])) == "a", "the first by name"
    assert first(keys.role("team-a", "worker")) == "a"
    assert keys.role("team-b", "worker") is None, "a role of one account is none of another"
    keys.change(read("a"), read("a", accessKeyId="AKIAOTHER", role="", functions=""))
    assert first(keys.find("AKIAOTHER")) == "a"
    assert first(keys.find(KEY["accessKeyId"])) == "b"
    assert first(keys.role("team-a", "worker")) == "b"
    assert keys.role("team-a", "a") is None, "without functions it is no role"
    keys.change(read("b"), None)
    assert keys.find(KEY["accessKeyId"]) is None
    assert keys.role("team-a", "worker") is None


@pytest.mark.parametrize(
    ("user", "path"),
    [
        ("ann", "ann"),
        ("system:serviceaccount:ci:robot", "serviceaccount/ci/robot"),
        ("oidc:ann@example.com", "oidc/ann@example.com"),
    ],
)
def test_users_as_aws_would_name_them(user: str, path: str) -> None:
    assert user_path(user) == path


def test_unique_ids_have_awss_prefixes_and_stay() -> None:
    """IAM user guide, "Unique identifiers": AIDA for users, AROA for roles."""

    def caller(**more: str) -> Caller:
        members = {"access_key_id": "A", "namespace": "n", "account": "1" * 12, "user": "ann"}
        return Caller(**members | more)  # type: ignore[arg-type]

    assert caller().user_id == caller(access_key_id="B").user_id
    assert caller().user_id.startswith("AIDA")
    assert len(caller().user_id) == 21
    assert caller().user_id != caller(user="bob").user_id
    role = caller(role="worker", session="area")
    assert role.user_id.startswith("AROA")
    assert role.user_id.endswith(":area")
    assert role.arn == f"arn:aws:sts::{'1' * 12}:assumed-role/worker/area"
