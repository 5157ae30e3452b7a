"""The ARN that a request asks for: what authorisation is about.

Place: ``dispatch`` builds it before an operation runs; RBAC, resource policies and the sentence of
a refusal speak of it. Invariants: pure; ``*`` when the request names nothing (a list, a creation
without a name). Not here: whether it exists; mappings, which have no names (``mapping_rights``).
"""

from __future__ import annotations

from klambda_core.arn import Malformed, layer_arn, parse_layer
from klambda_gateway.api.call import Call


def resource_of(call: Call) -> str:
    """The ARN, as far as the request names one. Raises 400, 403, 404 for a function's bad name."""
    given = call.input
    if "FunctionName" in given:
        return call.target().arn
    if "LayerName" in given or "Arn" in given:
        return _layer(call, given.get("LayerName") or given["Arn"])
    for member in ("Resource", "ResourceArn", "CodeSigningConfigArn"):
        if isinstance(given.get(member), str):
            return str(given[member])
    return "*"


def _layer(call: Call, text: str) -> str:
    """A layer of this account. Of others: ``*``, the operation asks that layer's own policy."""
    target = parse_layer(text)
    if isinstance(target, Malformed) or target.account not in (None, call.account):
        return "*"
    version = call.input.get("VersionNumber", target.version)
    return layer_arn(call.region, call.account, target.name, version)
