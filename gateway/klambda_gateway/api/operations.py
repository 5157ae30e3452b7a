"""Which function carries out which operation of the model.

Place: ``dispatch`` looks here after routing. An operation of the model that is missing here is
answered as not supported, by name; ``docs/api.md`` is generated from this table.
"""

from __future__ import annotations

from collections.abc import Mapping

from klambda_gateway.api import (
    aliases,
    code,
    concurrency,
    configuration,
    event_invoke,
    functions,
    invoke,
    management,
    policy,
    provisioned,
    signing,
    tags,
    urls,
    versions,
)
from klambda_gateway.api.call import Handler

HANDLERS: Mapping[str, Handler] = {
    "Invoke": invoke.invoke,
    "CreateFunction": functions.create_function,
    "GetFunction": functions.get_function,
    "GetFunctionConfiguration": functions.get_function_configuration,
    "UpdateFunctionCode": code.update_function_code,
    "UpdateFunctionConfiguration": configuration.update_function_configuration,
    "DeleteFunction": functions.delete_function,
    "ListFunctions": functions.list_functions,
    "PublishVersion": versions.publish_version,
    "ListVersionsByFunction": versions.list_versions_by_function,
    "CreateAlias": aliases.create_alias,
    "GetAlias": aliases.get_alias,
    "UpdateAlias": aliases.update_alias,
    "DeleteAlias": aliases.delete_alias,
    "ListAliases": aliases.list_aliases,
    "AddPermission": policy.add_permission,
    "RemovePermission": policy.remove_permission,
    "GetPolicy": policy.get_policy,
    "CreateFunctionUrlConfig": urls.create_function_url_config,
    "GetFunctionUrlConfig": urls.get_function_url_config,
    "UpdateFunctionUrlConfig": urls.update_function_url_config,
    "DeleteFunctionUrlConfig": urls.delete_function_url_config,
    "ListFunctionUrlConfigs": urls.list_function_url_configs,
    "ListTags": tags.list_tags,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
    "PutFunctionConcurrency": concurrency.put_function_concurrency,
    "GetFunctionConcurrency": concurrency.get_function_concurrency,
    "DeleteFunctionConcurrency": concurrency.delete_function_concurrency,
    "PutFunctionEventInvokeConfig": event_invoke.put_function_event_invoke_config,
    "UpdateFunctionEventInvokeConfig": event_invoke.update_function_event_invoke_config,
    "GetFunctionEventInvokeConfig": event_invoke.get_function_event_invoke_config,
    "DeleteFunctionEventInvokeConfig": event_invoke.delete_function_event_invoke_config,
    "ListFunctionEventInvokeConfigs": event_invoke.list_function_event_invoke_configs,
    "GetFunctionCodeSigningConfig": signing.get_function_code_signing_config,
    "PutProvisionedConcurrencyConfig": provisioned.put_provisioned_concurrency_config,
    "GetProvisionedConcurrencyConfig": provisioned.get_provisioned_concurrency_config,
    "DeleteProvisionedConcurrencyConfig": provisioned.delete_provisioned_concurrency_config,
    "ListProvisionedConcurrencyConfigs": provisioned.list_provisioned_concurrency_configs,
    "GetRuntimeManagementConfig": management.get_runtime_management_config,
    "PutRuntimeManagementConfig": management.put_runtime_management_config,
    "GetFunctionRecursionConfig": management.get_function_recursion_config,
    "PutFunctionRecursionConfig": management.put_function_recursion_config,
    "GetAccountSettings": concurrency.get_account_settings,
}
