"""Who may do what to an event source mapping that exists: by its function's name, too.

Theory. A mapping's UUID is no name that a role could list; whose right is not of the whole account
has it by the function (or its qualifier) that the mapping is for, as AWS has the condition key
``lambda:FunctionArn`` for it. That is known only when the mapping has been read, so it is asked
second, and a mapping that is not there is refused in the same words as one of another function:
nobody learns which UUIDs exist. An update that gives the mapping to another function needs the
right to that one as well.
Place: ``dispatch`` asks here in the place of RBAC alone. Not here: the table (``auth.rights``).
"""

from __future__ import annotations

from klambda_core import errors
from klambda_core.arn import event_source_mapping_arn, function_arn
from klambda_core.crd import EventSourceMapping
from klambda_core.errors import LambdaError
from klambda_gateway.api.call import Call, Services
from klambda_gateway.auth.rights import action_of

_OF_TAGS = {
    "ListTags": "GetEventSourceMapping",
    "TagResource": "UpdateEventSourceMapping",
    "UntagResource": "UpdateEventSourceMapping",
}
"""What asks for the same verb where the ARN is a function's."""


def mapping_asked(call: Call) -> str | None:
    """The UUID of the mapping of this account that a request is about."""
    if "UUID" in call.input:
        return str(call.input["UUID"])
    resource = call.input.get("Resource")
    if not isinstance(resource, str):
        return None
    uuid = resource.rpartition(":")[2]
    ours = event_source_mapping_arn(call.region, call.account, uuid)
    return uuid if resource == ours else None


async def check(services: Services, call: Call, uuid: str) -> None:
    """Return when the caller may. Raises 403, 503; 400 for a function's bad name."""
    operation = call.operation.name
    arn = event_source_mapping_arn(call.region, call.account, uuid)
    try:
        await services.authorizer.check(call.caller, action_of(operation), arn)
    except LambdaError as error:
        denied = error.error is errors.ACCESS_DENIED
        if not denied or not await _by_function(services, call, uuid):
            raise
    if "FunctionName" in call.input:
        await services.authorizer.check(call.caller, action_of(operation), call.target().arn)


async def _by_function(services: Services, call: Call, uuid: str) -> bool:
    """Whether the mapping is there and its function's name gives the right."""
    items = await services.objects.items(EventSourceMapping, call.namespace)
    spec = next((each.spec for each in items if each.uid == uuid), None)
    if spec is None:
        return False
    operation = call.operation.name
    action = action_of(_OF_TAGS.get(operation, operation))
    arn = function_arn(call.region, call.account, spec.function_name, spec.qualifier)
    try:
        await services.authorizer.check(call.caller, action, arn)
    except LambdaError as error:
        if error.error is not errors.ACCESS_DENIED:
            raise
        return False
    return True
