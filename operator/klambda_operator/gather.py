"""From a key to a Snapshot: everything that a plan may look at, from memory where that is safe.

An owner that memory does not have, or has under another uid than its children name, is read afresh
before any plan may delete those children. A stranger under the name of a wanted Deployment is read
again, because the watch does not show strangers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from klambda_core import arn
from klambda_core.crd import Alias, Function, Version
from klambda_core.crd.base import KubeObject, ObjectMeta
from klambda_core.kinds import ALIAS, DEPLOYMENT, FUNCTION, NAMESPACE, VERSION, Kind
from klambda_kube.errors import Forbidden, NotFound
from klambda_operator import observed as seen
from klambda_operator.assess import Subject, Target, assess, subject_of_function, subject_of_version
from klambda_operator.model import (
    AliasSnapshot,
    Broken,
    Child,
    Deployment,
    FunctionSnapshot,
    Key,
    Reservation,
    Rival,
    Snapshot,
    VersionSnapshot,
    World,
)
from klambda_operator.observed import Observed, Record
from klambda_operator.settings import Settings

M = TypeVar("M", bound=KubeObject)

ACCOUNT_MAX_AGE_S = 60.0
"""A namespace's account id hardly ever changes; the resync brings a change to all functions."""


class Reader(Protocol):
    """What gathering needs of `klambda_kube.api.Api`."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        """As `Api` has it."""


class Accounts:
    """Account ids of namespaces: annotation, the chart's map, or hashed."""

    def __init__(self, api: Reader, mapping: Mapping[str, str], clock: Callable[[], float]) -> None:
        self._api = api
        self._mapping = mapping
        self._clock = clock
        self._known: dict[str, tuple[float, str]] = {}

    async def of(self, namespace: str) -> str:
        """The account that a namespace stands for."""
        at, account = self._known.get(namespace, (float("-inf"), ""))
        if self._clock() - at < ACCOUNT_MAX_AGE_S:
            return account
        annotation = None
        # A namespaced installation may not read namespaces: the chart's map is its way.
        with suppress(NotFound, Forbidden):
            annotation = arn.annotated_account(await self._api.get(NAMESPACE, None, namespace))
        account = arn.account_id(namespace, annotation=annotation, mapping=self._mapping)
        self._known[namespace] = (self._clock(), account)
        return account


