"""Resolution: all code and all layers end up in the store, images pinned; statuses say so.

Place: a task of the gateway that holds the lease; it owns ``status.code``, ``status.image``,
``status.layers`` and the conditions CodeResolved and LayersResolved of Functions, and the status of
LayerVersions (docs/runtime-contract.md, 7). Invariants: what is wrong in an object is said once and
waits for its change; a status is written only when it would differ; a change of any LayerVersion
makes the functions that wait for one look again. Being run twice is harmless: blobs are named by
digest, statuses are applied. Not here: what is to be done (``sources``, ``layers``), when
(``worklist``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from klambda_core.code import CodeRef, reference
from klambda_core.conditions import Fact, find, merge
from klambda_core.crd import Condition, Function, LayerVersion, ResolvedCode, ResolvedLayer
from klambda_core.crd.base import KubeObject
from klambda_core.errors import LambdaError
from klambda_core.kinds import FUNCTION, LAYER_VERSION
from klambda_core.labels import MANAGER_GATEWAY_CODE
from klambda_core.layers import Trouble, check_size
from klambda_gateway.auth.gate import utc_now
from klambda_gateway.blobs import Blobs
from klambda_gateway.code import layers, sources
from klambda_gateway.code.fetching import Fetcher, Unfetched
from klambda_gateway.code.shelf import Shelf
from klambda_gateway.code.sources import Fetch, Lookup, Outcome, Package, Resolvable, Search
from klambda_gateway.code.worklist import WAIT_S, Worklist
from klambda_gateway.code.zips import check_zip
from klambda_gateway.images.finder import Images
from klambda_gateway.images.trouble import ImageTrouble
from klambda_kube.api import Api
from klambda_kube.errors import Conflict, NotFound
from klambda_obs import logs

ATTEMPTS = 5

_log = logs.get("klambda.gateway.code")


class CodeResolver:
    """Resolves code and layers while ``run()`` runs."""

    def __init__(
        self,
        api: Api,
        blobs: Blobs,
        shelf: Shelf,
        fetcher: Fetcher,
        images: Images,
        *,
        namespaces: Sequence[str] | None = None,
        observe: Callable[[Mapping[str, Any]], None] = lambda _: None,
        now: Callable[[], datetime] = utc_now,
        wait: float = WAIT_S,
    ) -> None:
        """``observe`` is shown every object whose status was written; ``wait``: first pause."""
        self._api = api
        self._blobs = blobs
        self._shelf = shelf
        self._fetcher = fetcher
        self._images = images
        self._observe = observe
        self._now = now
        self._functions = Worklist(
            api,
            FUNCTION,
            needs=function_needs,
            work=self.resolve_function,
            weigh=lambda body: sources.weight(body["spec"].get("code")),
            namespaces=namespaces,
            wait=wait,
        )
        self._layers = Worklist(
            api,
            LAYER_VERSION,
            needs=layer_needs,
            work=self.resolve_layer,
            weigh=lambda body: sources.weight(body["spec"].get("content")),
            namespaces=namespaces,
            wait=wait,
            changed=self._functions.nudge,
        )

    async def run(self) -> None:
        """Follow all functions and layers until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._functions.run())
            group.create_task(self._layers.run())

    # --- functions --------------------------------------------------------------------------------

    async def resolve_function(self, namespace: str, name: str) -> bool:
        """Do what one function needs now; False when it should be looked at again later."""
        function = await self._read(namespace, name)
        if function is None or function.deleting or _function_settled(function):
            return True
        code = await self._code(function)
        found = await self._layers_of(function, code)
        if not await self._told(function, code, found):
            return False
        waits = isinstance(found, Trouble) and found.passing
        return not (code.retry or waits)

    async def _read(self, namespace: str, name: str) -> Function | None:
        try:
            return Function.read(await self._api.get(FUNCTION, namespace, name))
        except NotFound:
            return None

    async def _told(
        self, function: Function, code: Outcome, found: list[ResolvedLayer] | Trouble
    ) -> bool:
        """Write what was found; False when the function is another one by now.

        The operator writes into the same status at the same time: that makes nothing untrue, and
        a package of 200 MB is not fetched again for it.
        """
        for _ in range(ATTEMPTS):
            try:
                await self._tell(function, code, found)
            except (Conflict, NotFound):
                fresh = await self._read(function.namespace, function.name)
                if fresh is None or _edition(fresh) != _edition(function):
                    return False
                function = fresh
            else:
                return True
        return False

    async def _code(self, item: Resolvable) -> Outcome:
        if sources.settled(item):
            return sources.said(item)
        work = await asyncio.to_thread(sources.needed, item)
        match work:
            case Package():
                ref = await self._blobs.put(item.namespace, work.data)
                code = ResolvedCode(
                    sha256=ref.sha256, size=ref.size, unzipped=work.unzipped, source=work.source
                )
                return sources.stored(item, ref.sha256, code)
            case Lookup():
                if await self._blobs.exists(item.namespace, work.sha256):
                    return sources.stored(item, work.sha256)
                return sources.missing(item, work.sha256)
            case Fetch():
                return await self._fetched(item, work)
            case Search():
                return await self._looked_up(work)
            case Outcome():
                return work

    async def _fetched(self, item: Resolvable, work: Fetch) -> Outcome:
        try:
            upload = await self._fetcher.get(work.sources)
        except Unfetched as failure:
            return sources.refused(item, failure.reason, failure.error.message or "")
        with upload:
            try:
                unzipped = await asyncio.to_thread(check_zip, upload.file())
            except LambdaError as error:
                return sources.refused(item, sources.INVALID, error.message or "")
            ref = upload.ref
            await self._blobs.put_pieces(item.namespace, ref, upload.pieces)
        code = ResolvedCode(sha256=ref.sha256, size=ref.size, unzipped=unzipped, source=work.source)
        return sources.stored(item, ref.sha256, code)

    async def _looked_up(self, work: Search) -> Outcome:
        try:
            image = await self._images.find(work.uri, work.digest, work.architecture)
        except ImageTrouble as trouble:
            return sources.not_found(trouble)
        return sources.found(image, work.source)

    async def _layers_of(self, function: Function, code: Outcome) -> list[ResolvedLayer] | Trouble:
        wanted = function.spec.layers or []
        found = await self._shelf.resolve(function.namespace, wanted, layers.known(function))
        if isinstance(found, Trouble):
            return found
        return check_size(_ref(function, code), found) or found

    async def _tell(
        self, function: Function, code: Outcome, found: list[ResolvedLayer] | Trouble
    ) -> None:
        """Write what was found: layers and image first, for the conditions are about them."""
        news: dict[str, Any] = {}
        if not isinstance(found, Trouble) and found != (function.status.layers or []):
            news["layers"] = [layer.to_json() for layer in found] or None
        if code.image is not None and code.image != function.status.image:
            news["image"] = code.image.to_json()
        if news:
            function = await self._patch(function, news)
        status: dict[str, Any] = {}
        if code.code is not None:
            status["code"] = code.code.to_json()
        facts = [code.fact, layers.fact(found)]
        same = function.status.code == code.code
        await self._write(function, function.status.conditions, facts, status, same=same)

    async def _patch(self, function: Function, members: dict[str, Any]) -> Function:
        """A patch, not an apply: the API door writes these members too."""
        body = await self._api.merge_patch(
            FUNCTION,
            function.namespace,
            function.name,
            {
                "metadata": {"resourceVersion": function.metadata.resource_version},
                "status": members,
            },
            field_manager=MANAGER_GATEWAY_CODE,
            subresource="status",
        )
        self._observe(body)
        return Function.read(body)

    # --- layers -----------------------------------------------------------------------------------

    async def resolve_layer(self, namespace: str, name: str) -> bool:
        """Do what one layer version needs now; False when it should be looked at again later."""
        try:
            layer = LayerVersion.read(await self._api.get(LAYER_VERSION, namespace, name))
        except NotFound:
            return True
        if layer.deleting or _layer_settled(layer):
            return True
        arn = self._shelf.arn(layer)
        outcome = await self._taken(layer, arn) or await self._code(layer)
        status: dict[str, Any] = {"arn": arn, "observedGeneration": layer.metadata.generation}
        if outcome.code is not None:
            status["content"] = outcome.code.to_json()
        same = layer.status.content == outcome.code and layer.status.arn == arn
        try:
            await self._write(layer, layer.status.conditions, [outcome.fact], status, same=same)
        except (Conflict, NotFound):
            return False
        return not outcome.retry

    async def _taken(self, layer: LayerVersion, arn: str) -> Outcome | None:
        """Of several objects with one ARN the oldest has it."""
        winner = await self._shelf.find(layer.namespace, arn)
        if isinstance(winner, Trouble) or winner.uid == layer.uid or layer.spec.deleted:
            return None
        return sources.name_taken(layer, arn, winner.name)

    # --- writing ----------------------------------------------------------------------------------

    async def _write(
        self,
        item: KubeObject,
        observed: Sequence[Condition],
        facts: Sequence[Fact],
        status: dict[str, Any],
        *,
        same: bool,
    ) -> None:
        """Apply our members of a status, when that changes anything (``same``: besides facts)."""
        generation = item.metadata.generation
        conditions = merge(observed, facts, generation=generation, now=self._now())
        if same and all(find(observed, each.type) == each for each in conditions):
            return
        status["conditions"] = [each.to_json() for each in conditions]
        written = await self._api.apply(
            item.DEFINITION.kind,
            item.namespace,
            item.name,
            {
                # A precondition (a uid here would be none): never write about a namesake.
                "metadata": {"name": item.name, "resourceVersion": item.metadata.resource_version},
                "status": status,
            },
            field_manager=MANAGER_GATEWAY_CODE,
            subresource="status",
        )
        self._observe(written)
        reasons = [fact.reason for fact in facts]
        _log.info("resolved", kind=item.DEFINITION.kind.kind, object=item.name, reasons=reasons)


def function_needs(body: Mapping[str, Any]) -> bool:
    """Whether there is work on a function."""
    try:
        function = Function.read(body)
    except ValidationError:
        return False
    return not (function.deleting or _function_settled(function))


def layer_needs(body: Mapping[str, Any]) -> bool:
    """Whether there is work on a layer version."""
    try:
        layer = LayerVersion.read(body)
    except ValidationError:
        return False
    return not (layer.deleting or _layer_settled(layer))


def _edition(function: Function) -> tuple[str, int]:
    """What of a function its code and layers follow from."""
    return function.uid, function.metadata.generation


def _function_settled(function: Function) -> bool:
    return sources.settled(function) and layers.settled(function)


def _layer_settled(layer: LayerVersion) -> bool:
    return layer.status.arn is not None and sources.settled(layer)


def _ref(function: Function, code: Outcome) -> CodeRef | None:
    blob = function.spec.code.blob if function.spec.code is not None else None
    stored = code.code or blob
    return None if stored is None else reference(stored)
