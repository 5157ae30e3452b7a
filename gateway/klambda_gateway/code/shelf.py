"""Layer versions where functions look for them: by ARN, in their own account and in others.

Place: the API asks when a request names layers, the leading gateway for what kubectl made. Theory.
A namespace's own objects come first, mirrors of foreign ARNs among them; an ARN of another account
leads to the namespaces that are this account, when the version's policy lets ours in, and the
content is then copied into the function's own namespace: instances fetch nothing elsewhere, and
what becomes of the original does not matter. Rules: ``klambda_core.layers``.
Invariants: what a function already has resolved is never looked up again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from klambda_core.arn import LayerTarget, parse_layer
from klambda_core.crd import LayerVersion, ResolvedLayer
from klambda_core.kinds import LAYER_VERSION
from klambda_core.layers import Trouble, allows, arn_of, check_list, denied, missing, take
from klambda_gateway.blobs import Blobs
from klambda_kube.api import Api
from klambda_kube.selecting import list_by_field


class Shelf:
    """Finds and resolves layer versions."""

    def __init__(
        self,
        api: Api,
        blobs: Blobs,
        *,
        region: str,
        account_of: Callable[[str], str],
        namespaces: Sequence[str] | None = None,
    ) -> None:
        """``namespaces``: those of the installation, None for all."""
        self._api = api
        self._blobs = blobs
        self._region = region
        self._account_of = account_of
        self._namespaces: Sequence[str | None] = namespaces or [None]

    def arn(self, layer: LayerVersion) -> str:
        """The ARN by which functions name a version."""
        account = self._account_of(layer.namespace)
        return arn_of(layer, region=self._region, account=account)

    async def resolve(
        self, namespace: str, arns: Sequence[str], known: Mapping[str, ResolvedLayer]
    ) -> list[ResolvedLayer] | Trouble:
        """The layers of a function; ``known``: what it has resolved before, by ARN."""
        if trouble := check_list(arns, self._region):
            return trouble
        resolved = []
        for arn in arns:
            found = known.get(arn) or await self._taken(namespace, arn)
            if isinstance(found, Trouble):
                return found
            resolved.append(found)
        return resolved

    async def find(self, namespace: str, arn: str) -> LayerVersion | Trouble:
        """The living version that an ARN means to an account."""
        target = parse_layer(arn)
        if not isinstance(target, LayerTarget):
            return missing(arn)
        own = await self._named(namespace, target.name, arn)
        if own:
            return own[0]
        account = self._account_of(namespace)
        if target.account in (None, account):
            return missing(arn)
        for scope in self._namespaces:
            for layer in await self._named(scope, target.name, arn):
                foreign = layer.namespace != namespace and layer.spec.arn is None
                if foreign and allows(layer.spec.policy, account):
                    return layer
        return denied(arn)

    async def _taken(self, namespace: str, arn: str) -> ResolvedLayer | Trouble:
        layer = await self.find(namespace, arn)
        if isinstance(layer, Trouble):
            return layer
        found = take(layer, arn)
        if isinstance(found, ResolvedLayer) and layer.namespace != namespace:
            await self._copy(layer.namespace, namespace, found)
        return found

    async def _copy(self, source: str, target: str, layer: ResolvedLayer) -> None:
        # Also when it is there: what was uploaded just now, no sweep takes away.
        await self._blobs.put_stream(target, self._blobs.get_stream(source, layer.sha256))

    async def _named(self, namespace: str | None, name: str, arn: str) -> list[LayerVersion]:
        """Living versions of this ARN, the oldest object first."""
        bodies = await list_by_field(self._api, LAYER_VERSION, namespace, "layerName", name)
        found = [
            layer
            for layer in map(_read, bodies)
            if layer is not None
            and not (layer.deleting or layer.spec.deleted)
            and self.arn(layer) == arn
        ]
        return sorted(found, key=lambda each: (each.metadata.creation_timestamp, each.name))


def _read(body: Mapping[str, Any]) -> LayerVersion | None:
    try:
        return LayerVersion.read(body)
    except ValidationError:
        return None
