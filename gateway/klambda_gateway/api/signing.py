"""Code signing of functions, as far as it is read: there are no code signing configs yet.

Place: an operation of ``dispatch``'s table, called by Terraform-like tools at every refresh.
"""

from __future__ import annotations

from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.lookup import function_of


async def get_function_code_signing_config(services: Services, call: Call) -> Reply:
    """GetFunctionCodeSigningConfig: ``{}`` when the function has none (aws-contract h)."""
    function = await function_of(services, call, call.target())
    arn = function.spec.code_signing_config
    if arn is None:
        return Reply(document={})
    return Reply(document={"CodeSigningConfigArn": arn, "FunctionName": function.aws_name})
