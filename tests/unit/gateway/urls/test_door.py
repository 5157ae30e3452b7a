"""The whole story of a URL request, over ASGI (aws-contract d)."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from klambda_core import errors, limits
from klambda_core.errors import LambdaError
from klambda_gateway.auth.chunked import CRC64NVME
from klambda_gateway.auth.claim import Signable
from klambda_gateway.wire.room import DISCARDED_MAX, HELD_MAX
from tests.support.chunks import signed_chunks
from tests.unit.gateway.urls.rig import IAM, KEYS, NONE, PLACE, World, host_of, signed

FORBIDDEN = (  # S: since October 2025
    b'{"Message":"Forbidden. For troubleshooting Function URL authorization issues, see: '
    b'https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"}'
)
CORS = {"allowOrigins": ["https://a.example"], "allowMethods": ["PUT"]}


@pytest.fixture
async def world() -> World:
    return World()


# --- routing ------------------------------------------------------------------------------------


async def test_hosts_of_urls_are_served_and_all_others_passed_on(world: World) -> None:
    url = world.function(url=NONE)
    suffix = PLACE.suffix
    for host in (f"{url}{suffix}", f"{url}{suffix}:8080", f"{url}{suffix}:1".upper()):
        assert (await world.get(host, "/a")).status == 200
    assert world.passed_on == []
    others = (
        "127.0.0.1:8080",
        "localhost",
        "",
        suffix[1:],
        f"{url}.lambda-url.eu-west-1.localhost",
        f"{url}{suffix}.evil.com",
    )
    for host in others:
        assert (await world.get(host, "/2015-03-31/functions")).status == 299, host
    assert len(world.passed_on) == len(others)


async def test_urls_answer_by_path_where_their_names_do_not_resolve(world: World) -> None:
    url = world.function(url=NONE)
    for path, seen in ((f"/_url/{url}/a%20b/c", "/a%20b/c"), (f"/_url/{url}", "/"),
                       (f"/_url/{url}//x", "//x")):  # fmt: skip
        world.invoker.requests.clear()
        assert (await world.get("127.0.0.1:8080", path)).status == 200
        assert world.invoker.event["rawPath"] == seen
        assert world.invoker.event["requestContext"]["domainName"] == PLACE.host(url)
        assert world.invoker.event["headers"]["host"] == "127.0.0.1:8080"
    # By Host the path is the function's, whatever it looks like.
    world.invoker.requests.clear()
    await world.get(host_of(url), "/_url/x/y")
    assert world.invoker.event["rawPath"] == "/_url/x/y"


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (f"nobody{PLACE.suffix}", "/"),
        (f"a.b{PLACE.suffix}", "/"),
        ("127.0.0.1", "/_url/nobody/"),
        ("127.0.0.1", "/_url/"),
    ],
)
async def test_unknown_ids_are_403_with_a_null_message(world: World, host: str, path: str) -> None:
    got = await world.get(host, path)
    assert (got.status, got.body) == (403, b'{"Message":null}')
    assert got.header("x-amzn-errortype") == "AccessDeniedException"
    assert got.header("content-type") == "application/json"
    assert got.header("x-amzn-requestid")
    assert got.header("x-amzn-trace-id") is None  # S
    assert world.counted == [403]


async def test_the_function_is_invoked_as_asked(world: World) -> None:
    url = world.function(url=NONE)
    trace = "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e"
    got = await world.get(
        host_of(url), "/a", method="POST", query="x=1", body=[b"he", b"llo"],
        headers=[("content-type", "text/plain"), ("x-amzn-trace-id", trace)],
    )  # fmt: skip
    (request,) = world.invoker.requests
    assert request.namespace == "default"
    assert (request.function_name, request.qualifier) == ("area", None)
    assert request.invoked_arn == "arn:aws:lambda:us-east-1:111111111111:function:area"
    assert request.request_id == got.header("x-amzn-requestid")
    assert request.is_json
    assert request.trace_id == got.header("x-amzn-trace-id") == trace
    event = world.invoker.event
    assert event["body"] == "hello"
    assert event["requestContext"]["http"]["sourceIp"] == "1.2.3.4"
    assert event["requestContext"]["requestId"] == request.request_id
    assert event["headers"]["x-forwarded-port"] == "8080"
    assert (got.status, got.body, got.header("content-length")) == (200, b"ok", "2")


async def test_an_alias_has_a_url_of_its_own(world: World) -> None:
    world.function()
    url = world.alias(url=NONE)
    assert (await world.get(host_of(url))).status == 200
    (request,) = world.invoker.requests
    assert request.qualifier == "live"
    assert request.invoked_arn.endswith(":function:area:live")


# --- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_have_none(world: World, status: int) -> None:
    world.invoker.returns = {"statusCode": status, "body": "x"}
    got = await world.get(host_of(world.function(url=NONE)))
    assert (got.status, got.body, got.header("content-length")) == (status, b"", None)


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (errors.throttled(errors.REASON_ACCOUNT, retry_after=1), 429, None),
        (errors.unavailable("ImagePullBackOff: secret"), 503, b'{"Message":"Service Unavailable"}'),
        (errors.wrong_state("Pending"), 502, b"Internal Server Error"),
        (errors.function_not_found("arn"), 502, b"Internal Server Error"),
        (errors.service("lost"), 502, b"Internal Server Error"),
        (RuntimeError("bug"), 502, b"Internal Server Error"),
    ],
)
async def test_what_could_not_run(
    world: World, error: Exception, status: int, body: bytes | None
) -> None:
    world.invoker.error = error
    got = await world.get(host_of(world.function(url=NONE)))
    assert got.status == status
    if body is None:
        assert isinstance(error, LambdaError)
        body = error.body()
        assert json.loads(body)["Reason"] == "ConcurrentInvocationLimitExceeded"
    assert got.body == body
    assert got.header("x-amzn-requestid")


async def test_a_failed_function_and_a_malformed_answer_are_502(world: World) -> None:
    url = world.function(url=NONE)
    world.invoker.returns = b"<html>"
    malformed = await world.get(host_of(url))
    world.invoker.returns = {"errorMessage": "secret"}
    world.invoker.function_error = "Unhandled"
    failed = await world.get(host_of(url))
    for got in (malformed, failed):
        assert (got.status, got.body) == (502, b"Internal Server Error")
        assert str(got.header("x-amzn-trace-id")).startswith("Root=1-")


async def test_six_megabytes_are_the_limit_for_body_and_event(world: World) -> None:
    url = world.function(url=NONE)
    text = [("content-type", "text/plain")]
    half = limits.PAYLOAD_SYNC_MAX // 2
    ok = await world.get(host_of(url), method="POST", headers=text, body=[b"x" * half])
    assert ok.status == 200
    # Fits as a body, but not as the base64 in an event.
    got = await world.get(host_of(url), method="POST", body=[b"x" * half] * 2)
    assert got.status == 413
    assert json.loads(got.body) == {  # S
        "Message": "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    }
    assert got.header("x-amzn-errortype") == "RequestEntityTooLargeException"
    over = await world.get(
        host_of(url), method="POST", headers=text, body=[b"x" * half] * 2 + [b"y"]
    )
    assert over.status == 413
    endless = (b"x" * half for _ in range(DISCARDED_MAX // half + 9))
    assert (await world.get(host_of(url), method="POST", body=endless)).status == 413
    assert len(world.invoker.requests) == 1


async def test_all_bodies_together_have_a_limit_and_give_their_room_back(world: World) -> None:
    url, six = world.function(url=NONE), [b"x" * (3 << 20)] * 2
    text = [("content-type", "text/plain")]
    world.room.free = (6 << 20) - 1
    crowded = await world.get(host_of(url), method="POST", headers=text, body=six)
    assert (crowded.status, crowded.body) == (503, b'{"Message":"Service Unavailable"}')
    assert world.room.free == (6 << 20) - 1
    assert (await world.get(host_of(url), method="POST", body=six[:1])).status == 200
    assert (await world.get(host_of(url), method="POST", body=[*six, b"x"])).status == 413
    world.invoker.error = RuntimeError("bug")
    assert (await world.get(host_of(url), method="POST", body=six[:1])).status == 502
    assert world.room.free == (6 << 20) - 1
    assert HELD_MAX == 64 << 20


async def test_a_client_who_hangs_up_before_the_body_is_whole(world: World) -> None:
    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    host = host_of(world.function(url=NONE)).encode()
    scope = {"type": "http", "raw_path": b"/", "headers": [(b"host", host)]}
    await world.front(scope, receive, world.unheard)
    assert world.invoker.requests == []
    nameless = {"type": "http", "raw_path": b"/", "headers": [], "path": "/x"}
    await world.front(nameless, receive, world.unheard)
    assert world.passed_on == ["/x"]


async def test_a_client_who_hangs_up_is_not_waited_for(world: World) -> None:
    url = world.function(url=NONE)
    world.invoker.hold = True
    got = await world.get(host_of(url), gone=world.invoker.started.wait)
    assert got.status == 0
    assert world.invoker.cancelled


# --- who may come in ----------------------------------------------------------------------------


async def test_none_needs_the_public_statements(world: World) -> None:
    closed = world.function(url=NONE | {"public": False})
    got = await world.get(host_of(closed))
    assert (got.status, got.body) == (403, FORBIDDEN)
    assert (await world.get(host_of(closed), headers=signed(host_of(closed)))).status == 403
    assert world.invoker.requests == []


async def test_iam_takes_signed_requests_of_the_own_account(world: World) -> None:
    host = host_of(world.function(url=IAM))
    headers = signed(host, "/a%20b", method="PUT", body=b"{}", query="b=2&a=1")
    got = await world.get(
        host, "/a%20b", method="PUT", body=[b"{}"], query="b=2&a=1", headers=headers
    )
    assert got.status == 200
    context = world.invoker.event["requestContext"]
    assert context["accountId"] == "111111111111"
    assert context["authorizer"]["iam"]["userArn"] == "arn:aws:iam::111111111111:user/ann"
    assert context["authorizer"]["iam"]["accessKey"] == "AKIAOWN"


async def test_iam_takes_presigned_requests_also_by_path(world: World) -> None:
    url = world.function(url=IAM)
    for host, path in ((host_of(url), "/x"), ("127.0.0.1:8080", f"/_url/{url}/x")):
        request = botocore.awsrequest.AWSRequest(method="GET", url=f"http://{host}{path}?a=1")
        credentials = botocore.credentials.Credentials("AKIAOWN", "s1")
        botocore.auth.SigV4QueryAuth(credentials, "lambda", PLACE.region, expires=60).add_auth(
            request
        )
        query = request.url.partition("?")[2]
        assert (await world.get(host, path, query=query)).status == 200
        assert (await world.get(host, path, query=query + "&b=2")).status == 403


INVALID = "InvalidSignatureException"
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (lambda host: signed(host, secret="wrong"), INVALID, MISMATCH),
        (lambda host: signed(host, "/other"), INVALID, MISMATCH),
        (lambda _: signed("evil.example"), INVALID, MISMATCH),
        (
            lambda host: signed(host, service="execute-api"),
            INVALID,
            "Credential should be scoped to correct service: 'lambda'. ",
        ),
        (
            lambda host: [(k, v.replace("AKIAOWN", "AKIANOBODY")) for k, v in signed(host)],
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        (lambda host: signed(host, payload="UNSIGNED-PAYLOAD"), INVALID, MISMATCH),
        (
            lambda host: signed(host, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            INVALID,
            MISMATCH,
        ),
        (lambda host: signed(host, payload="0" * 64), INVALID, MISMATCH),
        (
            lambda _: [("authorization", "Bearer x"), ("x-amz-date", "20261127T000000Z")],
            "IncompleteSignatureException",
            (
                "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with "
                "SHA-256 and encoded with Base64): 'uTem/WB082UJMN2ajD6lH6UChGpTAddMJSx2iu923No='."
            ),
        ),
    ],
)
async def test_a_wrong_signature_is_told_as_the_api_does(
    world: World, bad: Callable[[str], list[tuple[str, str]]], error: str, message: str
) -> None:
    """S: published answers of URLs with AWS_IAM, 2025 and 2026."""
    host = host_of(world.function(url=IAM))
    got = await world.get(host, headers=bad(host))
    assert got.status == 403
    assert json.loads(got.body) == {"message": message}
    assert got.header("x-amzn-errortype") == error
    assert got.header("content-type") == "application/json"
    assert got.header("x-amzn-requestid")
    assert got.header("x-amzn-trace-id") is None
    assert world.invoker.requests == []


async def test_iam_refuses_who_does_not_sign_and_who_may_not(world: World) -> None:
    host = host_of(world.function(url=IAM))
    world.rights = False
    for headers in ([], signed(host)):
        got = await world.get(host, headers=headers)
        assert (got.status, got.body) == (403, FORBIDDEN)
        assert got.header("x-amzn-errortype") == "AccessDeniedException"
        assert got.header("x-amzn-trace-id") is None
    assert world.invoker.requests == []


def chunked(host: str, encoding: str, trailer: str) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body of a PUT of ``hello``, signed in chunks."""
    given = {
        "X-Amz-Content-SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "Content-Encoding": encoding,
        "Content-Type": "text/plain",
    }
    headers = signed(host, method="PUT", more=given)
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    request = Signable("PUT", b"/", b"", raw)
    wire = signed_chunks(request, KEYS["AKIAOWN"].secret, b"hello", trailer=trailer)
    return [*headers, ("content-length", str(len(wire)))], wire


