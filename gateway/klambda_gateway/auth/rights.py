"""Which Kubernetes right an action of Lambda's needs: the one table between IAM's words and RBAC's.

Theory. A caller may do through the API what RBAC lets the Kubernetes identity behind the caller do
to the same objects: read a Function and you may GetFunction, patch it and you may change it by
whichever of Lambda's operations. What Kubernetes has no verb for has one of ours: ``invoke``, and
``use`` of a subresource that is never served. What belongs to a function (policy, URL, concurrency,
event-invoke configuration) is a right to the function; published versions and aliases are objects
of their own, as are layers, event source mappings and code signing configurations.

What is asked for is named wherever the request names it, so that ``resourceNames`` can narrow a
role down to it: a function by its object's name (also where its versions, aliases and mappings are
meant, and where it is to be created), a layer by its name. One qualifier, or one version of a
layer, is asked for second, as ``name:qualifier``: who has the whole has the part. A role without
``resourceNames`` answers for all of them, as ever.

Place: ``rbac`` asks the API server what ``questions`` returns, until one is allowed;
``docs/security.md`` shows the table.
Invariants: pure; an action that is not in the table is nobody's right (fail closed; a test compares
the table with the model). Not here: the asking (``rbac``), resource policies (``policy``).
Sources: IAM's "Actions, resources, and condition keys for AWS Lambda" for the actions' names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from klambda_core.kinds import GROUP

PREFIX: Final = "lambda:"
USE_POD: Final = "klambda:UsePod"
"""To set or change what runs with ``spec.pod`` or ``environment.valueFrom``: those settings reach
Secrets, service accounts and nodes that the function's author could not name otherwise."""

_ARN_PARTS: Final = 6
_ACTION_OF_OPERATION: Final = {
    "Invoke": "InvokeFunction",
    "InvokeWithResponseStream": "InvokeFunction",
    "GetLayerVersionByArn": "GetLayerVersion",
}
"""Where IAM's name of the action is not the operation's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """A verb on a resource of our group."""

    verb: str
    resource: str
    """Empty: the one that the ARN names."""
    subresource: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of the API server: resource attributes of an access review."""

    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str

    def attributes(self) -> dict[str, str]:
        """As ``resourceAttributes`` spells them."""
        return {
            "group": GROUP,
            "verb": self.verb,
            "resource": self.resource,
            "subresource": self.subresource,
            "namespace": self.namespace,
            "name": self.name,
        }


def _rights(resource: str, verbs: Mapping[str, str]) -> dict[str, Right]:
    return {
        action: Right(verb=verb, resource=resource)
        for verb, actions in verbs.items()
        for action in actions.split()
    }


