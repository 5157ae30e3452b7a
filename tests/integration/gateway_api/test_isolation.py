"""Every operation, asked with one account's key about what is another's: no data, no change.

The calls are made from botocore's model: each member that can name something (by its pattern) is
filled with the other account's names in all their spellings, each other required member from a
table. An operation, a member with an ARN in it, or a required member that the tables do not know
fails: whoever adds one says here what it must not reach. The asker is an administrator at home and
has namesakes there, so that a name whose account is overlooked would change something.
Sources: aws-contract a.3 (names of other accounts), h; botocore's model.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import urllib.error
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import botocore.exceptions
import botocore.session
import pytest
from botocore import xform_name

from klambda_core.events import Event
from klambda_core.kinds import (
    ALIAS,
    CODE_SIGNING_CONFIG,
    EVENT_SOURCE_MAPPING,
    FUNCTION,
    LAYER_VERSION,
    VERSION,
)
from klambda_gateway.api.absent import ABSENT
from klambda_gateway.api.operations import HANDLERS
from klambda_gateway.events.client import StoreEvents
from tests.integration.gateway_api.account import ROLE, Account, account, package
from tests.integration.gateway_api.conftest import KEY, REGION, Rig
from tests.support.events import event
from tests.support.lookup import ask

MODEL: Final = botocore.session.get_session().get_service_model("lambda")
KINDS = (FUNCTION, VERSION, ALIAS, LAYER_VERSION, EVENT_SOURCE_MAPPING, CODE_SIGNING_CONFIG)
NAME = "orders"
NO_UUID = "00000000-0000-4000-8000-000000000000"
WORDLESS = frozenset(
    {
        "GetAccountSettings", "GetFunctionConcurrency", "GetFunctionRecursionConfig",
        "GetProvisionedConcurrencyConfig", "GetRuntimeManagementConfig",
        "GetFunctionCodeSigningConfig", "ListProvisionedConcurrencyConfigs",
        "ListFunctionsByCodeSigningConfig",
    }
)  # fmt: skip
"""Reads in whose answers no text of the user's own stands."""
DENIED, MISSING = "AccessDeniedException", "ResourceNotFoundException"
INVALID = "ValidationException"
UNSIGNED = "CodeSigningConfigNotFoundException"
PASSED, REFUSED = "passed", "InvalidParameterValueException"
PUBLISHER = {
    "SigningProfileVersionArns": [
        f"arn:aws:signer:{REGION}:{'1' * 12}:/signing-profiles/p/abcdefghij"
    ]
}  # fmt: skip
STATEMENT = {
    "Sid": "t", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{'2' * 12}:root"},
    "Action": "lambda:InvokeFunction",
}  # fmt: skip


