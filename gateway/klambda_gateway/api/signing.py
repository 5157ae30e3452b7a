"""Code signing configs and which functions use them. Texts: aws-contract h.

Theory. A config is an object of its own; its id is the object's name where that has the form of an
id, else derived from the name, so that YAML can name its config by a known ARN. Functions keep the
ARN. Signatures cannot be checked here (AWS Signer's are AWS's): a config that enforces them refuses
every upload, one that warns lets it pass. Place: operations of ``dispatch``'s table;
``check_signature`` belongs to CreateFunction and UpdateFunctionCode.
"""

from __future__ import annotations

import uuid

from klambda_core import arn, errors
from klambda_core.crd import CodeSigningConfig, Function
from klambda_core.crd.base import Json
from klambda_core.errors import LambdaError
from klambda_core.names import signing_config_id
from klambda_core.state import last_modified
from klambda_gateway.api import checks
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.lookup import function_of, place_of
from klambda_gateway.api.members import to_api, to_spec
from klambda_gateway.api.naming import Target
from klambda_gateway.api.objects import merge_members
from klambda_gateway.api.paging import page, with_marker

_REQUEST = "CreateCodeSigningConfigRequest"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 17


async def create_code_signing_config(services: Services, call: Call) -> Reply:
    """CreateCodeSigningConfig: 201; Warn when no policy is given."""
    checks.tags(call.input.get("Tags"))
    made = await services.objects.create(
        CodeSigningConfig,
        call.namespace,
        {"metadata": {"name": _new_id(services)}, "spec": to_spec(_REQUEST, call.input)},
    )
    return Reply(status=201, document={"CodeSigningConfig": _shown(made, call)})


async def get_code_signing_config(services: Services, call: Call) -> Reply:
    """GetCodeSigningConfig."""
    item = await _found(services, call)
    return Reply(document={"CodeSigningConfig": _shown(item, call)})


async def update_code_signing_config(services: Services, call: Call) -> Reply:
    """UpdateCodeSigningConfig: members given replace members stored."""
    item = await _found(services, call)
    changes: Json = to_spec(_REQUEST, call.input)

    def decide(current: CodeSigningConfig) -> Json:
        old = current.spec.to_json()
        return {"spec": merge_members(old, old | changes)}

    gone = _missing(call.input["CodeSigningConfigArn"])
    changed = await services.objects.change(item, decide, gone=gone, configuration=True)
    return Reply(document={"CodeSigningConfig": _shown(changed, call)})


async def delete_code_signing_config(services: Services, call: Call) -> Reply:
    """DeleteCodeSigningConfig: 204; 409 while functions use it."""
    item = await _found(services, call)
    if await _users(services, call, item):
        raise errors.conflict(
            "The code signing configuration cannot be deleted because it is in use by one or more "
            "Lambda functions."
        )
    await services.objects.delete(item)
    return Reply(status=204)


async def list_code_signing_configs(services: Services, call: Call) -> Reply:
    """ListCodeSigningConfigs."""
    items = await services.objects.items(CodeSigningConfig, call.namespace)
    items.sort(key=lambda each: each.name)
    shown, marker = page(items, call, lambda each: each.name)
    documents = [_shown(each, call) for each in shown]
    return Reply(document=with_marker({"CodeSigningConfigs": documents}, marker))


async def list_functions_by_code_signing_config(services: Services, call: Call) -> Reply:
    """ListFunctionsByCodeSigningConfig: unqualified ARNs, by name."""
    users = await _users(services, call, await _found(services, call))
    shown, marker = page(users, call, lambda each: each.aws_name)
    place = place_of(call)
    arns = [place.function_arn(each.aws_name) for each in shown]
    return Reply(document=with_marker({"FunctionArns": arns}, marker))


