"""The address of a URL stands in the status of who has it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from klambda_core.crd import Alias, Function
from klambda_core.urls import UrlPlace, url_id
from klambda_operator.model import AliasSnapshot, FunctionSnapshot, Key, Rival, WriteStatus
from klambda_operator.plan import plan
from tests.unit.operator.world import LATER, WORLD, stored_function

AT = replace(WORLD, urls=UrlPlace(region="us-east-1", domain="example.com", scheme="https"))
URL = {"authType": "NONE"}
OLDER = Rival(name="older", uid="uid-0", created="2020-01-01T00:00:00Z")


def address(name: str, qualifier: str | None = None) -> str:
    url = url_id(WORLD.installation_key, "default", name, qualifier)
    return f"https://{url}.lambda-url.us-east-1.example.com/"


def of_function(status: dict[str, Any] | None = None, **members: Any) -> dict[str, Any] | None:
    spec = members.pop("spec", {"url": URL})
    item = Function.read(stored_function(status=status or {}, **spec))
    snapshot = FunctionSnapshot(
        key=Key("functions", "default", "area"), function=item, world=AT, **members
    )
    return written(snapshot)


def of_alias(status: dict[str, Any] | None = None, **members: Any) -> dict[str, Any] | None:
    spec = {"functionRef": "area", "name": "live", "functionVersion": "1"}
    spec |= members.pop("spec", {"url": URL})
    owner = {"apiVersion": "klambda.io/v1alpha1", "kind": "Function", "name": "area"}
    metadata = {
        "name": "area-live", "namespace": "default", "uid": "uid-a", "generation": 1,
        "resourceVersion": "3", "creationTimestamp": "2026-11-21T11:00:00Z",
        "ownerReferences": [owner | {"uid": "uid-1", "controller": True}],
    }  # fmt: skip
    item = Alias.read({"metadata": metadata, "spec": spec, "status": status or {}})
    given: dict[str, Any] = {"function_uid": "uid-1", "function_name": "My_Area", **members}
    key = Key("aliases", "default", "area-live")
    versions = frozenset({1})
    return written(AliasSnapshot(key=key, alias=item, world=AT, versions=versions, **given))


def written(snapshot: FunctionSnapshot | AliasSnapshot) -> dict[str, Any] | None:
    """The status that the plan writes."""
    found = [each for each in plan(snapshot, LATER).actions if isinstance(each, WriteStatus)]
    return found[0].status if found else None


def url_of(status: dict[str, Any] | None) -> object:
    assert status is not None
    return status.get("url")


def test_a_functions_url_is_that_of_its_aws_name() -> None:
    assert url_of(of_function()) == address("area")
    named = of_function(spec={"url": URL, "functionName": "My_Area"})
    assert url_of(named) == address("My_Area")
    assert url_of(of_function(spec={})) is None


def test_an_address_without_a_url_goes() -> None:
    before = of_function()
    assert before is not None
    assert url_of(of_function(before, spec={})) is None


def test_of_two_with_one_name_the_older_has_the_url() -> None:
    assert url_of(of_function(rivals=[OLDER])) is None
    assert url_of(of_alias(rivals=[OLDER])) is None


def test_an_aliass_url_names_the_function_and_the_alias() -> None:
    assert url_of(of_alias()) == address("My_Area", "live")
    assert url_of(of_alias(spec={})) is None
    orphan = of_alias(function_uid="uid-1", function_name=None)
    assert url_of(orphan) is None


def test_a_settled_one_is_not_written_again() -> None:
    settled = of_alias()
    assert settled is not None
    assert of_alias(settled) is None
