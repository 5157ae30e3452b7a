"""What one gateway wrote, invocations at another follow: at once what is new, soon what changed.

Authority: design, "Reading back". An invocation that meets an unknown name or qualifier asks
Kubernetes before it says no; aliases, code, policies and concurrency that change are followed
within a second. A row says what the other gateway may answer at once, and what it must answer
in the end and from then on. Time is not measured: the machine's is not ours.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import botocore.exceptions
import pytest

from tests.integration.gateway_dataplane.conftest import ControlPlane, wait_for
from tests.integration.gateway_dataplane.test_gateway_process import ROLE, answers, code, settled
from tests.integration.gateway_dataplane.test_read_after_write import DIRECTIONS

NAME = "invoke-after-write"
MISSING = "ResourceNotFoundException"
PENDING = "ResourceConflictException"
THROTTLED = "TooManyRequestsException"
HELD = 3
"""How often what is true in the end is asked for again: nothing falls back."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A client of the gateway that is written to, and the other one's."""

    writer: Any
    reader: Any
    port: int
    """Where the other one serves."""

    def invoke(self, qualifier: str) -> str:
        """The function's answer at the other gateway, or the error's code."""
        try:
            answer = self.reader.invoke(FunctionName=NAME, Qualifier=qualifier)
        except botocore.exceptions.ClientError as error:
            return str(error.response["Error"]["Code"])
        return str(json.loads(answer["Payload"].read()))

    def url(self, host: str) -> str:
        """What the other gateway says at a function URL: status, and the body of a success."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        try:
            connection.request("GET", "/", headers={"Host": host})
            answer = connection.getresponse()
            body = answer.read().decode()
        finally:
            connection.close()
        return body if answer.status == 200 else str(answer.status)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A write at one gateway, and what invocations at the other one get."""

    write: Callable[[Any], object]
    qualifier: str = "$LATEST"
    at_once: frozenset[str] = frozenset()
    """Besides the end."""
    end: str
    settles: bool = False
    """Whether the function's settling is waited for before the end is."""


def given(**more: Any) -> dict[str, Any]:
    return {"FunctionName": NAME} | more


def create(source: str) -> Callable[[Any], object]:
    return lambda client: client.create_function(
        **given(
            Runtime="python3.13", Handler="app.handler", Role=ROLE,
            Code={"ZipFile": code(answers(source))},
        )
    )  # fmt: skip


ROWS = [
    Row(write=create("1"), at_once=frozenset({PENDING}), end="1", settles=True),
    Row(
        write=lambda client: client.publish_version(**given()),
        qualifier="1",
        at_once=frozenset({PENDING}),
        end="1",
    ),
    Row(
        write=lambda client: client.create_alias(**given(Name="live", FunctionVersion="1")),
        qualifier="live",
        end="1",
    ),
    Row(
        write=lambda client: client.update_function_code(**given(ZipFile=code(answers("2")))),
        at_once=frozenset({"1"}),
        end="2",
        settles=True,
    ),
    Row(
        write=lambda client: client.publish_version(**given()),
        qualifier="2",
        at_once=frozenset({PENDING}),
        end="2",
    ),
    Row(
        write=lambda client: client.update_alias(**given(Name="live", FunctionVersion="2")),
        qualifier="live",
        at_once=frozenset({"1"}),
        end="2",
    ),
    Row(
        write=lambda client: client.put_function_concurrency(
            **given(ReservedConcurrentExecutions=0)
        ),
        qualifier="live",
        at_once=frozenset({"2"}),
        end=THROTTLED,
    ),
    Row(
        write=lambda client: client.delete_function_concurrency(**given()),
        qualifier="live",
        at_once=frozenset({THROTTLED}),
        end="2",
    ),
    Row(
        write=lambda client: client.delete_alias(**given(Name="live")),
        qualifier="live",
        at_once=frozenset({"2"}),
        end=MISSING,
    ),
    Row(
        write=lambda client: client.create_alias(**given(Name="live", FunctionVersion="1")),
        qualifier="live",
        at_once=frozenset({MISSING}),  # it was read a moment ago
        end="1",
    ),
    Row(
        write=lambda client: client.delete_function(**given()),
        at_once=frozenset({"2"}),
        end=MISSING,
    ),
    Row(
        write=create("3"),
        at_once=frozenset({MISSING, PENDING}),
        end="3",
        settles=True,
    ),
    Row(
        write=lambda client: client.delete_function(**given()),
        at_once=frozenset({"3"}),
        end=MISSING,
    ),
]


