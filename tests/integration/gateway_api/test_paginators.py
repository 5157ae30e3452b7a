"""Every paginator of botocore's model through boto3: pages, limits, markers, empty lists.

The rows are compared with botocore's own paginators: a new one without a row fails.
Sources: botocore's model; aws-contract a.1 (pages of 50, ESM 100).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import botocore.exceptions
import botocore.loaders
import pytest
from botocore import xform_name

from tests.integration.gateway_api.account import (
    Account,
    account,
    code_of,
    eventually,
    package,
)
from tests.integration.gateway_api.conftest import REGION, Rig
from tests.support import clients

PAGINATORS: Mapping[str, Any] = botocore.loaders.create_loader().load_service_model(
    "lambda", "paginators-1"
)["pagination"]
NAMES = [f"area-{letter}" for letter in "abcde"]
MAIN = NAMES[0]
QUALIFIERS = ["$LATEST", "live-a", "live-b", "live-c", "live-d"]
ALIASES = [*QUALIFIERS[1:], "live-e"]
INVALID = "InvalidParameterValueException"
DURABLE = f"arn:aws:lambda:{REGION}:{{account}}:function:{MAIN}:1/durable-execution/run/1"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """An account with five of everything, and one with a function and nothing else."""

    account: Account
    full: Any
    bare: Any
    mappings: list[str]
    """UUIDs in order."""
    configs: list[str]
    """ARNs of code signing configs in order; all functions have the first."""
    unused: str
    """One that no function of the other account has."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A list, and what the whole of it must be."""

    operation: str
    items: Callable[[Stage], Sequence[str]] = lambda _: ()
    key: Callable[[Any], str] = str
    given: Callable[[Stage], dict[str, Any]] = lambda _: {}
    nothing: Callable[[Stage], dict[str, Any]] | None = lambda _: {}
    """What to ask the bare account for; None: there it is never empty."""
    error: str = ""
    """Of lists that cannot exist here."""

    def pages(self, client: Any, given: Mapping[str, Any], **config: Any) -> Any:
        """botocore's own iterator."""
        paginator = client.get_paginator(xform_name(self.operation))
        return paginator.paginate(**given, PaginationConfig=config)

    def keys(self, page: Mapping[str, Any]) -> list[str]:
        """What tells a page's items from others."""
        return [self.key(each) for each in page[PAGINATORS[self.operation]["result_key"]]]

    def call(self, client: Any, given: Mapping[str, Any], **more: Any) -> Any:
        """One request."""
        return getattr(client, xform_name(self.operation))(**given, **more)


def member(name: str) -> Callable[[Any], str]:
    return lambda item: str(item[name])


def end(name: str) -> Callable[[Any], str]:
    """The last segment of an ARN."""
    return lambda item: str(item[name].rpartition(":")[2])


def main(_: Stage) -> dict[str, Any]:
    return {"FunctionName": MAIN}


ROWS = [
    Row(operation="ListFunctions", items=lambda _: NAMES, key=member("FunctionName"), nothing=None),
    Row(
        operation="ListFunctions",
        given=lambda _: {"FunctionVersion": "ALL"},
        items=lambda _: [
            *(f"{MAIN}:{version}" for version in ("$LATEST", 1, 2, 3, 4)),
            *(f"{name}:$LATEST" for name in NAMES[1:]),
        ],
        key=lambda item: f"{item['FunctionName']}:{item['Version']}",
        nothing=None,
    ),
    Row(
        operation="ListVersionsByFunction",
        items=lambda _: ["$LATEST", "1", "2", "3", "4"],
        key=member("Version"),
        given=main,
        nothing=None,
    ),
    Row(
        operation="ListAliases",
        items=lambda _: ALIASES,
        key=member("Name"),
        given=main,
        nothing=main,
    ),
    Row(
        operation="ListFunctionUrlConfigs",
        items=lambda _: [MAIN, *QUALIFIERS[1:]],
        key=end("FunctionArn"),
        given=main,
        nothing=main,
    ),
    Row(
        operation="ListFunctionEventInvokeConfigs",
        items=lambda _: QUALIFIERS,
        key=end("FunctionArn"),
        given=main,
        nothing=main,
    ),
    Row(
        operation="ListProvisionedConcurrencyConfigs",
        items=lambda _: ALIASES,
        key=end("FunctionArn"),
        given=main,
        nothing=main,
    ),
    Row(
        operation="ListLayerVersions",
        items=lambda _: ["5", "4", "3", "2", "1"],
        key=member("Version"),
        given=lambda _: {"LayerName": NAMES[0]},
        nothing=lambda _: {"LayerName": NAMES[0]},
    ),
    Row(operation="ListLayers", items=lambda _: NAMES, key=member("LayerName")),
    Row(
        operation="ListEventSourceMappings",
        items=lambda stage: stage.mappings,
        key=member("UUID"),
    ),
    Row(
        operation="ListCodeSigningConfigs",
        items=lambda stage: stage.configs,
        key=member("CodeSigningConfigArn"),
        nothing=None,
    ),
    Row(
        operation="ListFunctionsByCodeSigningConfig",
        items=lambda _: NAMES,
        key=lambda arn: str(arn.rpartition(":")[2]),
        given=lambda stage: {"CodeSigningConfigArn": stage.configs[0]},
        nothing=lambda stage: {"CodeSigningConfigArn": stage.unused},
    ),
    Row(operation="ListCapacityProviders"),
    Row(operation="ListDurableExecutionsByFunction", given=main, nothing=main),
    Row(
        operation="ListFunctionVersionsByCapacityProvider",
        given=lambda _: {"CapacityProviderName": "none"},
        error="ResourceNotFoundException",
    ),
    Row(
        operation="GetDurableExecutionHistory",
        given=lambda _: {"DurableExecutionArn": DURABLE.format(account="0" * 12)},
        error="ResourceNotFoundException",
    ),
    Row(
        operation="GetDurableExecutionState",
        given=lambda _: {
            "DurableExecutionArn": DURABLE.format(account="0" * 12),
            "CheckpointToken": "YQ==",
        },
        error=INVALID,
    ),
]
SERVED = [row for row in ROWS if row.items is not Row.items]


