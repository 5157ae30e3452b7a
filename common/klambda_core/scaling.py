"""How instances come and go: `spec.scaling` over its namespace's values over the chart's. Pure.

Names are those of `spec.scaling` in documents and short words inside. A namespace is an account:
`concurrentExecutions` is Lambda's quota of that name and no function's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from klambda_core.limits import BURST_LIMIT, CONCURRENT_EXECUTIONS

_MEMBERS: Final = {
    "idleSeconds": ("idle_seconds", 1, 86_400),
    "minReplicas": ("minimum", 0, 1000),
    "maxReplicas": ("maximum", 1, 10_000),
    "burstLimit": ("burst", 1, 10_000),
    "concurrentExecutions": ("account", 1, 100_000),
}
"""In documents → here, with what it may be."""
_OWN: Final = _MEMBERS.keys() - {"concurrentExecutions"}
"""What a function may say itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """What holds for a function, or for the functions of a namespace that say nothing."""

    idle_seconds: float = 60.0
    minimum: int = 0
    """Instances of `$LATEST` that are kept though idle."""
    maximum: int | None = None
    """Invocations of the function at once."""
    burst: int = BURST_LIMIT
    """Starts within ten seconds."""
    account: int = CONCURRENT_EXECUTIONS
    """Invocations of the namespace at once."""

    def under(self, document: Mapping[str, Any]) -> "Scaling":
        """These values, where a function's own `spec.scaling` says no others."""
        own = {
            _MEMBERS[name][0]: value
            for name, value in document.items()
            if name in _OWN and value is not None
        }
        return replace(self, **own) if own else self


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingDefaults:
    """The chart's values."""

    general: Scaling = field(default_factory=Scaling)
    namespaces: Mapping[str, Scaling] = field(default_factory=dict)

    def of(self, namespace: str) -> Scaling:
        """What holds in a namespace."""
        return self.namespaces.get(namespace, self.general)


def read_defaults(document: Mapping[str, Any], *, idle_seconds: float = 60.0) -> ScalingDefaults:
    """Read the chart's `scaling`. Raises ValueError, TypeError that name the member."""
    general = _over(Scaling(idle_seconds=idle_seconds), document, "")
    named = document.get("namespaces", {})
    if not isinstance(named, Mapping):
        raise TypeError("namespaces must map names to values")
    found = {}
    for name, own in named.items():
        if not isinstance(own, Mapping):
            raise TypeError(f"namespaces.{name} must be an object")
        found[name] = _over(general, own, f"namespaces.{name}.")
    return ScalingDefaults(general=general, namespaces=found)


def _over(basis: Scaling, document: Mapping[str, Any], where: str) -> Scaling:
    given = {}
    for name, value in document.items():
        if name == "namespaces" and not where:
            continue
        if name not in _MEMBERS:
            raise ValueError(f"{where}{name} is unknown")
        member, least, most = _MEMBERS[name]
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"{where}{name}={value!r} is not a number from {least} to {most}")
        given[member] = value
    found = replace(basis, **given)
    if found.maximum is not None and found.minimum > found.maximum:
        raise ValueError(f"{where}minReplicas cannot be above maxReplicas")
    return found
