"""Operations on what cannot exist here: capacity providers, durable executions, scaling configs.

Theory. Managed Instances and durable functions are AWS's own machinery. Nothing of the kind can be
made here, so making it is refused, reading it finds nothing, and lists are empty: each with an
error type that the model gives the operation, so that every SDK binds it. Place: operations of
``dispatch``'s table.
"""

from __future__ import annotations

from collections.abc import Mapping

from klambda_core import errors
from klambda_gateway.api.call import Call, Handler, Reply, Services
from klambda_gateway.api.lookup import find, function_of


async def missing(_services: Services, _call: Call) -> Reply:
    """There is no such resource, and there cannot be."""
    raise errors.resource_not_found()


async def unsupported(_services: Services, call: Call) -> Reply:
    """Nothing of the kind can be made or changed."""
    raise errors.unsupported(call.operation.name)


async def list_capacity_providers(_services: Services, _call: Call) -> Reply:
    """ListCapacityProviders: none."""
    return Reply(document={"CapacityProviders": []})


async def list_durable_executions_by_function(services: Services, call: Call) -> Reply:
    """ListDurableExecutionsByFunction: none, of a function that exists."""
    await find(services, call, call.target())
    return Reply(document={"DurableExecutions": []})


async def get_function_scaling_config(services: Services, call: Call) -> Reply:
    """GetFunctionScalingConfig: functions without a capacity provider have none."""
    await function_of(services, call, call.target())
    raise errors.resource_not_found()


async def put_function_scaling_config(services: Services, call: Call) -> Reply:
    """PutFunctionScalingConfig: refused."""
    await function_of(services, call, call.target())
    raise errors.unsupported(call.operation.name)


ABSENT: Mapping[str, Handler] = {
    **dict.fromkeys(
        (
            "GetCapacityProvider",
            "UpdateCapacityProvider",
            "DeleteCapacityProvider",
            "ListFunctionVersionsByCapacityProvider",
            "GetDurableExecution",
            "GetDurableExecutionHistory",
            "StopDurableExecution",
            "PauseDurableExecution",
            "ResumeDurableExecution",
            "DeleteDurableExecution",
            "SendDurableExecutionCallbackSuccess",
            "SendDurableExecutionCallbackFailure",
            "SendDurableExecutionCallbackHeartbeat",
        ),
        missing,
    ),
    # The model gives these no ResourceNotFoundException.
    **dict.fromkeys(
        (
            "CreateCapacityProvider",
            "CheckpointDurableExecution",
            "GetDurableExecutionState",
        ),
        unsupported,
    ),
    "ListCapacityProviders": list_capacity_providers,
    "ListDurableExecutionsByFunction": list_durable_executions_by_function,
    "GetFunctionScalingConfig": get_function_scaling_config,
    "PutFunctionScalingConfig": put_function_scaling_config,
}