def named(row: Row) -> str:
    return row.operation


def test_every_paginator_has_a_row() -> None:
    assert {row.operation for row in ROWS} == set(PAGINATORS)


@pytest.fixture(scope="module")
def stage(rig: Rig) -> Stage:
    full, bare = account(rig, "pages"), account(rig, "bare")
    client, other = (each.member("klambda-admin", "paula") for each in (full, bare))
    bare.create(other, MAIN)
    configs = sorted(signing(client, name) for name in NAMES)
    for name in NAMES:
        full.create(client, name)
    versions(full, client)
    for alias in ALIASES:
        client.create_alias(FunctionName=MAIN, Name=alias, FunctionVersion="1")
        client.put_provisioned_concurrency_config(
            FunctionName=MAIN, Qualifier=alias, ProvisionedConcurrentExecutions=1
        )
    for qualifier in QUALIFIERS:
        own = {} if qualifier == "$LATEST" else {"Qualifier": qualifier}
        client.create_function_url_config(FunctionName=MAIN, AuthType="AWS_IAM", **own)
        client.put_function_event_invoke_config(
            FunctionName=MAIN, Qualifier=qualifier, MaximumRetryAttempts=0
        )
    for layer in [*NAMES, *[NAMES[0]] * 4]:
        client.publish_layer_version(LayerName=layer, Content={"ZipFile": package()})
    for name in NAMES:
        client.put_function_code_signing_config(FunctionName=name, CodeSigningConfigArn=configs[0])
    return Stage(
        account=full,
        full=client,
        bare=other,
        mappings=sorted(mapping(client, queue) for queue in NAMES),
        configs=configs,
        unused=signing(other, "unused"),
    )


def versions(full: Account, client: Any) -> None:
    """Four versions of the first function."""
    for number in range(4):
        client.update_function_configuration(FunctionName=MAIN, Description=f"{number}")
        full.rig.settle(full.namespace)
        client.publish_version(FunctionName=MAIN)
    full.rig.settle(full.namespace)


def signing(client: Any, description: str) -> str:
    profile = f"arn:aws:signer:{REGION}:{'1' * 12}:/signing-profiles/p/abcdefghij"
    made = client.create_code_signing_config(
        Description=description, AllowedPublishers={"SigningProfileVersionArns": [profile]}
    )
    return str(made["CodeSigningConfig"]["CodeSigningConfigArn"])


def mapping(client: Any, queue: str) -> str:
    made = client.create_event_source_mapping(
        FunctionName=MAIN, EventSourceArn=f"arn:aws:sqs:{REGION}:{'1' * 12}:{queue}"
    )
    return str(made["UUID"])


@pytest.mark.parametrize("row", SERVED, ids=named)
def test_pages_put_together_are_the_list(stage: Stage, row: Row) -> None:
    given, items = row.given(stage), list(row.items(stage))
    whole = list(row.pages(stage.full, given))
    assert [row.keys(page) for page in whole] == [items]
    pages = list(row.pages(stage.full, given, PageSize=2))
    assert [row.keys(page) for page in pages] == [
        items[at : at + 2] for at in range(0, len(items), 2)
    ]
    assert ["NextMarker" in page for page in pages] == [True] * (len(pages) - 1) + [False]
    exact = row.call(stage.full, given, MaxItems=len(items))
    assert row.keys(exact) == items
    assert "NextMarker" not in exact