def queue(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:{'1' * 12}:{name}"


@dataclass(kw_only=True)
class Owned:
    """An account with one of everything, and a word that stands in all of it."""

    account: Account
    client: Any
    word: str = field(default_factory=lambda: f"secret{secrets.token_hex(6)}")
    digits: str = ""
    mapping: str = ""
    config: str = ""

    def make(self) -> Owned:
        """Make it."""
        client, word = self.client, self.word
        made = client.create_code_signing_config(AllowedPublishers=PUBLISHER, Description=word)
        self.config = made["CodeSigningConfig"]["CodeSigningConfigArn"].rpartition(":")[2]
        layer = client.publish_layer_version(
            LayerName=NAME, Content={"ZipFile": package()}, Description=word
        )
        self.digits = layer["LayerArn"].split(":")[4]
        client.create_function(
            FunctionName=NAME, Runtime="python3.13", Handler="f.h", Role=ROLE,
            Code={"ZipFile": package()}, Description=word, Tags={"word": word},
            Environment={"Variables": {"WORD": word}}, Layers=[layer["LayerVersionArn"]],
            CodeSigningConfigArn=self.arn(f"code-signing-config:{self.config}"),
        )  # fmt: skip
        self.settle()
        client.publish_version(FunctionName=NAME, Description=word)
        self.settle()
        self._parts(NAME)
        self.settle()
        return self

    def _parts(self, name: str) -> None:
        client, word = self.client, self.word
        client.create_alias(FunctionName=name, Name="live", FunctionVersion="1", Description=word)
        for more in ({}, {"Qualifier": "live"}):
            client.add_permission(
                FunctionName=name, StatementId=word, Action="lambda:InvokeFunction",
                Principal="2" * 12, **more,
            )  # fmt: skip
        client.create_function_url_config(
            FunctionName=name, AuthType="AWS_IAM",
            Cors={"AllowHeaders": [word], "AllowOrigins": ["*"]},
        )  # fmt: skip
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=7)
        client.put_provisioned_concurrency_config(
            FunctionName=name, Qualifier="live", ProvisionedConcurrentExecutions=1
        )
        client.put_function_event_invoke_config(
            FunctionName=name, MaximumRetryAttempts=1,
            DestinationConfig={"OnFailure": {"Destination": queue(word)}},
        )  # fmt: skip
        made = client.create_event_source_mapping(FunctionName=name, EventSourceArn=queue(word))
        self.mapping = made["UUID"]
        client.add_layer_version_permission(
            LayerName=NAME, VersionNumber=1, StatementId=word, Action="lambda:GetLayerVersion",
            Principal="2" * 12,
        )  # fmt: skip

    def arn(self, what: str) -> str:
        return f"arn:aws:lambda:{REGION}:{self.digits}:{what}"

    def settle(self) -> None:
        self.account.rig.settle(self.account.namespace)

    def objects(self) -> dict[str, Any]:
        """All that the account has, but for what conditions and other statuses tell."""
        return {
            each["metadata"]["uid"]: (
                each["spec"],
                each["metadata"]["generation"],
                each["metadata"].get("annotations"),
                each["metadata"].get("labels"),
                each["metadata"].get("deletionTimestamp"),
            )
            for kind in KINDS
            for each in self.account.rig.objects(kind, self.account.namespace)
        }


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Whose things are asked about, and who asks."""

    theirs: Owned
    ours: Owned


@pytest.fixture(scope="module")
def pair(rig: Rig) -> Pair:
    def owned(purpose: str) -> Owned:
        found = account(rig, purpose)
        return Owned(account=found, client=found.member("klambda-admin", f"{purpose}-admin")).make()

    return Pair(theirs=owned("asked"), ours=owned("asking"))


# --- what can name something of another account --------------------------------------------------

Value = Callable[[Pair], Any]


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """One way to name what is theirs, and the error that it gets."""

    label: str
    value: Value
    error: str = DENIED
    exists: bool = True


def theirs(what: str, label: str = "ARN", **more: Any) -> Spelling:
    return Spelling(label=label, value=lambda pair: pair.theirs.arn(what), **more)


def made(member: str, prefix: str = "", *, owner: str = "theirs", **more: Any) -> Spelling:
    """An ARN with an id that was learned; ``owner``: whose account it says."""
    return Spelling(
        value=lambda pair: getattr(pair, owner).arn(prefix + getattr(pair.theirs, member)), **more
    )


FUNCTION_ARNS = (
    theirs(f"function:{NAME}"),
    theirs("function:nothing", "ARN of nothing", exists=False),
)
IDENTIFIERS: Mapping[str, Sequence[Spelling]] = {
    "FunctionName": (
        *FUNCTION_ARNS,
        theirs(f"function:{NAME}:$LATEST", "ARN of $LATEST"),
        theirs(f"function:{NAME}:live", "ARN of an alias"),
        theirs(f"function:{NAME}:1", "ARN of a version"),
        Spelling(label="partial", value=lambda pair: f"{pair.theirs.digits}:function:{NAME}"),
        Spelling(label="shortest", value=lambda pair: f"{pair.theirs.digits}:{NAME}:live"),
    ),
    "LayerName": (
        theirs(f"layer:{NAME}"),
        theirs("layer:nothing", "ARN of nothing", exists=False),
    ),
    "Arn": (
        theirs(f"layer:{NAME}:1"),
        theirs("layer:nothing:1", "ARN of nothing", exists=False),
    ),
    "UUID": (
        Spelling(label="UUID", value=lambda pair: pair.theirs.mapping, error=MISSING),
        Spelling(label="nothing", value=lambda _: NO_UUID, error=MISSING, exists=False),
    ),
    "CodeSigningConfigArn": (
        made("config", "code-signing-config:", label="ARN"),
        made("config", "code-signing-config:", owner="ours", label="forged", error=MISSING),
        theirs(f"code-signing-config:csc-{'0' * 17}", "ARN of nothing", exists=False),
    ),
    "Resource": (
        *FUNCTION_ARNS,
        made("mapping", "event-source-mapping:", label="mapping"),
        made("mapping", "event-source-mapping:", owner="ours", label="forged", error=MISSING),
        made("config", "code-signing-config:", label="config"),
        made("config", "code-signing-config:", owner="ours", label="forged too", error=MISSING),
    ),
    "ResourceArn": FUNCTION_ARNS,
    "Layers": (
        Spelling(label="ARN", value=lambda pair: [pair.theirs.arn(f"layer:{NAME}:1")]),
        Spelling(
            label="nothing", value=lambda pair: [pair.theirs.arn("layer:nothing:1")], exists=False
        ),
    ),
    "DestinationConfig": (
        # Kept, and never delivered to: an outcome goes to functions of its own account only.
        Spelling(
            label="function",
            value=lambda pair: {"OnFailure": {"Destination": pair.theirs.arn(f"function:{NAME}")}},
            error=PASSED,
        ),
    ),
}
ERRORS: Mapping[tuple[str, str], str] = {
    ("CreateFunction", "CodeSigningConfigArn"): UNSIGNED,
    ("PutFunctionCodeSigningConfig", "CodeSigningConfigArn"): UNSIGNED,
    # Of a queue: only streams have destinations.
    ("CreateEventSourceMapping", "DestinationConfig"): REFUSED,
    ("UpdateEventSourceMapping", "DestinationConfig"): REFUSED,
}
"""By operation and member, where it is not the spelling's."""

