"""Carries a Plan out, action by action, and puts every answer into memory at once.

Each action names exactly the object that was observed (uid or resourceVersion); when that has moved
on, memory is refreshed and `Again` tells the loop to plan anew. Nothing is decided here.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from klambda_core.kinds import DEPLOYMENT, FUNCTION, VERSION, Kind
from klambda_core.labels import MANAGER_OPERATOR
from klambda_kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from klambda_operator.model import (
    Action,
    Adopt,
    ClaimVersion,
    CreateDeployment,
    CreateVersion,
    Delete,
    Key,
    Plan,
    RepairDeployment,
    WriteStatus,
)
from klambda_operator.observed import Observed


class Again(Exception):
    """The world has moved on since the snapshot: plan again."""


class Refused(Exception):
    """The API server refuses the Deployment; the message is its own."""


class Writer(Protocol):
    """What executing needs of `klambda_kube.api.Api`."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        """As `Api` has it."""

    async def create(
        self, kind: Kind, namespace: str | None, body: Mapping[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        """As `Api` has it."""

    async def merge_patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        field_manager: str,
        subresource: str = "",
    ) -> dict[str, Any]:
        """As `Api` has it."""

    async def apply(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        body: Mapping[str, Any],
        *,
        field_manager: str,
        subresource: str = "",
        force: bool = True,
    ) -> dict[str, Any]:
        """As `Api` has it."""

    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> None:
        """As `Api` has it."""


class Executor:
    """Does what plans say."""

    def __init__(
        self, api: Writer, observed: Observed, concern: Callable[[Iterable[Key]], None]
    ) -> None:
        self._api = api
        self._observed = observed
        self._concern = concern
        """Told of keys that are concerned by what was learnt, as the watch will not repeat it."""

    async def run(self, namespace: str, plan: Plan) -> None:
        """All actions in order. Raises Again, Refused, or what the client raises."""
        for action in plan.actions:
            await self.act(namespace, action)

    async def act(self, namespace: str, action: Action) -> None:
        """One action."""
        match action:
            case CreateDeployment():
                await self._create(namespace, action)
            case RepairDeployment():
                await self._patch(namespace, DEPLOYMENT, action.name, action.patch)
            case Adopt():
                await self._patch(namespace, action.kind, action.name, action.patch)
            case Delete():
                await self._delete(namespace, action)
            case WriteStatus():
                await self._status(namespace, action)
            case ClaimVersion():
                await self._claim(namespace, action)
            case CreateVersion():
                await self._publish(namespace, action)

    async def _create(self, namespace: str, action: CreateDeployment) -> None:
        name = action.manifest["metadata"]["name"]
        try:
            made = await self._api.create(
                DEPLOYMENT, namespace, action.manifest, field_manager=MANAGER_OPERATOR
            )
        except AlreadyExists as error:
            await self._refresh(DEPLOYMENT, namespace, name)
            raise Again(f"{name} exists") from error
        except (Invalid, Forbidden) as error:
            raise Refused(error.message) from error
        self._observed.put(DEPLOYMENT, made)

    async def _patch(
        self,
        namespace: str,
        kind: Kind,
        name: str,
        patch: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> None:
        try:
            answer = await self._api.merge_patch(
                kind,
                namespace,
                name,
                patch,
                field_manager=MANAGER_OPERATOR,
                subresource=subresource,
            )
        except (Conflict, NotFound) as error:
            await self._refresh(kind, namespace, name)
            raise Again(f"{name} has changed") from error
        except (Invalid, Forbidden) as error:
            raise Refused(error.message) from error
        self._observed.put(kind, answer)

    async def _delete(self, namespace: str, action: Delete) -> None:
        try:
            await self._api.delete(
                action.kind,
                namespace,
                action.name,
                uid=action.uid,
                resource_version=action.resource_version,
            )
        except NotFound:
            pass
        except Conflict as error:
            await self._refresh(action.kind, namespace, action.name)
            raise Again(f"{action.name} has changed") from error
        self._concern(self._observed.pop(action.kind, namespace, action.name, action.uid))

    async def _status(self, namespace: str, action: WriteStatus) -> None:
        body = {
            "metadata": {"name": action.name, "resourceVersion": action.resource_version},
            "status": action.status,
        }
        try:
            answer = await self._api.apply(
                action.kind,
                namespace,
                action.name,
                body,
                field_manager=MANAGER_OPERATOR,
                subresource="status",
            )
        except (Conflict, NotFound) as error:
            await self._refresh(action.kind, namespace, action.name)
            raise Again(f"{action.name} has changed") from error
        concerned = self._observed.put(action.kind, answer)
        # What it means for others: the watch will not repeat what memory has already.
        self._concern(concerned - {Key(action.kind.plural, namespace, action.name)})

    async def _claim(self, namespace: str, action: ClaimVersion) -> None:
        patch = {
            "metadata": {"resourceVersion": action.resource_version},
            "status": {"lastVersion": action.number},
        }
        await self._patch(namespace, FUNCTION, action.name, patch, subresource="status")

    async def _publish(self, namespace: str, action: CreateVersion) -> None:
        name = action.manifest["metadata"]["name"]
        try:
            made = await self._api.create(
                VERSION, namespace, action.manifest, field_manager=MANAGER_OPERATOR
            )
        except AlreadyExists as error:
            await self._refresh(VERSION, namespace, name)
            raise Again(f"{name} exists") from error
        self._concern(self._observed.put(VERSION, made))

    async def _refresh(self, kind: Kind, namespace: str, name: str) -> None:
        try:
            concerned = self._observed.put(kind, await self._api.get(kind, namespace, name))
        except NotFound:
            concerned = self._observed.pop(kind, namespace, name)
        self._concern(concerned)