@pytest.mark.parametrize("row", SERVED, ids=named)
def test_a_list_is_taken_up_where_it_was_left(stage: Stage, row: Row) -> None:
    """botocore's token says the marker and how many of its page were seen."""
    given, items = row.given(stage), list(row.items(stage))
    first = row.pages(stage.full, given, PageSize=2, MaxItems=3)
    seen = [key for page in first for key in row.keys(page)]
    assert seen == items[:3]
    rest = row.pages(stage.full, given, StartingToken=first.resume_token)
    assert [key for page in rest for key in row.keys(page)] == items[3:]
    marker = row.call(stage.full, given, MaxItems=2)["NextMarker"]
    again = row.call(stage.full, given, MaxItems=2, Marker=marker)
    assert row.keys(again) == items[2:4]
    assert row.call(stage.full, given, MaxItems=2)["NextMarker"] == marker


@pytest.mark.parametrize("row", [row for row in ROWS if row.nothing and not row.error], ids=named)
def test_an_empty_list_is_one_page_without_a_marker(stage: Stage, row: Row) -> None:
    assert row.nothing is not None
    pages = list(row.pages(stage.bare, row.nothing(stage)))
    assert [row.keys(page) for page in pages] == [[]]
    assert "NextMarker" not in pages[0]


@pytest.mark.parametrize("row", [row for row in ROWS if row.error], ids=named)
def test_lists_that_cannot_exist_here(stage: Stage, row: Row) -> None:
    assert code_of(lambda: list(row.pages(stage.full, row.given(stage)))) == row.error


def forged(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()


@pytest.mark.parametrize("row", SERVED, ids=named)
def test_markers_that_no_page_gave(stage: Stage, row: Row) -> None:
    given = row.given(stage)
    marker = row.call(stage.full, given, MaxItems=1)["NextMarker"]
    other = next(each for each in SERVED if each.operation != row.operation)
    foreign = other.call(stage.full, other.given(stage), MaxItems=1)["NextMarker"]
    wrong = ["!", "bm9uZQ==", "\u00e9", marker[:-4], marker + "A", foreign]
    documents: list[Any] = [[row.operation], [row.operation, 1], {}, "[" * 9, None]
    for each in [*wrong, *map(forged, documents)]:
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            row.call(stage.full, given, Marker=each)
        answer = refused.value.response
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert answer["Error"] == {"Code": INVALID, "Message": "Invalid marker."}, each
    assert row.call(stage.full, given, Marker="")["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("row", SERVED, ids=named)
def test_more_items_than_the_model_allows(stage: Stage, row: Row) -> None:
    shape = stage.full.meta.service_model.operation_model(row.operation).input_shape
    most = shape.members["MaxItems"].metadata["max"]
    assert row.call(stage.full, row.given(stage), MaxItems=most)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        row.call(stage.full, row.given(stage), MaxItems=most + 1)
    assert refused.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": (
            f"1 validation error detected: Value '{most + 1}' at 'maxItems' failed to satisfy "
            f"constraint: Member must have value less than or equal to {most}"
        ),
    }


def test_what_vanishes_between_two_pages_shifts_nothing(rig: Rig) -> None:
    many = account(rig, "shrinking")
    client = many.member("klambda-admin", "paula")
    for name in NAMES:
        many.create(client, name)
    first = client.list_functions(MaxItems=2)
    client.delete_function(FunctionName=NAMES[0])
    client.delete_function(FunctionName=NAMES[1])  # the marker's own
    rest = client.list_functions(Marker=first["NextMarker"])
    assert [each["FunctionName"] for each in rest["Functions"]] == NAMES[2:]


def test_the_paginators_of_botocore_1_34(stage: Stage, rig: Rig) -> None:
    """It asks for some of the lists with a slash at the end."""
    rows = {row.operation: row for row in SERVED if "FunctionVersion" not in row.given(stage)}
    asked = {
        operation: {"given": row.given(stage), "result": PAGINATORS[operation]["result_key"]}
        for operation, row in rows.items()
    }
    secret = stage.account.key(user="paula")
    eventually(lambda: code_of(rig.client(secret=secret).list_functions) == "passed")
    environment = rig.key(secret) | {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{rig.port}",
    }
    python = clients.python_with(*clients.OLD_BOTO3) / "python"
    program = str(clients.PROGRAMS / "old_pages.py")
    seen = json.loads(clients.run([str(python), program, json.dumps(asked)], env=environment))
    assert seen["botocore"].startswith("1.34.")
    assert "event-source-mappings" in seen["slashes"]
    for operation, row in rows.items():
        items = list(row.items(stage))
        pages = [[row.key(each) for each in page] for page in seen["pages"][operation]]
        assert pages == [items[at : at + 2] for at in range(0, len(items), 2)], operation