async def test_an_aws_chunked_body_arrives_as_it_was_meant(world: World) -> None:
    host = host_of(world.function(url=IAM))
    crc = b64encode(CRC64NVME.calc(b"hello").to_bytes(8, "big")).decode()
    sent, wire = chunked(host, "aws-chunked,gzip", f"x-amz-checksum-crc64nvme:{crc}")
    assert (await world.get(host, method="PUT", body=[wire], headers=sent)).status == 200
    event = world.invoker.event
    assert event["body"] == "hello"
    assert event["headers"]["content-length"] == "5"
    assert event["headers"]["content-encoding"] == "gzip"
    altered = [wire.replace(b"hello", b"hallo")]
    got = await world.get(host, method="PUT", body=altered, headers=sent)
    assert (got.status, got.header("x-amzn-errortype")) == (403, INVALID)
    sent, wire = chunked(host, "aws-chunked", "x-amz-checksum-crc64nvme:AAAAAAAAAAA=")
    got = await world.get(host, method="PUT", body=[wire], headers=sent)
    assert (got.status, got.header("x-amzn-errortype")) == (400, "SerializationException")
    sent, wire = chunked(host, "aws-chunked", f"x-amz-checksum-crc64nvme:{crc}")
    world.invoker.requests.clear()
    await world.get(host, method="PUT", body=[wire], headers=sent)
    assert "content-encoding" not in world.invoker.event["headers"]