async def get_function_code_signing_config(services: Services, call: Call) -> Reply:
    """GetFunctionCodeSigningConfig: ``{}`` when the function has none (aws-contract h)."""
    function = await function_of(services, call, call.target())
    _check_signable(function)
    given = function.spec.code_signing_config
    if given is None:
        return Reply(document={})
    return Reply(document={"CodeSigningConfigArn": given, "FunctionName": function.aws_name})


async def put_function_code_signing_config(services: Services, call: Call) -> Reply:
    """PutFunctionCodeSigningConfig."""
    given, target = call.input["CodeSigningConfigArn"], call.target()
    await check_exists(services, call, given)
    function = await function_of(services, call, target)
    _check_signable(function)
    await _store(services, function, given, target)
    return Reply(document={"CodeSigningConfigArn": given, "FunctionName": function.aws_name})


async def delete_function_code_signing_config(services: Services, call: Call) -> Reply:
    """DeleteFunctionCodeSigningConfig: 204, also when the function has none."""
    target = call.target()
    function = await function_of(services, call, target)
    if function.spec.code_signing_config is not None:
        await _store(services, function, None, target)
    return Reply(status=204)


async def check_exists(services: Services, call: Call, given: str) -> CodeSigningConfig:
    """The config that a function shall use. Raises 404 CodeSigningConfigNotFoundException."""
    item = await config_of(services, call, given)
    if item is None:
        raise LambdaError(
            errors.CODE_SIGNING_CONFIG_NOT_FOUND,
            "The code signing configuration cannot be found. Check that the provided configuration "
            f"is not deleted: {given}.",
        )
    return item


def check_signature(item: CodeSigningConfig, function_name: str) -> None:
    """Refuse code that a config forbids; no signature can be verified here."""
    if item.spec.code_signing_policies.untrusted_artifact_on_deployment == "Enforce":
        raise errors.signature_refused(function_name)


def _check_signable(function: Function) -> None:
    """Images carry no signatures of packages (D: cloudquery/cq-provider-aws#230)."""
    if function.spec.package_type == "Image":
        raise errors.image_without_signing()


async def config_of(services: Services, call: Call, given: str) -> CodeSigningConfig | None:
    """The config of an ARN."""
    prefix, _, config_id = given.rpartition(":")
    if f"{prefix}:{config_id}" != _arn(call, config_id):
        return None
    item = await services.objects.item(CodeSigningConfig, call.namespace, config_id)
    if item is not None:
        return item
    listed = await services.objects.items(CodeSigningConfig, call.namespace)
    return next((each for each in listed if signing_config_id(each.name) == config_id), None)


async def _found(services: Services, call: Call) -> CodeSigningConfig:
    given = call.input["CodeSigningConfigArn"]
    item = await config_of(services, call, given)
    if item is None:
        raise _missing(given)
    return item


async def _users(services: Services, call: Call, item: CodeSigningConfig) -> list[Function]:
    wanted = _arn(call, signing_config_id(item.name))
    functions = await services.objects.functions(call.namespace)
    return [each for each in functions if each.spec.code_signing_config == wanted]


async def _store(services: Services, function: Function, given: str | None, target: Target) -> None:
    await services.objects.change(
        function,
        lambda _: {"spec": {"codeSigningConfig": given}},
        gone=errors.function_not_found(target.arn),
    )


def _missing(given: str) -> LambdaError:
    return errors.not_found(f"The Lambda code signing configuration {given} can not be found.")


def _arn(call: Call, config_id: str) -> str:
    return arn.code_signing_config_arn(call.region, call.account, config_id)


def _new_id(services: Services) -> str:
    number, text = uuid.UUID(services.new_id()).int, ""
    for _ in range(_ID_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        text += _DIGITS[digit]
    return f"csc-{text}"


def _shown(item: CodeSigningConfig, call: Call) -> Json:
    document: Json = to_api(_REQUEST, item.spec.to_json())
    document.pop("Tags", None)
    config_id = signing_config_id(item.name)
    return document | {
        "CodeSigningConfigId": config_id,
        "CodeSigningConfigArn": _arn(call, config_id),
        "LastModified": last_modified(item),
    }
