"""What makes an instance what it is, as two digests. Pure; stored objects keep their digests.

`configDigest` = code + configuration (Lambda's FunctionConfiguration, `pod`, variables' sources),
defaults and empty members omitted, so that a new schema default changes nothing. Tags, policy, URL,
concurrency and scaling are not in it. `revision` = configDigest + platform: a new runtime image
makes new instances without a change by the user.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from klambda_core.canonical import digest_of
from klambda_core.code import CodeRef, resolved_code, source_digest
from klambda_core.crd.base import Json
from klambda_core.crd.code import Image
from klambda_core.crd.configuration import Configuration
from klambda_core.crd.function import Function
from klambda_core.crd.pod import PodSettings
from klambda_core.crd.status import ResolvedLayer
from klambda_core.crd.version import Snapshot

CONTRACT = 1
"""Version of the pod template and of the wire contract; raising it replaces all instances."""

_MEMBERS = set(Configuration.model_fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What the installation adds to an instance: image of the runtime, contract, account."""

    image: str
    region: str
    account: str
    contract: int = CONTRACT


def config_digest(
    configuration: Configuration, *, code: Json, layers: Sequence[Json], pod: PodSettings | None
) -> str:
    """Digest of configuration, identity of the code, layers in order, and pod settings."""
    fields = configuration.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude_defaults=True, include=_MEMBERS
    )
    extra = {"code": code, "layers": list(layers), "pod": pod.to_json() if pod else {}}
    return digest_of(_pruned(fields | extra))


def function_digest(function: Function) -> str:
    """configDigest of `$LATEST` as it is wanted; unresolved code counts by its source."""
    code = resolved_code(function)
    if isinstance(code, CodeRef):
        identity: Json = {"sha256": code.sha256}
    elif isinstance(code, Image):
        identity = {"image": code.resolved}
    else:
        identity = {"source": source_digest(function.spec.code) or ""}
    resolved = {layer.arn: layer for layer in function.status.layers or []}
    layers = [
        _layer(resolved[arn]) if arn in resolved else {"arn": arn}
        for arn in function.spec.layers or []
    ]
    return config_digest(function.spec, code=identity, layers=layers, pod=function.spec.pod)


def snapshot_digest(snapshot: Snapshot) -> str:
    """configDigest of a published version: equal to that of the function it was made from."""
    identity: Json = {"sha256": snapshot.code.sha256} if snapshot.code else {"source": ""}
    if snapshot.image is not None:
        identity = {"image": snapshot.image.resolved}
    layers = [_layer(layer) for layer in snapshot.layers or []]
    return config_digest(snapshot, code=identity, layers=layers, pod=snapshot.pod)


def revision(digest: str, platform: Platform) -> str:
    """Hex digest of everything that an instance is made from."""
    return digest_of({"config": digest, "platform": asdict(platform)})


def _layer(layer: ResolvedLayer) -> Json:
    return {"arn": layer.arn, "sha256": layer.sha256}


def _pruned(value: Any) -> Any:
    """The value without empty members: absent, `{}` and `[]` mean the same."""
    if isinstance(value, dict):
        pairs = ((key, _pruned(member)) for key, member in value.items())
        return {key: member for key, member in pairs if member not in ({}, [], None)}
    if isinstance(value, list):
        return [_pruned(member) for member in value]
    return value