async def test_other_accounts_need_both_statements(world: World) -> None:
    grants = [
        {"sid": "a", "action": "lambda:InvokeFunctionUrl", "principal": "222222222222",
         "functionUrlAuthType": "AWS_IAM"},
        {"sid": "b", "action": "lambda:InvokeFunction", "principal": "222222222222",
         "invokedViaFunctionUrl": True},
    ]  # fmt: skip
    for policy, status in (([], 403), (grants[:1], 403), (grants[1:], 403), (grants, 200)):
        host = host_of(world.function(url=IAM, policy=policy))
        got = await world.get(host, headers=signed(host, key="AKIAOTHER"))
        assert got.status == status, policy
    assert world.invoker.event["requestContext"]["accountId"] == "222222222222"


async def test_at_home_rbac_or_a_statement_for_just_the_caller_lets_in(world: World) -> None:
    world.rights = False
    ann = "arn:aws:iam::111111111111:user/ann"
    for principal, status in ((ann, 200), ("*", 200), ("111111111111", 403), (ann + "e", 403)):
        policy = [
            {"sid": "a", "action": "lambda:InvokeFunctionUrl", "principal": principal},
            {"sid": "b", "action": "lambda:InvokeFunction", "principal": principal},
        ]
        host = host_of(world.function(url=IAM, policy=policy))
        assert (await world.get(host, headers=signed(host))).status == status, principal
        # Abroad the right to invoke is needed too.
        other = await world.get(host, headers=signed(host, key="AKIAOTHER"))
        assert other.status == 403