OUTSIDE = {
    "AllowedPublishers": "AWS Signer's",
    "AmazonManagedKafkaEventSourceConfig": "a registry's address",
    "CapacityProviderConfig": "there are none",
    "CapacityProviderName": "there are none",
    "Code": "AWS KMS's",
    "DeadLetterConfig": "a queue or topic",
    "DurableConfig": "AWS KMS's",
    "DurableExecutionArn": "there are none",
    "EventSourceArn": "a queue or stream; as a filter of a list it finds one's own only",
    "FileSystemConfigs": "AWS EFS's",
    "KMSKeyArn": "AWS KMS's",
    "KmsKeyArn": "AWS KMS's",
    "PermissionsConfig": "AWS IAM's",
    "Principal": "who is let in",
    "Role": "a Secret of the caller's own account",
    "RuntimeConfig": "AWS's runtimes",
    "RuntimeVersionArn": "AWS's runtimes",
    "SelfManagedKafkaEventSourceConfig": "a registry's address",
    "SourceArn": "who is let in",
    "SourceKMSKeyArn": "AWS KMS's",
    "Updates": "of durable executions: there are none",
}
"""Members with an ARN in them that lead to no function, layer, mapping or config, and why."""

OWN: Mapping[str, Value] = {
    "FunctionName": lambda _: NAME,
    "LayerName": lambda _: NAME,
    "UUID": lambda pair: pair.ours.mapping,
    "Resource": lambda pair: pair.ours.arn(f"function:{NAME}"),
    "ResourceArn": lambda pair: pair.ours.arn(f"function:{NAME}"),
    "CodeSigningConfigArn": lambda pair: pair.ours.arn(f"code-signing-config:{pair.ours.config}"),
    "VersionNumber": lambda _: 1,
    "StatementId": lambda pair: pair.theirs.word,
    "Action": lambda _: "lambda:InvokeFunction",
    "Principal": lambda _: "3" * 12,
    "Name": lambda _: "live",
    "Qualifier": lambda _: "live",
    "FunctionVersion": lambda _: "1",
    "AllowedPublishers": lambda _: PUBLISHER,
    "Role": lambda _: ROLE,
    "Code": lambda _: {"ZipFile": package()},
    "Content": lambda _: {"ZipFile": package()},
    "AuthType": lambda _: "NONE",
    "InvokeArgs": lambda _: b"{}",
    "ReservedConcurrentExecutions": lambda _: 1,
    "ProvisionedConcurrentExecutions": lambda _: 1,
    "RecursiveLoop": lambda _: "Allow",
    "UpdateRuntimeOn": lambda _: "FunctionUpdate",
    "Tags": lambda _: {"stolen": "yes"},
    "TagKeys": lambda _: ["word"],
    "Policy": lambda pair: json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [STATEMENT | {"Resource": pair.theirs.arn(f"function:{NAME}")}],
        }
    ),
    "DurableExecutionArn": lambda pair: pair.theirs.arn(
        f"function:{NAME}:1/durable-execution/{'a' * 8}/{'b' * 8}"
    ),
    "CheckpointToken": lambda _: "dG9rZW4=",
    "CallbackId": lambda _: "Y2FsbGJhY2s=",
    "CapacityProviderName": lambda _: NAME,
    "VpcConfig": lambda _: {"SubnetIds": ["subnet-0123456789abcdef0"], "SecurityGroupIds": []},
    "PermissionsConfig": lambda _: {"CapacityProviderOperatorRoleArn": ROLE},
}
"""Required members, as an administrator of the other account fills them."""

