"""Pages: how many items one holds, and whose markers are taken (aws-contract a.1)."""

from __future__ import annotations

import pytest

from klambda_core.errors import LambdaError
from klambda_gateway.api.call import Call
from klambda_gateway.api.model import MODEL
from klambda_gateway.api.paging import page
from klambda_gateway.auth.caller import Caller
from tests.unit.gateway_api.fakes import ACCOUNT, KEY_ID, REGION

KEYS = [f"{number:03}" for number in range(120)]


def call(given: dict[str, object], operation: str = "ListFunctions") -> Call:
    caller = Caller(access_key_id=KEY_ID, namespace="default", account=ACCOUNT, user="u")
    return Call(
        operation=MODEL.operations[operation],
        input=given,
        caller=caller,
        region=REGION,
        request_id="r",
        headers={},
        base_url="http://localhost",
    )


@pytest.mark.parametrize(
    ("given", "most", "sizes"),
    [
        ({}, 50, [50, 50, 20]),
        ({"MaxItems": 10000}, 50, [50, 50, 20]),
        ({"MaxItems": 60}, 50, [50, 50, 20]),
        ({"MaxItems": 40}, 50, [40, 40, 40]),
        ({}, 100, [100, 20]),
        ({"Marker": ""}, 100, [100, 20]),
    ],
)
def test_pages_of_a_list(given: dict[str, object], most: int, sizes: list[int]) -> None:
    found: list[list[str]] = []
    marker: str | None = None
    while not found or marker is not None:
        more = {} if marker is None else {"Marker": marker}
        items, marker = page(KEYS, call(given | more), str, most=most)
        found.append(items)
    assert [len(items) for items in found] == sizes
    assert [key for items in found for key in items] == KEYS


def test_another_lists_marker_is_refused() -> None:
    _, marker = page(KEYS, call({}), str)
    with pytest.raises(LambdaError, match="Invalid marker"):
        page(KEYS, call({"Marker": marker}, "ListLayers"), str)
