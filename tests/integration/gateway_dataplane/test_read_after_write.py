"""What one gateway wrote, another one reads: every write, and every read that shows its effect.

The tables are compared with botocore's model and the gateway's own list of what cannot exist here:
a new operation without a row fails. Authority: design, "Reading back": reads of the API show a
write at once, wherever it was made; invocations follow it within a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import botocore.exceptions
import botocore.session
import pytest
from botocore import xform_name

from klambda_gateway.api.absent import ABSENT
from klambda_gateway.auth.accounts import Accounts
from tests.integration.gateway_dataplane.conftest import ControlPlane, wait_for
from tests.integration.gateway_dataplane.test_gateway_process import ROLE, answers, code

MODEL = botocore.session.get_session().get_service_model("lambda")
NAME = "read-after-write"
VOLATILE = frozenset(
    {
        "Location", "RevisionId", "ResponseMetadata", "State", "StateReason", "StateReasonCode",
        "LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode", "Status",
        "AllocatedProvisionedConcurrentExecutions", "AvailableProvisionedConcurrentExecutions",
    }
)  # fmt: skip
"""Members that move by themselves: links made anew, and what operator and gateways bring about."""
PUBLISHER = {
    "SigningProfileVersionArns": [
        f"arn:aws:signer:us-east-1:{'1' * 12}:/signing-profiles/p/abcdefghij"
    ]
}


@dataclass(kw_only=True)
class Story:
    """The names that were learned from answers, or such as nothing has."""

    writer: Any
    reader: Any
    account: str = field(default_factory=lambda: Accounts().of("default"))
    answers: dict[str, Any] = field(default_factory=dict)

    @property
    def function_arn(self) -> str:
        return f"arn:aws:lambda:us-east-1:{self.account}:function:{NAME}"

    @property
    def layer_arn(self) -> str:
        return f"arn:aws:lambda:us-east-1:{self.account}:layer:{NAME}:{self.layer}"

    @property
    def layer(self) -> int:
        return int(self.answers.get("PublishLayerVersion", {}).get("Version", 1))

    @property
    def mapping(self) -> str:
        made = self.answers.get("CreateEventSourceMapping", {})
        return str(made.get("UUID", "00000000-0000-4000-8000-000000000000"))

    @property
    def config(self) -> str:
        made = self.answers.get("CreateCodeSigningConfig", {}).get("CodeSigningConfig", {})
        nothing = f"arn:aws:lambda:us-east-1:{self.account}:code-signing-config:csc-{'0' * 17}"
        return str(made.get("CodeSigningConfigArn", nothing))


Given = Callable[[Story], dict[str, Any]]


def own(**more: Any) -> Given:
    """Arguments about the function."""
    return lambda _: {"FunctionName": NAME} | more


def layer(**more: Any) -> Given:
    return lambda _: {"LayerName": NAME} | more


def version(**more: Any) -> Given:
    return lambda story: {"LayerName": NAME, "VersionNumber": story.layer} | more


def config(**more: Any) -> Given:
    return lambda story: {"CodeSigningConfigArn": story.config} | more


def mapping(**more: Any) -> Given:
    return lambda story: {"UUID": story.mapping} | more


def resource(**more: Any) -> Given:
    return lambda story: {"Resource": story.function_arn} | more


def nothing(_: Story) -> dict[str, Any]:
    return {}


READS: Mapping[str, Given] = {
    "GetFunction": own(),
    "GetFunction:1": own(Qualifier="1"),
    "GetFunction:live": own(Qualifier="live"),
    "GetFunctionConfiguration": own(),
    "ListFunctions": nothing,
    "ListFunctions:ALL": lambda _: {"FunctionVersion": "ALL"},
    "ListVersionsByFunction": own(),
    "GetAlias": own(Name="live"),
    "ListAliases": own(),
    "ListTags": resource(),
    "GetPolicy": own(),
    "GetResourcePolicy": lambda story: {"ResourceArn": story.function_arn},
    "GetFunctionUrlConfig": own(),
    "ListFunctionUrlConfigs": own(),
    "GetFunctionConcurrency": own(),
    "GetProvisionedConcurrencyConfig": own(Qualifier="live"),
    "ListProvisionedConcurrencyConfigs": own(),
    "GetFunctionEventInvokeConfig": own(),
    "ListFunctionEventInvokeConfigs": own(),
    "GetFunctionRecursionConfig": own(),
    "GetRuntimeManagementConfig": own(),
    "GetFunctionCodeSigningConfig": own(),
    "GetCodeSigningConfig": config(),
    "ListCodeSigningConfigs": nothing,
    "ListFunctionsByCodeSigningConfig": config(),
    "GetEventSourceMapping": mapping(),
    "ListEventSourceMappings": own(),
    "GetLayerVersion": version(),
    "GetLayerVersionByArn": lambda story: {"Arn": story.layer_arn},
    "GetLayerVersionPolicy": version(),
    "ListLayers": nothing,
    "ListLayerVersions": layer(),
    "GetAccountSettings": nothing,
}
"""By operation (and what tells two of one apart): what to ask for."""


@dataclass(frozen=True, kw_only=True)
class Write:
    """A write, and the reads whose answers it changes; all others it leaves as they are."""

    operation: str
    given: Given
    shows: str
    settles: str = ""
    """The version whose settling is waited for before the next write."""


LISTS = "ListFunctions ListFunctions:ALL ListVersionsByFunction"
CONFIGURATION = f"GetFunction GetFunctionConfiguration {LISTS}"
CHILDREN = (  # an empty list, or nothing set, is another answer than that there is no function
    "GetAlias ListAliases ListTags ListFunctionUrlConfigs GetFunctionConcurrency "
    "GetProvisionedConcurrencyConfig ListProvisionedConcurrencyConfigs "
    "ListFunctionEventInvokeConfigs GetFunctionRecursionConfig GetRuntimeManagementConfig "
    "GetFunctionCodeSigningConfig ListEventSourceMappings"
)
EXISTENCE = f"{CONFIGURATION} {CHILDREN} GetAccountSettings"
VERSIONS = "ListFunctions:ALL ListVersionsByFunction GetAccountSettings"
ALIAS = "GetFunction:live GetAlias ListAliases"
ALIAS_EXISTENCE = f"{ALIAS} GetProvisionedConcurrencyConfig"
TAGS = "GetFunction GetFunction:1 GetFunction:live ListTags"
POLICY = "GetPolicy GetResourcePolicy"
URL = "GetFunctionUrlConfig ListFunctionUrlConfigs"
RESERVED = "GetFunction GetFunctionConcurrency GetAccountSettings"
PROVISIONED = "GetProvisionedConcurrencyConfig ListProvisionedConcurrencyConfigs GetAccountSettings"
EVENTS = "GetFunctionEventInvokeConfig ListFunctionEventInvokeConfigs"
SIGNING = "GetCodeSigningConfig ListCodeSigningConfigs"
SIGNING_EXISTENCE = f"{SIGNING} ListFunctionsByCodeSigningConfig"
SIGNED = "GetFunctionCodeSigningConfig ListFunctionsByCodeSigningConfig"
MAPPING = "GetEventSourceMapping ListEventSourceMappings"
LAYER = (
    "GetLayerVersion GetLayerVersionByArn GetLayerVersionPolicy ListLayers ListLayerVersions "
    "GetAccountSettings"
)
STATEMENT = {"Action": "lambda:InvokeFunction", "Principal": "222222222222"}
WRITES = [
    Write(
        operation="CreateFunction",
        given=own(
            Runtime="python3.13",
            Handler="app.handler",
            Role=ROLE,
            Code={"ZipFile": code(answers("1"))},
        ),
        shows=EXISTENCE,
        settles="$LATEST",
    ),
    Write(operation="PublishVersion", given=own(), settles="1", shows=f"GetFunction:1 {VERSIONS}"),
    Write(
        operation="CreateAlias", given=own(Name="live", FunctionVersion="1"), shows=ALIAS_EXISTENCE
    ),
    Write(
        operation="UpdateFunctionConfiguration",
        given=own(Description="two"),
        settles="$LATEST",
        shows=CONFIGURATION,
    ),
    Write(
        operation="UpdateFunctionCode",
        given=own(ZipFile=code(answers("2"))),
        settles="$LATEST",
        shows=CONFIGURATION,
    ),
    Write(operation="PublishVersion", given=own(), settles="2", shows=VERSIONS),
    Write(operation="UpdateAlias", given=own(Name="live", FunctionVersion="2"), shows=ALIAS),
    Write(operation="TagResource", given=resource(Tags={"a": "b"}), shows=TAGS),
    Write(operation="UntagResource", given=resource(TagKeys=["a"]), shows=TAGS),
    Write(operation="AddPermission", given=own(StatementId="s", **STATEMENT), shows=POLICY),
    Write(operation="RemovePermission", given=own(StatementId="s"), shows=POLICY),
    Write(
        operation="PutResourcePolicy",
        given=lambda story: {
            "ResourceArn": story.function_arn,
            "Policy": json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Sid": "t",
                            "Effect": "Allow",
                            "Principal": {"AWS": "arn:aws:iam::222222222222:root"},
                            "Action": "lambda:InvokeFunction",
                            "Resource": story.function_arn,
                        }
                    ],
                }
            ),
        },
        shows=POLICY,
    ),
    Write(
        operation="DeleteResourcePolicy",
        given=lambda story: {"ResourceArn": story.function_arn},
        shows=POLICY,
    ),
    Write(operation="CreateFunctionUrlConfig", given=own(AuthType="AWS_IAM"), shows=URL),
    Write(operation="UpdateFunctionUrlConfig", given=own(InvokeMode="RESPONSE_STREAM"), shows=URL),
    Write(operation="DeleteFunctionUrlConfig", given=own(), shows=URL),
    Write(
        operation="PutFunctionConcurrency",
        given=own(ReservedConcurrentExecutions=7),
        shows=RESERVED,
    ),
    Write(operation="DeleteFunctionConcurrency", given=own(), shows=RESERVED),
    Write(
        operation="PutProvisionedConcurrencyConfig",
        given=own(Qualifier="live", ProvisionedConcurrentExecutions=1),
        shows=PROVISIONED,
    ),
    Write(
        operation="DeleteProvisionedConcurrencyConfig",
        given=own(Qualifier="live"),
        shows=PROVISIONED,
    ),
    Write(
        operation="PutFunctionEventInvokeConfig", given=own(MaximumRetryAttempts=1), shows=EVENTS
    ),
    Write(
        operation="UpdateFunctionEventInvokeConfig",
        given=own(MaximumRetryAttempts=0),
        shows=EVENTS,
    ),
    Write(operation="DeleteFunctionEventInvokeConfig", given=own(), shows=EVENTS),
    Write(
        operation="PutFunctionRecursionConfig",
        given=own(RecursiveLoop="Allow"),
        shows="GetFunctionRecursionConfig",
    ),
    Write(
        operation="PutRuntimeManagementConfig",
        given=own(UpdateRuntimeOn="FunctionUpdate"),
        shows="GetRuntimeManagementConfig",
    ),
    Write(
        operation="CreateCodeSigningConfig",
        given=lambda _: {"AllowedPublishers": PUBLISHER},
        shows=SIGNING_EXISTENCE,
    ),
    Write(operation="UpdateCodeSigningConfig", given=config(Description="two"), shows=SIGNING),
    Write(
        operation="PutFunctionCodeSigningConfig",
        given=lambda story: {"FunctionName": NAME, "CodeSigningConfigArn": story.config},
        shows=SIGNED,
    ),
    Write(operation="DeleteFunctionCodeSigningConfig", given=own(), shows=SIGNED),
    Write(operation="DeleteCodeSigningConfig", given=config(), shows=SIGNING_EXISTENCE),
    Write(
        operation="CreateEventSourceMapping",
        given=own(EventSourceArn=f"arn:aws:sqs:us-east-1:{'1' * 12}:{NAME}"),
        shows=MAPPING,
    ),
    Write(operation="UpdateEventSourceMapping", given=mapping(BatchSize=3), shows=MAPPING),
    Write(operation="DeleteEventSourceMapping", given=mapping(), shows=MAPPING),
    Write(
        operation="PublishLayerVersion",
        given=layer(Content={"ZipFile": code("")}),
        shows=LAYER,
    ),
    Write(
        operation="AddLayerVersionPermission",
        given=version(StatementId="s", Action="lambda:GetLayerVersion", Principal="*"),
        shows="GetLayerVersionPolicy",
    ),
    Write(
        operation="RemoveLayerVersionPermission",
        given=version(StatementId="s"),
        shows="GetLayerVersionPolicy",
    ),
    Write(operation="DeleteLayerVersion", given=version(), shows=LAYER),
    Write(operation="DeleteAlias", given=own(Name="live"), shows=ALIAS_EXISTENCE),
    Write(operation="DeleteFunction", given=own(Qualifier="1"), shows=f"GetFunction:1 {VERSIONS}"),
    Write(operation="DeleteFunction", given=own(), shows=EXISTENCE),
]
RUNS = frozenset({"Invoke", "InvokeAsync", "InvokeWithResponseStream"})


def operations(*methods: str) -> set[str]:
    """The operations of the model with these methods, but those on what cannot exist here."""
    names = {
        name
        for name in MODEL.operation_names
        if MODEL.operation_model(name).http["method"] in methods
    }
    return names - ABSENT.keys()


def test_every_operation_has_a_row() -> None:
    assert {each.operation for each in WRITES} | RUNS == operations("POST", "PUT", "DELETE")
    assert {label.partition(":")[0] for label in READS} == operations("GET")


def steady(value: Any) -> Any:
    """An answer without what moves by itself."""
    if isinstance(value, dict):
        return {key: steady(inner) for key, inner in value.items() if key not in VOLATILE}
    return [steady(each) for each in value] if isinstance(value, list) else value


def called(client: Any, operation: str, given: dict[str, Any]) -> Any:
    return getattr(client, xform_name(operation))(**given)


def seen(story: Story) -> dict[str, Any]:
    """What the reading gateway answers to every read now."""
    found: dict[str, Any] = {}
    for label, given in READS.items():
        try:
            answer = called(story.reader, label.partition(":")[0], given(story))
        except botocore.exceptions.ClientError as error:
            answer = error.response["Error"]
        found[label] = steady(answer)
    return found


DIRECTIONS = [0, pytest.param(1, marks=pytest.mark.full)]
"""The gateway that is written to; the other one is asked."""


@pytest.mark.parametrize("writer", DIRECTIONS)
def test_every_read_shows_every_write_at_the_other_gateway(
    control_plane: ControlPlane, writer: int
) -> None:
    story = Story(writer=control_plane.client(writer), reader=control_plane.client(1 - writer))
    before = seen(story)
    for step in WRITES:
        story.answers[step.operation] = called(story.writer, step.operation, step.given(story))
        now = seen(story)
        changed = {label for label in READS if now[label] != before[label]}
        assert changed == set(step.shows.split()), step
        before = now
        if step.settles:
            settle(story.writer, step.settles)


def settle(client: Any, qualifier: str) -> None:
    def done() -> bool:
        found = client.get_function_configuration(FunctionName=NAME, Qualifier=qualifier)
        return bool(found["State"] == "Active" and found["LastUpdateStatus"] == "Successful")

    wait_for(done, f"{qualifier} settles")