RIGHTS: Final[Mapping[str, Right]] = {
    **_rights(
        "functions",
        {
            "invoke": "InvokeFunction InvokeAsync",
            # What cannot exist here (api.absent) may be asked for by whoever may list functions.
            "list": "ListFunctions GetAccountSettings CreateCapacityProvider GetCapacityProvider "
            "UpdateCapacityProvider DeleteCapacityProvider ListCapacityProviders "
            "ListFunctionVersionsByCapacityProvider GetDurableExecution "
            "GetDurableExecutionHistory GetDurableExecutionState CheckpointDurableExecution "
            "StopDurableExecution PauseDurableExecution ResumeDurableExecution "
            "DeleteDurableExecution SendDurableExecutionCallbackSuccess "
            "SendDurableExecutionCallbackFailure SendDurableExecutionCallbackHeartbeat",
            "create": "CreateFunction",
            "delete": "DeleteFunction",
            "get": "GetFunction GetFunctionConfiguration GetFunctionConcurrency GetPolicy "
            "GetFunctionUrlConfig ListFunctionUrlConfigs GetFunctionEventInvokeConfig "
            "ListFunctionEventInvokeConfigs GetProvisionedConcurrencyConfig "
            "ListProvisionedConcurrencyConfigs GetFunctionCodeSigningConfig "
            "GetRuntimeManagementConfig GetFunctionRecursionConfig GetFunctionScalingConfig "
            "ListDurableExecutionsByFunction",
            "patch": "UpdateFunctionCode UpdateFunctionConfiguration AddPermission "
            "RemovePermission PutFunctionConcurrency DeleteFunctionConcurrency "
            "CreateFunctionUrlConfig UpdateFunctionUrlConfig DeleteFunctionUrlConfig "
            "PutFunctionEventInvokeConfig UpdateFunctionEventInvokeConfig "
            "DeleteFunctionEventInvokeConfig PutProvisionedConcurrencyConfig "
            "DeleteProvisionedConcurrencyConfig PutFunctionCodeSigningConfig "
            "DeleteFunctionCodeSigningConfig PutRuntimeManagementConfig "
            "PutFunctionRecursionConfig PutFunctionScalingConfig",
        },
    ),
    "InvokeFunctionUrl": Right(verb="invoke", resource="functions", subresource="url"),
    **_rights("versions", {"list": "ListVersionsByFunction", "create": "PublishVersion"}),
    **_rights(
        "aliases",
        {
            "list": "ListAliases",
            "create": "CreateAlias",
            "get": "GetAlias",
            "patch": "UpdateAlias",
            "delete": "DeleteAlias",
        },
    ),
    **_rights(
        "layerversions",
        {
            "list": "ListLayers ListLayerVersions",
            "create": "PublishLayerVersion",
            "get": "GetLayerVersion GetLayerVersionPolicy",
            "patch": "AddLayerVersionPermission RemoveLayerVersionPermission",
            "delete": "DeleteLayerVersion",
        },
    ),
    **_rights(
        "eventsourcemappings",
        {
            "list": "ListEventSourceMappings",
            "create": "CreateEventSourceMapping",
            "get": "GetEventSourceMapping",
            "patch": "UpdateEventSourceMapping",
            "delete": "DeleteEventSourceMapping",
        },
    ),
    **_rights(
        "codesigningconfigs",
        {
            "list": "ListCodeSigningConfigs",
            "create": "CreateCodeSigningConfig",
            "get": "GetCodeSigningConfig ListFunctionsByCodeSigningConfig",
            "patch": "UpdateCodeSigningConfig",
            "delete": "DeleteCodeSigningConfig",
        },
    ),
    **_rights("", {"get": "ListTags GetResourcePolicy"}),
    **_rights("", {"patch": "TagResource UntagResource PutResourcePolicy DeleteResourcePolicy"}),
}
"""By IAM's action, without its prefix."""

_USE_POD: Final = Right(verb="use", resource="functions", subresource="pod")

RESOURCES: Final[Mapping[str, str]] = {
    "function": "functions",
    "layer": "layerversions",
    "event-source-mapping": "eventsourcemappings",
    "code-signing-config": "codesigningconfigs",
}
"""What the type in an ARN stands for."""

NAMED: Final = frozenset({"function", "layer", "code-signing-config"})
"""Types whose ARN names something that people know. A mapping's UUID is not: its function does."""

NameOf = Callable[[str, str], str]
"""The name of the Function object that carries an AWS name, from namespace and that name."""


def action_of(operation: str) -> str:
    """IAM's action for an operation of the API: ``lambda:InvokeFunction``."""
    return PREFIX + _ACTION_OF_OPERATION.get(operation, operation)


def right_of(action: str) -> Right | None:
    """What an action needs; None: nobody has it."""
    if action == USE_POD:
        return _USE_POD
    return RIGHTS.get(action.removeprefix(PREFIX))


def questions(action: str, resource: str, namespace: str, name_of: NameOf) -> tuple[Question, ...]:
    """What to ask so that ``action`` on the ARN ``resource`` (or ``*``) is allowed: one yes does.

    Empty: nobody has that right.
    """
    right = right_of(action)
    if right is None:
        return ()
    kind, identifier, qualifier = _arn(resource)
    plural = right.resource or RESOURCES.get(kind, "")
    if not plural:
        return ()
    name = identifier if kind in NAMED else ""
    if kind == "function":
        name = name_of(namespace, identifier)
    names = (name, f"{name}:{qualifier}") if name and qualifier else (name,)
    return tuple(
        Question(
            verb=right.verb,
            resource=plural,
            subresource=right.subresource,
            namespace=namespace,
            name=each,
        )
        for each in names
    )


def _arn(resource: str) -> tuple[str, str, str]:
    """The type in a Lambda ARN, the name after it, and what follows that."""
    parts = resource.split(":", _ARN_PARTS + 1)
    if len(parts) <= _ARN_PARTS:
        return "", "", ""
    return parts[5], parts[6], parts[7] if len(parts) > _ARN_PARTS + 1 else ""