@pytest.fixture(params=DIRECTIONS)
def pair(request: pytest.FixtureRequest, control_plane: ControlPlane) -> Pair:
    writer = int(request.param)
    return Pair(
        writer=control_plane.client(writer),
        reader=control_plane.client(1 - writer),
        port=control_plane.gateways[1 - writer].http,
    )


def becomes(look: Callable[[], str], end: str, what: object) -> None:
    """It is so in the end, and stays."""
    wait_for(lambda: look() == end, f"{end} after {what}")
    assert [look() for _ in range(HELD)] == [end] * HELD, what


def test_invocations_follow_what_another_gateway_wrote(pair: Pair) -> None:
    for number, row in enumerate(ROWS):
        row.write(pair.writer)
        found = pair.invoke(row.qualifier)
        assert found in {row.end} | row.at_once, number
        if row.settles:
            settled(pair.writer, NAME)
        becomes(partial(pair.invoke, row.qualifier), row.end, number)


def test_every_way_to_invoke_knows_a_name_that_is_new(pair: Pair) -> None:
    """At once, without having been asked for it before."""
    create("1")(pair.writer)
    settled(pair.writer, NAME)
    try:
        for number, operation in enumerate(("stream", "event", "dry", "async")):
            alias = f"new-{number}"
            pair.writer.create_alias(**given(Name=alias, FunctionVersion="$LATEST"))
            match operation:
                case "stream":
                    answer = pair.reader.invoke_with_response_stream(**given(Qualifier=alias))
                    events = list(answer["EventStream"])
                    chunks = [each["PayloadChunk"]["Payload"] for each in events[:-1]]
                    assert json.loads(b"".join(chunks)) == "1"
                    assert "InvokeComplete" in events[-1]
                case "async":
                    answer = pair.reader.invoke_async(
                        FunctionName=f"{NAME}:{alias}", InvokeArgs=b"{}"
                    )
                    assert answer["Status"] == 202
                case _:
                    kind = {"event": "Event", "dry": "DryRun"}[operation]
                    answer = pair.reader.invoke(**given(Qualifier=alias, InvocationType=kind))
                    assert answer["StatusCode"] == {"event": 202, "dry": 204}[operation]
    finally:
        pair.writer.delete_function(**given())


def allow(client: Any, action: str, **condition: Any) -> None:
    client.add_permission(
        **given(StatementId=action, Action=f"lambda:{action}", Principal="*", **condition)
    )


FORBIDDEN = "403"
URL_ACTION = "InvokeFunctionUrl"
URL_ROWS: list[tuple[Callable[[Any], object], str]] = [
    (lambda client: client.create_function_url_config(**given(AuthType="NONE")), "1"),
    (lambda client: client.remove_permission(**given(StatementId=URL_ACTION)), FORBIDDEN),
    (lambda client: allow(client, URL_ACTION, FunctionUrlAuthType="NONE"), "1"),
    (lambda client: client.update_function_url_config(**given(AuthType="AWS_IAM")), FORBIDDEN),
    (lambda client: client.update_function_url_config(**given(AuthType="NONE")), "1"),
    (lambda client: client.delete_function_url_config(**given()), FORBIDDEN),
]


def test_urls_and_their_policies_follow_what_another_gateway_wrote(pair: Pair) -> None:
    create("1")(pair.writer)
    settled(pair.writer, NAME)
    try:
        allow(pair.writer, URL_ACTION, FunctionUrlAuthType="NONE")
        allow(pair.writer, "InvokeFunction", InvokedViaFunctionUrl=True)
        made = pair.writer.create_function_url_config(**given(AuthType="AWS_IAM"))
        host = str(urlsplit(made["FunctionUrl"]).netloc)
        pair.writer.delete_function_url_config(**given())
        for number, (write, end) in enumerate(URL_ROWS):
            write(pair.writer)
            assert pair.url(host) in ("1", FORBIDDEN)
            becomes(lambda: pair.url(host), end, number)
    finally:
        pair.writer.delete_function(**given())


@pytest.mark.full
def test_a_thousand_names_that_are_new_are_all_known(pair: Pair) -> None:
    """Made at one gateway, read and run at the other: no miss (design, "Reading back")."""
    create("1")(pair.writer)
    settled(pair.writer, NAME)
    try:
        for number in range(1_000):
            alias = given(Name=f"n-{number}")
            pair.writer.create_alias(**alias, FunctionVersion="$LATEST")
            assert pair.invoke(alias["Name"]) == "1"
            assert pair.reader.get_alias(**alias)["FunctionVersion"] == "$LATEST"
            pair.writer.delete_alias(**alias)
    finally:
        pair.writer.delete_function(**given())