SPECIAL: Mapping[str, Mapping[str, Any]] = {
    "CreateFunction": {"FunctionName": "fresh", "Runtime": "python3.13", "Handler": "f.h"},
    "AddLayerVersionPermission": {"Action": "lambda:GetLayerVersion", "StatementId": "fresh"},
    "AddPermission": {"StatementId": "fresh"},
    "CreateAlias": {"Name": "fresh"},
    "CreateEventSourceMapping": {"EventSourceArn": queue("fresh")},
    "UpdateFunctionCode": {"ZipFile": package()},
    "UpdateFunctionConfiguration": {"Description": "stolen"},
    "UpdateEventSourceMapping": {"BatchSize": 3},
    "UpdateAlias": {"Description": "stolen"},
    "UpdateCodeSigningConfig": {"Description": "stolen"},
    "UpdateFunctionUrlConfig": {"AuthType": "NONE"},
    "GetFunctionScalingConfig": {"Qualifier": "1"},
    "PutFunctionScalingConfig": {"Qualifier": "1"},
    "PutFunctionEventInvokeConfig": {"MaximumRetryAttempts": 0},
    "UpdateFunctionEventInvokeConfig": {"MaximumRetryAttempts": 0},
}
"""By operation: what makes a request a valid one beyond its required members."""

NAMELESS: Mapping[str, str] = {
    "ListFunctions": PASSED,
    "ListLayers": PASSED,
    "ListCodeSigningConfigs": PASSED,
    "ListEventSourceMappings": PASSED,
    "GetAccountSettings": PASSED,
    "CreateCodeSigningConfig": PASSED,
    "ListCapacityProviders": PASSED,
    **dict.fromkeys(
        ("CreateCapacityProvider", "CheckpointDurableExecution", "GetDurableExecutionState"),
        REFUSED,
    ),
    **dict.fromkeys(
        (
            "DeleteCapacityProvider", "DeleteDurableExecution", "GetCapacityProvider",
            "GetDurableExecution", "GetDurableExecutionHistory",
            "ListFunctionVersionsByCapacityProvider", "PauseDurableExecution",
            "ResumeDurableExecution", "SendDurableExecutionCallbackFailure",
            "SendDurableExecutionCallbackHeartbeat", "SendDurableExecutionCallbackSuccess",
            "StopDurableExecution", "UpdateCapacityProvider",
        ),
        MISSING,
    ),
}  # fmt: skip
"""Operations without any of these members, or where none is needed: what they answer."""


