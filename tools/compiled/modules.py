"""Which modules are compiled.

Those that a warm invocation passes on its way to the instance and back, and whose bases are our
own: mypyc makes no machine code of subclasses of uvicorn's. What only takes note of a run that is
over (scaling's) would add half to the time of compiling for 2 % of a request. What the list holds
is compiled as one, so that calls among them are calls of C; everything else they see untyped, so
that nothing outside the list goes into the result but the compiler itself.
"""

from __future__ import annotations

from typing import Final

MODULES: Final = (
    "klambda_obs.tally",
    "klambda_gateway.admission.concurrency",
    "klambda_gateway.admission.elsewhere",
    "klambda_gateway.admission.unreserved",
    "klambda_gateway.api.naming",
    "klambda_gateway.auth.accounts",
    "klambda_gateway.auth.authorizer",
    "klambda_gateway.auth.canonical",
    "klambda_gateway.auth.claim",
    "klambda_gateway.auth.gate",
    "klambda_gateway.auth.keys",
    "klambda_gateway.auth.rbac",
    "klambda_gateway.auth.sigv4",
    "klambda_gateway.auth.verdicts",
    "klambda_gateway.bulk",
    "klambda_gateway.ids",
    "klambda_gateway.instances.abroad",
    "klambda_gateway.instances.attempt",
    "klambda_gateway.instances.call",
    "klambda_gateway.instances.frames",
    "klambda_gateway.instances.link",
    "klambda_gateway.instances.pods",
    "klambda_gateway.instances.pool",
    "klambda_gateway.instances.record",
    "klambda_gateway.instances.registry",
    "klambda_gateway.instances.server",
    "klambda_gateway.instances.streamed",
    "klambda_gateway.instances.streaming",
    "klambda_gateway.invoke.flight",
    "klambda_gateway.invoke.header",
    "klambda_gateway.invoke.metrics",
    "klambda_gateway.invoke.model",
    "klambda_gateway.invoke.outcome",
    "klambda_gateway.invoke.payload",
    "klambda_gateway.invoke.search",
    "klambda_gateway.invoke.service",
    "klambda_gateway.invoke.story",
    "klambda_gateway.routing.finder",
    "klambda_gateway.routing.resolve",
    "klambda_gateway.routing.table",
    "klambda_gateway.routing.target",
    "klambda_gateway.urls.door",
    "klambda_gateway.wire.incoming",
    "klambda_gateway.wire.lane",
    "klambda_gateway.wire.lanes",
    "klambda_gateway.wire.plain",
)

COMPILER: Final = tuple(
    f"tools/compiled/{name}.py" for name in ("__init__", "__main__", "build", "modules")
)
"""What compiles them: this package."""
FOLDERS: Final = {"klambda_obs": "common", "klambda_gateway": "gateway"}
"""Where a package lies in the repository."""


def place(module: str) -> str:
    """Return a module's path in the repository."""
    return f"{FOLDERS[module.partition('.')[0]]}/{module.replace('.', '/')}.py"
