"""Accounts: which 12 digits belong to a namespace, and whose they are when several claim them.

Theory. The id is the Namespace's annotation ``klambda.io/account-id``, or the chart's map, or
hashed from the name (``klambda_core.arn``). Policies of other accounts trust these digits, so one
id is one namespace's: the chart's word first, then what nobody can choose (the hash), then
annotations, the older namespace first. Who comes later is not let in until its annotation changes.

Place: asked without waiting for every request. Namespaces are watched only where the installation
may read them. Not here: what an account may do.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from klambda_core import errors
from klambda_core.arn import account_id, annotated_account
from klambda_core.errors import LambdaError
from klambda_core.kinds import NAMESPACE
from klambda_core.labels import ACCOUNT_ID
from klambda_kube.api import Api
from klambda_kube.reflector import Reflector
from klambda_obs import logs

_log = logs.get("klambda.gateway.accounts")


class Source(enum.IntEnum):
    """Where an id comes from, the strongest first."""

    CHART = 0
    HASH = 1
    ANNOTATION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceFacts:
    """A Namespace, in the words that matter here."""

    name: str
    created: str
    annotation: str | None


class Accounts:
    """The account id of every namespace. With an ``api``, run ``run()`` as a task."""

    def __init__(self, mapping: Mapping[str, str] | None = None, api: Api | None = None) -> None:
        self._mapping = mapping or {}
        self._found: dict[str, str] = {}
        self._known: dict[str, NamespaceFacts] = {}
        self._ids: dict[str, str] = {}
        self._claims: dict[str, set[str]] = {}
        """By account id: the namespaces that have it."""
        self._mirror: Reflector[NamespaceFacts] | None = None
        if api is not None:
            self._mirror = Reflector(api, NAMESPACE, namespace_facts, on_change=self.change)

    async def run(self) -> None:
        """Follow the namespaces until cancelled."""
        if self._mirror is not None:
            await self._mirror.run()

    async def synced(self) -> None:
        """Wait until they are known."""
        if self._mirror is not None:
            await self._mirror.synced.wait()

    def of(self, namespace: str) -> str:
        """The 12 digits."""
        found = self._ids.get(namespace)
        if found is None:
            known = self._known.get(namespace)
            annotation = known.annotation if known is not None else None
            found = account_id(namespace, annotation=annotation, mapping=self._mapping)
            self._ids[namespace] = found
        return found

    def admitted(self, namespace: str) -> str:
        """The 12 digits, for somebody who acts as this account. Raises 403 when they are taken."""
        account = self.of(namespace)
        claims = self._claims.get(account)
        if claims is not None and len(claims) > 1 and min(claims, key=self._rank) != namespace:
            raise LambdaError(
                errors.ACCESS_DENIED,
                f"Account {account} belongs to another namespace than {namespace}: give it "
                f"another annotation {ACCOUNT_ID}.",
            )
        return account

    def namespace_of(self, account: str, among: Iterable[str]) -> str | None:
        """The namespace of 12 digits; of several that claim them whose they are."""
        found = self._found.get(account)
        if found is None or self.of(found) != account or len(self._claims.get(account, ())) > 1:
            found = min((n for n in among if self.of(n) == account), key=self._rank, default=None)
            if found is not None:
                self._found[account] = found
        return found

    def change(self, old: NamespaceFacts | None, new: NamespaceFacts | None) -> None:
        """Follow a Namespace."""
        if old is not None:
            account = self.of(old.name)
            claims = self._claims.get(account, set())
            claims.discard(old.name)
            if not claims:
                self._claims.pop(account, None)
            self._known.pop(old.name, None)
            self._ids.pop(old.name, None)
        if new is not None:
            self._known[new.name] = new
            self._ids.pop(new.name, None)
            account = self.of(new.name)
            claims = self._claims.setdefault(account, set())
            claims.add(new.name)
            if len(claims) > 1:
                _log.warning("account-id-taken", account=account, namespaces=sorted(claims))

    def _rank(self, namespace: str) -> tuple[Source, str, str]:
        known = self._known.get(namespace)
        if self.of(namespace) != account_id(namespace, mapping=self._mapping):
            source = Source.ANNOTATION
        else:
            source = Source.CHART if namespace in self._mapping else Source.HASH
        return source, known.created if known is not None else "", namespace


def namespace_facts(namespace: Mapping[str, Any]) -> NamespaceFacts:
    """Project a Namespace."""
    meta = namespace["metadata"]
    return NamespaceFacts(
        name=meta["name"],
        created=meta.get("creationTimestamp", ""),
        annotation=annotated_account(namespace),
    )