# --- the requests ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request about what is theirs."""

    operation: str
    member: str = ""
    spelling: Spelling | None = None

    def given(self, pair: Pair) -> dict[str, Any]:
        shape = MODEL.operation_model(self.operation).input_shape
        special = SPECIAL.get(self.operation, {})
        required = [each for each in shape.required_members if each not in special]
        own = (each for each in required if each != self.member)
        given = {each: OWN[each](pair) for each in own} | dict(special)
        if self.spelling is not None:
            given[self.member] = self.spelling.value(pair)
        return given

    def expected(self, pair: Pair) -> str:
        if self.spelling is None:
            return NAMELESS[self.operation]
        shape = MODEL.operation_model(self.operation).input_shape.members[self.member]
        pattern = shape.metadata.get("pattern")
        if pattern is not None and not re.fullmatch(pattern, self.spelling.value(pair)):
            return INVALID  # not every operation takes every spelling
        return ERRORS.get((self.operation, self.member), self.spelling.error)

    def __str__(self) -> str:
        spelling = self.spelling.label if self.spelling is not None else ""
        return f"{self.operation} {self.member} {spelling}".strip()


def requests_of(operation: str) -> list[Asked]:
    """All requests of an operation about what is theirs; fails where the tables lack a row."""
    members = MODEL.operation_model(operation).input_shape.members
    found = [
        Asked(operation=operation, member=member, spelling=each)
        for member, spellings in IDENTIFIERS.items()
        if member in members
        for each in spellings
    ]
    if operation in NAMELESS:
        found.append(Asked(operation=operation))
    assert found, f"{operation}: say what it answers about what is another account's"
    return found


def answer(client: Any, asked: Asked, pair: Pair) -> tuple[str, str]:
    """The error's code, or ``passed``; and all that was said."""
    call = getattr(client, xform_name(asked.operation))
    try:
        reply = call(**asked.given(pair))
    except botocore.exceptions.ClientError as error:
        metadata = error.response.pop("ResponseMetadata")
        assert 400 <= metadata["HTTPStatusCode"] < 500
        return error.response["Error"]["Code"], json.dumps(error.response)
    for member in ("Payload", "EventStream"):
        if member in reply:
            reply[member].close()
    return PASSED, json.dumps(reply, default=str)


@pytest.mark.parametrize("operation", sorted({*MODEL.operation_names, *HANDLERS}))
def test_nothing_of_another_account_is_shown_or_changed(pair: Pair, operation: str) -> None:
    asked = requests_of(operation)
    theirs_before, ours_before = pair.theirs.objects(), pair.ours.objects()
    for each in asked:
        if each.expected(pair) != PASSED:
            shows_nothing(pair, each)
    assert pair.theirs.objects() == theirs_before
    assert pair.ours.objects() == ours_before, "a namesake was changed"
    for each in asked:
        if each.expected(pair) == PASSED:
            shows_nothing(pair, each)
    assert pair.theirs.objects() == theirs_before


def shows_nothing(pair: Pair, asked: Asked) -> None:
    """Ask, and see that it is refused as expected, or shows nothing of theirs."""
    code, said = answer(pair.ours.client, asked, pair)
    assert code == asked.expected(pair), f"{asked}: {said}"
    own_words = json.dumps(asked.given(pair), default=str)
    for word in (pair.theirs.word, pair.theirs.mapping, pair.theirs.config):
        assert word not in said or word in own_words, f"{asked}: {said}"


