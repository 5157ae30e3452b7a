"""The table between IAM's actions and Kubernetes' rights: complete, and as the documentation says.

Sources: IAM's "Actions, resources, and condition keys for AWS Lambda" (names of actions);
docs/security.md (the rights).
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from klambda_gateway.api.model import MODEL
from klambda_gateway.api.operations import HANDLERS
from klambda_gateway.auth.rights import RIGHTS, USE_POD, Question, action_of, questions, right_of

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:My_Fn"
LAYERS = "arn:aws:lambda:us-east-1:123456789012:layer"
MAPPING = "arn:aws:lambda:us-east-1:123456789012:event-source-mapping:0e6c-11"
SIGNING = "arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-0123456789abcdef0"

# Operation, the ARN it asks for, and what RBAC is asked.
ROWS = [
    ("Invoke", f"{FUNCTION}:live", "invoke functions/my-fn, functions/my-fn:live"),
    ("Invoke", f"{FUNCTION}:$LATEST", "invoke functions/my-fn, functions/my-fn:$LATEST"),
    ("InvokeWithResponseStream", FUNCTION, "invoke functions/my-fn"),
    ("InvokeAsync", FUNCTION, "invoke functions/my-fn"),
    ("GetFunction", f"{FUNCTION}:3", "get functions/my-fn, functions/my-fn:3"),
    ("GetPolicy", FUNCTION, "get functions/my-fn"),
    ("ListFunctions", "*", "list functions/"),
    ("GetAccountSettings", "*", "list functions/"),
    ("CreateFunction", FUNCTION, "create functions/my-fn"),
    ("UpdateFunctionCode", FUNCTION, "patch functions/my-fn"),
    ("AddPermission", FUNCTION, "patch functions/my-fn"),
    (
        "PutProvisionedConcurrencyConfig",
        f"{FUNCTION}:live",
        "patch functions/my-fn, functions/my-fn:live",
    ),
    ("DeleteFunction", FUNCTION, "delete functions/my-fn"),
    ("DeleteFunction", f"{FUNCTION}:3", "delete functions/my-fn, functions/my-fn:3"),
    ("PublishVersion", FUNCTION, "create versions/my-fn"),
    ("ListVersionsByFunction", FUNCTION, "list versions/my-fn"),
    ("CreateAlias", FUNCTION, "create aliases/my-fn"),
    ("GetAlias", FUNCTION, "get aliases/my-fn"),
    ("UpdateAlias", FUNCTION, "patch aliases/my-fn"),
    ("ListTags", FUNCTION, "get functions/my-fn"),
    ("TagResource", FUNCTION, "patch functions/my-fn"),
    ("TagResource", MAPPING, "patch eventsourcemappings/"),
    ("UntagResource", SIGNING, "patch codesigningconfigs/csc-0123456789abcdef0"),
    ("ListLayers", "*", "list layerversions/"),
    ("ListLayerVersions", f"{LAYERS}:tools", "list layerversions/tools"),
    ("PublishLayerVersion", f"{LAYERS}:tools", "create layerversions/tools"),
    ("GetLayerVersion", f"{LAYERS}:tools:3", "get layerversions/tools, layerversions/tools:3"),
    ("GetLayerVersionByArn", f"{LAYERS}:t_T:3", "get layerversions/t_T, layerversions/t_T:3"),
    ("GetLayerVersion", "*", "get layerversions/"),
    ("CreateEventSourceMapping", FUNCTION, "create eventsourcemappings/my-fn"),
    ("ListEventSourceMappings", "*", "list eventsourcemappings/"),
    ("DeleteEventSourceMapping", MAPPING, "delete eventsourcemappings/"),
    ("GetCodeSigningConfig", SIGNING, "get codesigningconfigs/csc-0123456789abcdef0"),
    ("PutFunctionCodeSigningConfig", FUNCTION, "patch functions/my-fn"),
]


def shown(asked: Sequence[Question]) -> str:
    assert {each.namespace for each in asked} == {"team-a"}
    (verb,) = {each.verb for each in asked}
    subs = [f"{each.resource}/{each.subresource}".rstrip("/") for each in asked]
    names = [f"{sub}/{each.name}" for sub, each in zip(subs, asked, strict=True)]
    return f"{verb} {', '.join(names)}"


def name_of(namespace: str, function: str) -> str:
    assert (namespace, function) == ("team-a", "My_Fn")
    return "my-fn"


@pytest.mark.parametrize(("operation", "resource", "right"), ROWS)
def test_what_an_operation_asks_for(operation: str, resource: str, right: str) -> None:
    assert shown(questions(action_of(operation), resource, "team-a", name_of)) == right


def test_what_has_no_operation() -> None:
    url = questions("lambda:InvokeFunctionUrl", FUNCTION, "team-a", name_of)
    assert shown(url) == "invoke functions/url/my-fn"
    assert shown(questions(USE_POD, FUNCTION, "team-a", name_of)) == "use functions/pod/my-fn"


def test_every_operation_that_is_carried_out_has_a_right() -> None:
    assert [name for name in HANDLERS if right_of(action_of(name)) is None] == []


def test_every_right_is_an_operations() -> None:
    actions = {action_of(name).removeprefix("lambda:") for name in MODEL.operations}
    assert set(RIGHTS) - actions == {"InvokeFunctionUrl"}


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("lambda:NoSuchThing", FUNCTION),
        ("iam:PassRole", FUNCTION),
        ("lambda:TagResource", "arn:aws:s3:::bucket"),
        ("lambda:TagResource", "*"),
    ],
)
def test_what_is_not_in_the_table_is_nobodys_right(action: str, resource: str) -> None:
    assert questions(action, resource, "team-a", name_of) == ()


def test_attributes_are_those_of_an_access_review() -> None:
    (asked,) = questions("lambda:InvokeFunction", FUNCTION, "team-a", name_of)
    assert asked.attributes() == {
        "group": "klambda.io",
        "verb": "invoke",
        "resource": "functions",
        "subresource": "",
        "namespace": "team-a",
        "name": "my-fn",
    }
