"""Who may do what on the running cluster: accounts, roles of functions, tokens, pod settings."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest

from tests.support.cluster import CONTROL_PLANE, ROLE, Cluster, wait_until, zip_of

ACCOUNT = "222222222222"
ECHO = "def handler(event, context):\n    return ['echo', event]\n"
CALLER = """
import json, os
import boto3, botocore.exceptions

def handler(event, context):
    here = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
    if "target" not in event:
        found = boto3.client("sts").get_caller_identity()
        return {name: found[name] for name in ("Arn", "Account", "UserId")}
    try:
        answer = boto3.client("lambda").invoke(
            FunctionName=event["target"], Payload=json.dumps(event.get("event"))
        )
    except botocore.exceptions.ClientError as error:
        return {"here": here, "refused": error.response["Error"]}
    return {"here": here, "answer": json.load(answer["Payload"])}
"""


def refused(call: Callable[[], Any]) -> str:
    try:
        call()
    except botocore.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


class Account:
    """A namespace that is an account of its own, and its keys."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.made: list[str] = []

    def key(self, name: str, **data: str) -> dict[str, str]:
        """Make (or replace) an access key; as docs/security.md says."""
        members = {
            "accessKeyId": "AKIA" + secrets.token_hex(8).upper(),
            "secretAccessKey": secrets.token_hex(20),
            "namespace": self.namespace,
            **data,
        }
        self.cluster.kubectl("-n", CONTROL_PLANE, "delete", "secret", name, "--ignore-not-found")
        self.cluster.kubectl(
            "-n", CONTROL_PLANE, "create", "secret", "generic", name,
            "--type=klambda.io/access-key",
            *(f"--from-literal={key}={value}" for key, value in members.items()),
        )  # fmt: skip
        self.made.append(name)
        return members

    def bind(self, name: str, role: str, user: str) -> None:
        self.cluster.kubectl(
            "-n", self.namespace, "create", "rolebinding", name,
            f"--clusterrole={role}", f"--user={user}",
        )  # fmt: skip

    def client(self, key: dict[str, str], service: str = "lambda") -> Any:
        return boto3.client(
            service,
            region_name=self.cluster.env["AWS_REGION"],
            endpoint_url=self.cluster.endpoint,
            aws_access_key_id=key["accessKeyId"],
            aws_secret_access_key=key["secretAccessKey"],
            config=botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=120),
        )

    def create(self, client: Any, name: str, source: str, role: str = ROLE) -> str:
        arn = client.create_function(
            FunctionName=name, Runtime="python3.13", Handler="app.handler", Role=role, Timeout=20,
            MemorySize=256, Code={"ZipFile": zip_of({"app.py": source})},
        )["FunctionArn"]  # fmt: skip
        client.get_waiter("function_active_v2").wait(FunctionName=name)
        return str(arn)


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[Account]:
    """A second account, with functions `echo` and `caller`."""
    namespace = f"team-{secrets.token_hex(3)}"
    cluster.kubectl("create", "namespace", namespace)
    cluster.kubectl("annotate", "namespace", namespace, f"klambda.io/account-id={ACCOUNT}")
    account = Account(cluster, namespace)
    yield account
    for name in account.made:
        cluster.kubectl("-n", CONTROL_PLANE, "delete", "secret", name, "--ignore-not-found")
    cluster.kubectl("delete", "functions.klambda.io", "--all", "-n", namespace)
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def developer(team: Account) -> Any:
    team.bind("dora", "klambda-developer", "dora")
    client = team.client(team.key(f"{team.namespace}-dora", user="dora"))
    wait_until("the key works", lambda: not refused(client.list_functions))
    arn = team.create(client, "echo", ECHO)
    assert arn.split(":")[4] == ACCOUNT
    team.create(client, "caller", CALLER)
    return client


def call(client: Any, target: str, event: Any = None, function: str = "caller") -> Any:
    payload = json.dumps({"target": target, "event": event})
    answer = client.invoke(FunctionName=function, Payload=payload)
    assert "FunctionError" not in answer, answer["Payload"].read()
    return json.load(answer["Payload"])


def test_accounts_are_isolated(cluster: Cluster, team: Account, developer: Any) -> None:
    listed = [each["FunctionName"] for each in developer.list_functions()["Functions"]]
    assert sorted(listed) == ["caller", "echo"]
    mine = developer.get_function(FunctionName="echo")["Configuration"]["FunctionArn"]
    assert refused(lambda: cluster.aws.invoke(FunctionName=mine)) == "AccessDeniedException"
    assert refused(lambda: cluster.aws.get_function(FunctionName="echo")) != ""
    assert cluster.one("fn", "echo") is None, "nothing of it in the default namespace"
    stranger = team.client(team.key(f"{team.namespace}-stranger", user="stranger"))
    wait_until(
        "the key is known",
        lambda: refused(stranger.list_functions) == "AccessDeniedException",
    )


