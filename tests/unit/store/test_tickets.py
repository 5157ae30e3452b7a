"""Tickets: what opens the store, and all the ways in which one does not."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_core.tickets import VALIDITY_S, Verdict, sign, ticket, verify

KEY = "0f" * 32
PATH = "/v1/blobs/default/" + "a" * 64
NOW = 1_790_000_000.5


def query(text: str) -> dict[str, str]:
    return dict(parse_qsl(text, strict_parsing=True))


def test_the_signature_is_what_the_contract_says() -> None:
    text = f"store\nGET\n{PATH}\n1790000900"
    expected = hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()
    assert sign(KEY, "GET", PATH, expires=1_790_000_900) == expected
    assert ticket(KEY, "GET", PATH, now=NOW) == f"expires=1790000900&signature={expected}"


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_a_ticket_opens_its_own_request(method: str) -> None:
    given_ = query(ticket(KEY, method, PATH, now=NOW))
    assert verify(KEY, method, PATH, given_, now=NOW) is Verdict.VALID


def test_a_ticket_for_get_serves_head_but_not_the_reverse() -> None:
    get, head = (query(ticket(KEY, method, PATH, now=NOW)) for method in ("GET", "HEAD"))
    assert verify(KEY, "HEAD", PATH, get, now=NOW) is Verdict.VALID
    assert verify(KEY, "GET", PATH, head, now=NOW) is Verdict.WRONG


@pytest.mark.parametrize(
    ("key", "method", "path"),
    [
        (KEY[::-1], "GET", PATH),
        (KEY, "PUT", PATH),
        (KEY, "DELETE", PATH),
        (KEY, "GET", PATH + "a"),
        (KEY, "GET", PATH.replace("default", "other")),
    ],
)
def test_it_opens_nothing_else(key: str, method: str, path: str) -> None:
    given_ = query(ticket(KEY, "GET", PATH, now=NOW))
    assert verify(key, method, path, given_, now=NOW) is Verdict.WRONG


def test_it_ends() -> None:
    given_ = query(ticket(KEY, "GET", PATH, now=NOW))
    assert verify(KEY, "GET", PATH, given_, now=NOW + VALIDITY_S - 1) is Verdict.VALID
    assert verify(KEY, "GET", PATH, given_, now=NOW + VALIDITY_S) is Verdict.EXPIRED


@pytest.mark.parametrize(
    "change",
    [
        {"expires": ""},
        {"expires": "1790000901"},
        {"expires": "01790000900"},
        {"expires": "1790000900.0"},
        {"expires": "+1790000900"},
        {"expires": "²"},
        {"expires": "9" * 5000},
        {"signature": ""},
        {"signature": "0" * 64},
        {"signature": "ü" * 64},
    ],
)
def test_tampering(change: dict[str, str]) -> None:
    given_ = query(ticket(KEY, "GET", PATH, now=NOW)) | change
    assert verify(KEY, "GET", PATH, given_, now=NOW) is Verdict.WRONG


@given(st.dictionaries(st.sampled_from(["expires", "signature"]), st.text()))
def test_nothing_made_up_opens_or_breaks_it(made_up: dict[str, str]) -> None:
    assert verify(KEY, "GET", PATH, made_up, now=NOW) is Verdict.WRONG
