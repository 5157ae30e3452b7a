"""The ARN that a request asks for: what authorisation is about.

Place: ``dispatch`` builds it before an operation runs; RBAC, resource policies and the sentence of
a refusal speak of it. Invariants: pure; ``*`` when the request names nothing (a list, a creation
without a name). Not here: whether it exists.
"""

from __future__ import annotations

from klambda_core.arn import event_source_mapping_arn, layer_arn
from klambda_gateway.api.call import Call


def resource_of(call: Call) -> str:
    """The ARN, as far as the request names one. Raises 400, 403, 404 for a function's bad name."""
    given = call.input
    if "FunctionName" in given:
        return call.target().arn
    if "UUID" in given:
        return event_source_mapping_arn(call.region, call.account, given["UUID"])
    if "LayerName" in given:
        name: str = given["LayerName"]
        version = given.get("VersionNumber")
        if name.startswith("arn:"):
            return name if version is None else f"{name}:{version}"
        return layer_arn(call.region, call.account, name, version)
    for member in ("Resource", "ResourceArn", "CodeSigningConfigArn", "Arn"):
        if isinstance(given.get(member), str):
            return str(given[member])
    return "*"
