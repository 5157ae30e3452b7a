"""Which namespace has an account's 12 digits."""

from __future__ import annotations

from klambda_core.arn import account_id
from klambda_gateway.auth.accounts import Accounts


def test_namespaces_are_found_by_their_account() -> None:
    accounts = Accounts({"a": "111111111111", "b": "222222222222", "c": "222222222222"})
    known = ["a", "b", "c", "hashed"]
    assert accounts.namespace_of("111111111111", known) == "a"
    assert accounts.namespace_of("222222222222", known) == "b", "the first by name"
    assert accounts.namespace_of(account_id("hashed"), known) == "hashed"
    assert accounts.namespace_of("333333333333", known) is None
    assert accounts.namespace_of("111111111111", []) == "a", "remembered, and still true"