def test_a_function_calls_another_only_with_a_grant(team: Account, developer: Any) -> None:
    answer = developer.invoke(FunctionName="caller", Payload=b"{}")
    identity = json.load(answer["Payload"])
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/klambda-e2e/caller"
    assert (identity["Arn"], identity["Account"]) == (arn, ACCOUNT)
    assert identity["UserId"].endswith(":caller")

    before = call(developer, "echo")
    assert before["refused"]["Code"] == "AccessDeniedException"
    assert before["refused"]["Message"] == (
        f"User: {arn} is not authorized to perform: lambda:InvokeFunction on resource: "
        f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:echo because no identity-based policy "
        "allows the lambda:InvokeFunction action"
    )
    team.bind("caller", "klambda-invoker", f"klambda:function:{team.namespace}:caller")
    after = answered(developer, "echo", 7)
    assert after["answer"] == ["echo", 7]
    assert after["here"] == before["here"], "no instance was restarted for it"


def answered(client: Any, target: str, event: Any = None) -> Any:
    """Call until it is allowed."""

    def allowed() -> Any:
        found = call(client, target, event)
        return found if "answer" in found else None

    return wait_until(f"{target} may be called", allowed)


def test_a_role_is_a_secret_whose_keys_rotate_without_a_restart(
    team: Account, developer: Any
) -> None:
    role = f"{team.namespace}-worker"
    team.key(role, user="worker", functions="work*")
    team.bind("worker", "klambda-invoker", "worker")
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"

    def not_assumable() -> bool:
        return (
            refused(lambda: developer.update_function_configuration(FunctionName="echo", Role=arn))
            == "InvalidParameterValueException"
        )

    wait_until("the role is known", not_assumable)
    developer.get_waiter("function_updated_v2").wait(FunctionName="echo")
    team.create(developer, "worker", CALLER, role=arn)
    first = call(developer, "echo", 1, function="worker")
    assert first["answer"] == ["echo", 1]

    team.key(role, user="worker", functions="work*")  # another key id and secret
    again = call(developer, "echo", 2, function="worker")
    assert again == {"here": first["here"], "answer": ["echo", 2]}

    team.key(role, user="nobody", functions="work*")

    def denied() -> Any:
        found = call(developer, "echo", 3, function="worker")
        return found if "refused" in found else None

    assert wait_until("the role's user is another", denied)["here"] == first["here"]


def test_a_function_reaches_no_other_account(cluster: Cluster, name: str, developer: Any) -> None:
    cluster.create(name, ECHO)
    theirs = cluster.aws.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    assert call(developer, theirs)["refused"]["Code"] == "AccessDeniedException"


def test_a_token_of_a_service_account(cluster: Cluster, team: Account, developer: Any) -> None:
    cluster.kubectl("-n", team.namespace, "create", "serviceaccount", "frontend")
    cluster.kubectl(
        "-n", team.namespace, "create", "rolebinding", "frontend",
        "--clusterrole=klambda-invoker", f"--serviceaccount={team.namespace}:frontend",
    )  # fmt: skip
    token = cluster.kubectl(
        "-n", team.namespace, "create", "token", "frontend", "--audience=klambda"
    ).strip()

    def invoke(name: str, bearer: str) -> tuple[int, str]:
        request = urllib.request.Request(
            f"{cluster.endpoint}/2015-03-31/functions/{name}/invocations",
            data=b"1", method="POST", headers={"Authorization": f"Bearer {bearer}"},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    wait_until("the token works", lambda: invoke("echo", token) == (200, '["echo", 1]'))
    assert invoke("echo", token[:-3])[0] == 403


@pytest.mark.parametrize("user", ["dora", "adam"])
def test_pod_settings_through_kubectl_need_their_own_right(
    cluster: Cluster, team: Account, developer: Any, user: str
) -> None:
    if user == "adam":
        team.bind("adam", "klambda-admin", "adam")
    manifest = {
        "apiVersion": "klambda.io/v1alpha1",
        "kind": "Function",
        "metadata": {"name": "placed", "namespace": team.namespace},
        "spec": {
            "runtime": "python3.13",
            "handler": "app.handler",
            "pod": {"nodeSelector": {"disk": "fast"}},
        },
    }
    words = ("apply", f"--as={user}", "--dry-run=server", "-f", "-")
    text = cluster.kubectl(*words, stdin=json.dumps(manifest), check=False)
    if user == "adam":
        assert "created" in text
    else:
        assert "need the verb use on functions.klambda.io/pod" in text
