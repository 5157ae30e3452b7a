"""Which namespace has an account's 12 digits."""

from __future__ import annotations

import contextlib

import pytest

from klambda_core.arn import account_id
from klambda_core.errors import LambdaError
from klambda_gateway.auth.accounts import Accounts, NamespaceFacts, namespace_facts


def test_namespaces_are_found_by_their_account() -> None:
    accounts = Accounts({"a": "111111111111", "b": "222222222222", "c": "222222222222"})
    known = ["a", "b", "c", "hashed"]
    assert accounts.namespace_of("111111111111", known) == "a"
    assert accounts.namespace_of("222222222222", known) == "b", "the first by name"
    assert accounts.namespace_of(account_id("hashed"), known) == "hashed"
    assert accounts.namespace_of("333333333333", known) is None
    assert accounts.namespace_of("111111111111", []) == "a", "remembered, and still true"


def facts(name: str, created: str, annotation: str | None = None) -> NamespaceFacts:
    return NamespaceFacts(name=name, created=f"2026-01-{created}T00:00:00Z", annotation=annotation)


def refused(accounts: Accounts, namespace: str) -> bool:
    with contextlib.suppress(LambdaError):
        assert accounts.admitted(namespace) == accounts.of(namespace)
        return False
    with pytest.raises(LambdaError, match=r"another annotation klambda\.io/account-id") as caught:
        accounts.admitted(namespace)
    assert (caught.value.status, caught.value.error.name) == (403, "AccessDeniedException")
    return True


ONE = "1" * 12


@pytest.mark.parametrize(
    ("older", "younger", "owner"),
    [
        (facts("a", "01", ONE), facts("b", "02", ONE), "a"),
        (facts("b", "01", ONE), facts("a", "02", ONE), "b"),
        (facts("b", "01", ONE), facts("a", "01", ONE), "a"),
        # Nobody takes the digits that are another's by its name or by the chart.
        (facts("thief", "01", account_id("plain")), facts("plain", "02"), "plain"),
        (facts("thief", "01", "3" * 12), facts("charted", "02"), "charted"),
        (facts("plain", "01", account_id("plain")), facts("thief", "02", account_id("plain")),
         "plain"),
    ],
)  # fmt: skip
def test_one_id_is_one_namespaces(
    older: NamespaceFacts, younger: NamespaceFacts, owner: str
) -> None:
    for order in ((older, younger), (younger, older)):
        accounts = Accounts({"charted": "3" * 12})
        for each in order:
            accounts.change(None, each)
        names = {older.name, younger.name}
        assert {name for name in names if not refused(accounts, name)} == {owner}
        assert accounts.namespace_of(accounts.of(owner), sorted(names)) == owner


def test_who_gives_an_id_back_gives_it_free() -> None:
    accounts = Accounts()
    first, second = facts("a", "01", ONE), facts("b", "02", ONE)
    accounts.change(None, first)
    accounts.change(None, second)
    assert refused(accounts, "b")
    changed = facts("a", "01")
    accounts.change(first, changed)
    assert not refused(accounts, "b")
    assert accounts.of("a") == account_id("a")
    accounts.change(second, None)
    assert accounts.of("b") == account_id("b")
    accounts.change(changed, facts("a", "01", "no digits"))
    assert accounts.of("a") == account_id("a")


def test_a_namespace_as_the_watch_brings_it() -> None:
    meta = {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}
    assert namespace_facts({"metadata": meta}) == facts("a", "01")
    annotated = meta | {"annotations": {"klambda.io/account-id": ONE}}
    assert namespace_facts({"metadata": annotated}) == facts("a", "01", ONE)