async def test_when_nobody_can_tell_nobody_comes_in(world: World) -> None:
    world.unsure = True
    host = host_of(world.function(url=IAM))
    assert (await world.get(host, headers=signed(host))).status == 503


async def test_large_bodies_are_hashed_aside(world: World) -> None:
    host, body = host_of(world.function(url=IAM)), b"x" * (2 << 20)
    headers = [*signed(host, method="POST", body=body), ("content-type", "text/plain")]
    assert (await world.get(host, method="POST", body=[body], headers=headers)).status == 200


# --- CORS ---------------------------------------------------------------------------------------


async def test_preflights_are_answered_without_the_function_and_without_a_signature(
    world: World,
) -> None:
    host = host_of(world.function(url=IAM | {"cors": CORS}))
    asking = [("origin", "https://a.example"), ("access-control-request-method", "PUT")]
    got = await world.get(host, method="OPTIONS", headers=asking)
    assert (got.status, got.body) == (200, b"")
    assert got.header("access-control-allow-origin") == "https://a.example"
    assert got.header("access-control-allow-methods") == "PUT"
    assert got.header("vary") == "Origin"
    assert got.header("content-type") == "application/json"  # S, and no trace
    assert got.header("x-amzn-trace-id") is None
    asking[1] = ("access-control-request-method", "GET")
    refused = await world.get(host, method="OPTIONS", headers=asking)
    assert (refused.status, refused.header("access-control-allow-origin")) == (200, None)
    assert world.invoker.requests == []


async def test_without_rules_the_function_answers_options(world: World) -> None:
    host = host_of(world.function(url=NONE))
    world.invoker.returns = {"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "*"}}
    asking = [("origin", "https://b.example"), ("access-control-request-method", "PUT")]
    got = await world.get(host, method="OPTIONS", headers=asking)
    assert got.header("access-control-allow-origin") == "*"
    assert got.header("vary") is None
    assert len(world.invoker.requests) == 1


async def test_answers_and_refusals_carry_the_rules_headers(world: World) -> None:
    host = host_of(world.function(url=NONE | {"cors": CORS}))
    world.invoker.returns = {"statusCode": 200}
    asking = [("origin", "https://a.example")]
    answers = [await world.get(host, headers=asking)]
    world.invoker.function_error = "Unhandled"
    answers.append(await world.get(host, headers=asking))
    assert [each.status for each in answers] == [200, 502]
    for each in answers:
        assert each.header("access-control-allow-origin") == "https://a.example"
        assert each.header("vary") == "Origin"
    other = await world.get(host, headers=[("origin", "https://b.example")])
    assert other.header("access-control-allow-origin") is None