@pytest.mark.parametrize("operation", sorted({*MODEL.operation_names, *HANDLERS}))
def test_what_is_there_and_what_is_not_read_alike(pair: Pair, operation: str) -> None:
    asked = requests_of(operation)
    for nothing in asked:
        if nothing.spelling is None or nothing.spelling.exists:
            continue
        there = next(each for each in asked if each.member == nothing.member)
        said = set()
        for each in (there, nothing):
            code, text = answer(pair.ours.client, each, pair)
            value = each.given(pair)[each.member]
            name = value[0] if isinstance(value, list) else value
            said.add((code, text.replace(name, "<given>")))
        assert len(said) == 1, said


@pytest.mark.parametrize(
    "operation",
    sorted(
        name
        for name in {*MODEL.operation_names} - {*ABSENT}
        if MODEL.operation_model(name).http["method"] == "GET"
    ),
)
def test_the_owner_is_answered(pair: Pair, operation: str) -> None:
    """The very requests that are refused are good ones."""
    word, asked = pair.theirs.word, requests_of(operation)[0]
    code, said = answer(pair.theirs.client, asked, pair)
    assert code == PASSED, said
    assert word in said or operation in WORDLESS


def test_what_is_asked_beyond_lambdas_api(pair: Pair) -> None:
    """docs/operations.md, "Asynchronous events": records by request id, queues by function."""

    def said(owner: Owned, method: str, path: str, document: object = None) -> tuple[int, str]:
        try:
            return 200, json.dumps(ask(owner.client, method, path, document))
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    arn, rig = pair.theirs.arn(f"function:{NAME}"), pair.theirs.account.rig
    sent = event(NAME, namespace=pair.theirs.account.namespace, arn=arn)
    asyncio.run(queued(rig.store, sent))
    record = f"async-invocations/{sent.id}"
    nothing = f"async-invocations/{NO_UUID}"
    assert said(pair.theirs, "GET", record)[0] == 200
    status, text = said(pair.ours, "GET", record)
    assert status == 404
    unknown = said(pair.ours, "GET", nothing)
    assert unknown == (404, text.replace(sent.id, NO_UUID))

    before, at_home = pair.theirs.objects(), pair.ours.objects()
    queue_of = f"async-queues/{arn}"
    requests = (
        ("GET", queue_of, None),
        ("PUT", queue_of, {"Paused": True}),
        ("POST", f"{queue_of}/redrive", None),
    )
    for request in requests:
        status, text = said(pair.ours, *request)
        assert status == 403, text
    assert (pair.theirs.objects(), pair.ours.objects()) == (before, at_home)
    assert [said(pair.theirs, *request)[0] for request in requests] == [200] * len(requests)
    assert json.loads(said(pair.ours, "GET", f"async-queues/{NAME}")[1])["Depth"] == 0


async def queued(store: str, sent: Event) -> None:
    events = StoreEvents(store, KEY)
    await events.put(sent)
    await events.close()


def test_every_member_with_an_arn_in_it_is_known() -> None:
    unknown = {
        (operation, member)
        for operation in MODEL.operation_names
        for member, shape in MODEL.operation_model(operation).input_shape.members.items()
        if names_something(shape, frozenset()) and member not in {*IDENTIFIERS, *OUTSIDE}
    }
    assert unknown == set()


def names_something(shape: Any, above: frozenset[str]) -> bool:
    """Whether an ARN can stand in a member, or in one inside it."""
    if shape.name in above:
        return False
    if "arn" in shape.metadata.get("pattern", "") or shape.name.lower().endswith("arn"):
        return True
    inner = {
        "structure": lambda: list(shape.members.values()),
        "list": lambda: [shape.member],
        "map": lambda: [shape.value],
    }.get(shape.type_name, list)()
    return any(names_something(each, above | {shape.name}) for each in inner)