class Gatherer:
    """Makes Snapshots."""

    def __init__(
        self,
        *,
        api: Reader,
        observed: Observed,
        accounts: Accounts,
        settings: Settings,
        installation_key: str,
        concern: Callable[[Iterable[Key]], None],
    ) -> None:
        self._api = api
        self._concern = concern
        self._observed = observed
        self._accounts = accounts
        self._settings = settings
        self._installation_key = installation_key

    async def gather(self, key: Key) -> Snapshot:
        """The snapshot for a key."""
        world = await self._world(key.namespace)
        if key.plural == ALIAS.plural:
            return await self._alias(key, world)
        if key.plural == VERSION.plural:
            return await self._version(key, world)
        return await self._function(key, world)

    async def _function(self, key: Key, world: World) -> FunctionSnapshot:
        deployments = self._deployments(key, FUNCTION)
        children = self._children(key)
        function = _read(Function, await self._certain(FUNCTION, key, [*deployments, *children]))
        rivals: list[Rival] = []
        versions: list[Version] = []
        reservations: list[Reservation] = []
        if isinstance(function, Function):
            if function.spec.publish is not None or function.spec.auto_publish:
                versions = self._versions(key, function.uid)
            deployments += await self._namesake(subject_of_function(function), world, deployments)
            rivals = self._rivals(FUNCTION, key, seen.aws_name_group(function.aws_name))
            if function.spec.reserved_concurrent_executions is not None:
                reservations = self._reservations(key)
        return FunctionSnapshot(
            key=key,
            function=function,
            world=world,
            rivals=rivals,
            children=children,
            versions=versions,
            reservations=reservations,
            deployments=deployments,
        )

    async def _version(self, key: Key, world: World) -> VersionSnapshot:
        deployments = self._deployments(key, VERSION)
        version = _read(Version, await self._certain(VERSION, key, deployments))
        function_uid = None
        if isinstance(version, Version):
            deployments += await self._namesake(subject_of_version(version), world, deployments)
            function_uid = self._function_uid(key.namespace, version.spec.function_ref)
        return VersionSnapshot(
            key=key,
            version=version,
            world=world,
            function_uid=function_uid,
            deployments=deployments,
        )

    async def _alias(self, key: Key, world: World) -> AliasSnapshot:
        alias = _read(Alias, await self._certain(ALIAS, key))
        if not isinstance(alias, Alias):
            return AliasSnapshot(key=key, alias=alias, world=world)
        reference = alias.spec.function_ref
        uid = self._function_uid(key.namespace, reference)
        family = seen.family_group(reference)
        records = [
            each
            for each in self._observed.group(VERSION, key.namespace, family)
            if not each.deleting and (each.owner is None or each.owner.uid == uid)
        ]
        group = seen.alias_group(reference, alias.spec.name)
        rivals = [
            seen.rival(each)
            for each in self._observed.group(ALIAS, key.namespace, group)
            if each.name != key.name
            and not each.deleting
            and (each.owner is None or each.owner.uid == uid)
        ]
        return AliasSnapshot(
            key=key,
            alias=alias,
            world=world,
            function_uid=uid,
            function_name=self._function_name(key.namespace, reference) if uid else None,
            versions=frozenset(_number(each) for each in records),
            usable=frozenset(_number(each) for each in records if each.serves),
            provisioned=frozenset(_number(each) for each in records if each.provisioned),
            rivals=rivals,
        )

    async def _certain(
        self, kind: Kind, key: Key, children: Sequence[Deployment | Child] = ()
    ) -> Record | None:
        """The record, when memory can be trusted; otherwise what the API server says now.

        It cannot be trusted when it has none, or when a child names another uid: the child may be
        the younger one. Nor when what it serves with has vanished: with an owner that is deleted
        its Deployments go, and one made anew for it would be one more to be collected. Children
        are collected before this is called, so that an owner whose uid is not the answer's has
        certainly gone.
        """
        record = self._observed.get(kind, key.namespace, key.name)
        named = {
            child.owner.uid
            for child in children
            if child.owner is not None
            and (child.owner.kind, child.owner.name) == (kind.kind, key.name)
        }
        if record is not None and named <= {record.uid} and not _bereft(record, children):
            return record
        try:
            body = await self._api.get(kind, key.namespace, key.name)
        except NotFound:
            self._concern(self._observed.pop(kind, key.namespace, key.name) - {key})
            return None
        self._concern(self._observed.put(kind, body) - {key})
        return self._observed.get(kind, key.namespace, key.name)

    def _children(self, key: Key) -> list[Child]:
        family = seen.family_group(key.name)
        return [
            seen.child(each)
            for kind in (VERSION, ALIAS)
            for each in self._observed.group(kind, key.namespace, family)
        ]

    def _versions(self, key: Key, uid: str) -> list[Version]:
        """The readable versions of this very function."""
        found = [
            _read(Version, each)
            for each in self._observed.group(VERSION, key.namespace, seen.family_group(key.name))
            if each.owner is None or each.owner.uid == uid
        ]
        return [each for each in found if isinstance(each, Version)]

    def _reservations(self, key: Key) -> list[Reservation]:
        return [
            Reservation(uid=each.uid, created=each.created, amount=each.reserved)
            for each in self._observed.group(FUNCTION, key.namespace, seen.RESERVING)
            if each.name != key.name and not each.deleting and each.reserved is not None
        ]

    def _deployments(self, key: Key, owner: Kind) -> list[Deployment]:
        group = seen.owner_group(owner.kind, key.name)
        return [
            seen.deployment(each) for each in self._observed.group(DEPLOYMENT, key.namespace, group)
        ]

    async def _namesake(
        self, subject: Subject, world: World, known: list[Deployment]
    ) -> list[Deployment]:
        """A stranger under the name of the wanted Deployment, read afresh."""
        target = assess(subject, world)
        if not isinstance(target, Target) or any(d.name == target.deployment for d in known):
            return []
        if self._observed.get(DEPLOYMENT, subject.namespace, target.deployment) is None:
            return []
        try:
            body = await self._api.get(DEPLOYMENT, subject.namespace, target.deployment)
        except NotFound:
            self._observed.pop(DEPLOYMENT, subject.namespace, target.deployment)
            return []
        self._observed.put(DEPLOYMENT, body)
        return [seen.deployment(seen.project(DEPLOYMENT, body))]

    def _function_uid(self, namespace: str, name: str) -> str | None:
        record = self._observed.get(FUNCTION, namespace, name)
        return None if record is None or record.deleting else record.uid

    def _function_name(self, namespace: str, name: str) -> str | None:
        record = self._observed.get(FUNCTION, namespace, name)
        return None if record is None else record.body()["spec"].get("functionName") or name

    def _rivals(self, kind: Kind, key: Key, group: str) -> list[Rival]:
        return [
            seen.rival(each)
            for each in self._observed.group(kind, key.namespace, group)
            if each.name != key.name and not each.deleting
        ]

    async def _world(self, namespace: str) -> World:
        settings = self._settings
        return World(
            namespace=namespace,
            account=await self._accounts.of(namespace),
            region=settings.region,
            gateways=f"klambda-instances.{settings.namespace}.svc.{settings.cluster_domain}.:9001",
            runtimes=settings.runtimes,
            installation_key=self._installation_key,
            freeze=settings.freeze,
            concurrency=settings.scaling.of(namespace).account,
            urls=settings.urls,
            images=settings.images,
        )


def _bereft(record: Record, children: Sequence[Deployment | Child]) -> bool:
    """Whether it says that it serves while no Deployment of it is left."""
    if record.kind == ALIAS or any(isinstance(child, Deployment) for child in children):
        return False
    return "active" in (record.body().get("status") or {})


def _number(record: Record) -> int:
    number: int = record.body()["spec"]["version"]
    return number


def _read(model: type[M], record: Record | None) -> M | Broken | None:
    if record is None:
        return None
    body = record.body()
    try:
        return model.read(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return Broken(
            kind=model.DEFINITION.kind,
            metadata=ObjectMeta.model_validate(body["metadata"]),
            status=body.get("status") or {},
            message=f"{where}: {first['msg']}",
        )
