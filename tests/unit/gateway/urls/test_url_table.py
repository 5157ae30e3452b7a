"""The table of URLs follows the objects."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from klambda_core.urls import url_id
from klambda_gateway.routing.facts import alias_facts, function_facts, version_facts
from klambda_gateway.routing.table import RoutingTable
from klambda_gateway.urls.config import read_url
from klambda_gateway.urls.table import UrlTable

KEY = "k" * 64
NONE = {"authType": "NONE", "invokeMode": "BUFFERED", "public": True}
PRIVATE = NONE | {"public": False}
GRANTS = [
    {"sid": "a", "action": "lambda:InvokeFunctionUrl", "principal": "*",
     "functionUrlAuthType": "NONE"},
    {"sid": "b", "action": "lambda:InvokeFunction", "principal": "*",
     "invokedViaFunctionUrl": True},
]  # fmt: skip


class World:
    def __init__(self) -> None:
        self.urls = UrlTable(partial(url_id, KEY))
        self.routes = RoutingTable(on_swapped=self.urls.changed)
        self._seen: dict[str, Any] = {}

    def function(self, name: str = "area", created: str = "1", **spec: Any) -> None:
        meta = {"namespace": "default", "name": name, "uid": name, "creationTimestamp": created}
        self._change("function", name, function_facts({"metadata": meta, "spec": spec}))

    def alias(self, alias: str, function: str = "area", **spec: Any) -> None:
        spec |= {"functionRef": function, "name": alias, "functionVersion": "1"}
        meta = {"namespace": "default", "name": f"{function}-a-{alias}", "uid": alias}
        self._change("alias", alias, alias_facts({"metadata": meta, "spec": spec}))

    def gone(self, kind: str, name: str) -> None:
        self._change(kind, name, None)

    def _change(self, kind: str, name: str, new: Any) -> None:
        change = getattr(self.routes, f"change_{kind}")
        change(self._seen.get(kind + name), new)
        self._seen[kind + name] = new

    def ids(self, *qualifiers: str | None, function: str = "area") -> list[bool]:
        found = [self.urls.get(url_id(KEY, "default", function, each)) for each in qualifiers]
        return [each is not None for each in found]


def test_functions_and_aliases_come_and_go() -> None:
    world = World()
    world.function(url=NONE)
    world.alias("live", url=PRIVATE)
    world.alias("plain")
    assert world.ids(None, "live", "plain") == [True, True, False]
    assert len(world.urls) == 2
    live = world.urls.get(url_id(KEY, "default", "area", "live"))
    assert live is not None
    assert (live.namespace, live.function, live.qualifier) == ("default", "area", "live")

    world.function()  # its URL is taken away
    assert world.ids(None, "live") == [False, True]
    world.gone("alias", "live")
    assert world.ids("live") == [False]
    world.function(url=NONE)
    world.gone("function", "area")
    assert len(world.urls) == 0


def test_nothing_that_was_nothing_changes_nothing() -> None:
    world = World()
    world.urls.changed(None, None)
    assert len(world.urls) == 0


def test_an_aws_name_that_moves_takes_its_url_along() -> None:
    world = World()
    world.function("obj", url=NONE, functionName="First")
    assert world.ids(None, function="First") == [True]
    world.function("obj", url=NONE, functionName="Second")
    assert world.ids(None, function="First") == [False]
    assert world.ids(None, function="Second") == [True]


def test_of_two_objects_with_one_name_the_oldest_has_the_url() -> None:
    world = World()
    world.function("area", created="2", url=NONE)
    assert world.ids(None) == [True]
    world.function("older", created="1", functionName="area")
    assert world.ids(None) == [False]
    world.gone("function", "older")
    assert world.ids(None) == [True]


def test_namespaces_with_functions_are_known() -> None:
    world = World()
    assert not world.routes.namespaces
    world.function("a")
    world.function("b")
    world.gone("function", "a")
    assert list(world.routes.namespaces) == ["default"]
    world.gone("function", "b")
    assert not world.routes.namespaces


def test_policies_are_those_of_the_qualifier() -> None:
    world = World()
    world.function(policy=GRANTS[:1])
    world.alias("live", policy=GRANTS)
    meta = {"namespace": "default", "name": "area-v1", "uid": "v1"}
    version = {"functionRef": "area", "version": 1, "policy": GRANTS[1:]}
    world.routes.change_version(None, version_facts({"metadata": meta, "spec": version}))
    entry = world.routes.get("default", "area")
    assert entry is not None
    sids = {
        qualifier: [each.sid for each in entry.policy(qualifier)]
        for qualifier in (None, "$LATEST", "live", "1", "2", "none")
    }
    assert sids == {
        None: ["a"], "$LATEST": ["a"], "live": ["a", "b"], "1": ["b"], "2": [], "none": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("url", "policy", "is_open"),
    [
        (NONE, [], True),
        ({"authType": "NONE"}, [], True),  # public is the schema's default
        (PRIVATE, [], False),
        (PRIVATE, GRANTS, True),
        (PRIVATE, GRANTS[:1], False),
        (PRIVATE, GRANTS[1:], False),
        ({"authType": "AWS_IAM", "public": True}, GRANTS, False),
    ],
)
def test_open_to_everybody_takes_both_statements(
    url: dict[str, Any], policy: list[dict[str, Any]], is_open: bool
) -> None:
    facts = function_facts(
        {
            "metadata": {"namespace": "n", "name": "f", "uid": "u"},
            "spec": {"url": url, "policy": policy},
        }
    )
    assert facts is not None
    assert facts.url is not None
    assert facts.url.open is is_open


def test_settings_that_say_nothing_are_the_careful_ones() -> None:
    assert read_url(None, ()) is None
    read = read_url({"invokeMode": "RESPONSE_STREAM"}, ())
    assert read is not None
    assert (read.auth_type, read.open, read.streams) == ("AWS_IAM", False, True)
