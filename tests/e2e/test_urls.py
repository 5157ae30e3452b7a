"""Function URLs on the cluster, as curl sees them: no --resolve, no Host header by hand."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.exceptions
import pytest

from tests.support.cluster import CONTROL_PLANE, Cluster, wait_until

HANDLER = """
def handler(event, context):
    match event["rawPath"]:
        case "/made":
            return {"statusCode": 201, "headers": {"X-Made": "yes", "Content-Type": "text/html",
                    "WWW-Authenticate": "Bearer"}, "cookies": ["a=1", "b=2; Secure"],
                    "body": "PGI+", "isBase64Encoded": True}
        case "/text":
            return "plain"
        case "/fail":
            raise ValueError("no")
        case "/bad":
            return {"statusCode": "many"}
        case "/arn":
            return context.invoked_function_arn
    return event
"""
STREAMER = """
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
export const handler = awslambda.streamifyResponse(async (event, stream) => {
  if (event.rawPath === "/plain") stream.setContentType("text/csv");
  else stream = awslambda.HttpResponseStream.from(stream,
    {statusCode: 203, headers: {"Content-Type": "text/event-stream"}, cookies: ["s=1"]});
  stream.write("first,");
  if (event.rawPath === "/slow") await pause(1500);
  if (event.rawPath === "/cut") { await pause(300); throw new Error("half way"); }
  stream.write("last");
  stream.end();
});
"""
FORBIDDEN = (
    '{"Message":"Forbidden. For troubleshooting Function URL authorization issues, see: '
    'https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"}'
)
CORS = {"AllowOrigins": ["https://app.example"], "AllowMethods": ["PUT"], "MaxAge": 60}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: str

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


def curl(url: str, *words: str) -> Answer:
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--include", "--noproxy", "*", "--max-time", "60",
         *words, url],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    head, _, body = done.stdout.partition("\n\n")
    lines = [line.rstrip() for line in head.splitlines()]
    pairs = [line.partition(":")[::2] for line in lines[1:]]
    headers = [(name.lower(), value.strip()) for name, value in pairs]
    return Answer(status=int(lines[0].split()[1]), headers=headers, body=body)


@pytest.fixture(scope="module")
def echo(cluster: Cluster) -> Iterator[str]:
    """A function that returns its event, with version 1 and alias `live`."""
    name = f"urls-{secrets.token_hex(3)}"
    cluster.create(name, HANDLER)
    cluster.aws.publish_version(FunctionName=name)
    cluster.aws.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    yield name
    cluster.aws.delete_function(FunctionName=name)


@pytest.fixture(scope="module")
def url(cluster: Cluster, echo: str) -> str:
    """Its URL, of authType NONE, opened by the two permissions that AWS demands."""
    made = cluster.aws.create_function_url_config(FunctionName=echo, AuthType="NONE", Cors=CORS)
    address: str = made["FunctionUrl"]
    closed = curl(address)
    assert (closed.status, closed.body) == (403, FORBIDDEN)
    given = {"FunctionName": echo, "Principal": "*"}
    cluster.aws.add_permission(
        **given, StatementId="url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE"
    )
    assert curl(address).status == 403, "one of both is not enough"
    cluster.aws.add_permission(
        **given, StatementId="invoke", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True
    )
    return address


def test_the_event_is_payload_format_2(cluster: Cluster, echo: str, url: str) -> None:
    parts = urlsplit(url)
    url_id = parts.netloc.partition(".")[0]
    assert re.fullmatch(r"[a-z0-9]{32}\.lambda-url\.us-east-1\.localhost:8080", parts.netloc)
    assert cluster.aws.get_function_url_config(FunctionName=echo)["FunctionUrl"] == url

    answer = curl(
        url + "a%20b/c?x=1&x=2&y=%C3%A9",
        "-H", "Cookie: k=v; l=w", "-H", "X-Two: 1", "-H", "X-Two: 2", "-A", "test/1",
        "-H", "Content-Type: text/plain", "--data-binary", "héllo",
    )  # fmt: skip
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    event = json.loads(answer.body)
    context = event["requestContext"]
    request_id, trace = answer.header("x-amzn-requestid"), answer.header("x-amzn-trace-id")
    source = context["http"].pop("sourceIp")
    assert re.fullmatch(r"[0-9.]+|[0-9a-f:]+", source)
    assert abs(context.pop("timeEpoch") / 1000 - time.time()) < 120
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", context.pop("time"))
    assert event == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/a%20b/c",
        "rawQueryString": "x=1&x=2&y=%C3%A9",
        "cookies": ["k=v", "l=w"],
        "headers": {
            "host": parts.netloc,
            "user-agent": "test/1",
            "accept": "*/*",
            "x-two": "1,2",
            "cookie": "k=v; l=w",
            "content-type": "text/plain",
            "content-length": "6",
            "x-forwarded-for": source,
            "x-forwarded-proto": "http",
            "x-forwarded-port": "8080",
            "x-amzn-trace-id": trace,
        },
        "queryStringParameters": {"x": "1,2", "y": "é"},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": url_id,
            "domainName": parts.hostname,
            "domainPrefix": url_id,
            "http": {
                "method": "POST",
                "path": "/a b/c",
                "protocol": "HTTP/1.1",
                "userAgent": "test/1",
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
        },
        "body": "héllo",
        "isBase64Encoded": False,
    }
    form = json.loads(curl(url, "--data", "a=1").body)
    assert (form["body"], form["isBase64Encoded"]) == ("YT0x", True)
    bare = json.loads(curl(url).body)
    assert not {"body", "cookies", "queryStringParameters"} & set(bare)


def test_answers_are_mapped(url: str) -> None:
    made = curl(url + "made")
    assert (made.status, made.body) == (201, "<b>")
    assert made.header("x-made") == "yes"
    assert made.header("content-type") == "text/html"
    assert made.header("x-amzn-remapped-www-authenticate") == "Bearer"
    assert [v for k, v in made.headers if k == "set-cookie"] == ["a=1", "b=2; Secure"]
    assert curl(url + "text").body == "plain"
    for path in ("fail", "bad"):
        answer = curl(url + path)
        assert (answer.status, answer.body) == (502, "Internal Server Error")
        assert answer.header("x-amzn-requestid")


def test_urls_answer_by_path_too(cluster: Cluster, url: str) -> None:
    url_id = urlsplit(url).netloc.partition(".")[0]
    event = json.loads(curl(f"{cluster.endpoint}/_url/{url_id}/a/b?c=d").body)
    assert (event["rawPath"], event["rawQueryString"]) == ("/a/b", "c=d")
    unknown = curl(f"{cluster.endpoint}/_url/{'x' * 32}/")
    assert (unknown.status, unknown.body) == (403, '{"Message":null}')
    nobody = curl(url.replace(url_id, "nobody"))
    assert (nobody.status, nobody.body) == (403, '{"Message":null}')


def test_the_platform_answers_browsers(url: str) -> None:
    asking = ("-H", "Origin: https://app.example")
    preflight = curl(url, "-X", "OPTIONS", *asking, "-H", "Access-Control-Request-Method: PUT")
    assert (preflight.status, preflight.body) == (200, "")
    assert preflight.header("content-type") == "application/json"
    assert preflight.header("x-amzn-trace-id") is None
    assert preflight.header("access-control-allow-origin") == "https://app.example"
    assert preflight.header("access-control-allow-methods") == "PUT"
    assert preflight.header("access-control-max-age") == "60"
    made = curl(url + "made", *asking)
    assert made.header("access-control-allow-origin") == "https://app.example"
    assert made.header("vary") == "Origin"
    other = curl(url + "made", "-H", "Origin: https://evil.example")
    assert other.header("access-control-allow-origin") is None


def test_an_aliass_iam_url_takes_signed_requests_only(cluster: Cluster, echo: str) -> None:
    made = cluster.aws.create_function_url_config(
        FunctionName=echo, Qualifier="live", AuthType="AWS_IAM"
    )
    address = made["FunctionUrl"]
    assert curl(address).body == FORBIDDEN

    credentials = cluster.session.get_credentials()
    request = botocore.awsrequest.AWSRequest(method="PUT", url=address + "x?b=2&a=1", data=b"{}")
    botocore.auth.SigV4Auth(credentials, "lambda", "us-east-1").add_auth(request)
    words = [word for pair in request.headers.items() for word in ("-H", ": ".join(pair))]
    signed = curl(address + "x?b=2&a=1", "-X", "PUT", "--data", "{}", *words)
    assert signed.status == 200, signed.body
    context = json.loads(signed.body)["requestContext"]
    iam = context["authorizer"]["iam"]
    assert iam["accessKey"] == cluster.env["AWS_ACCESS_KEY_ID"]
    assert iam["userArn"].startswith(f"arn:aws:iam::{context['accountId']}:user/")
    wrong = curl(address + "other", *words)
    assert (wrong.status, wrong.header("x-amzn-errortype")) == (403, "InvalidSignatureException")
    assert json.loads(wrong.body)["message"].startswith("The request signature we calculated")

    presigned = botocore.awsrequest.AWSRequest(method="GET", url=address + "arn")
    signer = botocore.auth.SigV4QueryAuth(credentials, "lambda", "us-east-1", expires=60)
    signer.add_auth(presigned)
    assert curl(presigned.url).body.endswith(f":function:{echo}:live")


def test_throttles(cluster: Cluster, echo: str, url: str) -> None:
    cluster.aws.put_function_concurrency(FunctionName=echo, ReservedConcurrentExecutions=0)
    try:
        throttled = wait_until("a throttle", lambda: (a := curl(url)).status == 429 and a)
        assert json.loads(throttled.body)["Reason"].startswith("ReservedFunctionConcurrent")
    finally:
        cluster.aws.delete_function_concurrency(FunctionName=echo)
    wait_until("an answer", lambda: curl(url).status == 200)


@pytest.fixture
def stranger(cluster: Cluster) -> Iterator[Any]:
    """A client with a key of another account, who may invoke there."""
    namespace, key = f"urls-{secrets.token_hex(3)}", f"AKIA{secrets.token_hex(8).upper()}"
    secret = secrets.token_urlsafe(24)
    cluster.kubectl("create", "namespace", namespace)
    cluster.kubectl(
        "create", "secret", "generic", namespace, "-n", CONTROL_PLANE,
        "--type=klambda.io/access-key", f"--from-literal=accessKeyId={key}",
        f"--from-literal=secretAccessKey={secret}", f"--from-literal=namespace={namespace}",
        "--from-literal=user=bob",
    )  # fmt: skip
    cluster.kubectl(
        "create", "rolebinding", "bob", "-n", namespace, "--clusterrole=klambda-invoker",
        "--user=bob",
    )  # fmt: skip
    config = botocore.config.Config(retries={"total_max_attempts": 1})
    yield boto3.client(
        "lambda", endpoint_url=cluster.endpoint, region_name="us-east-1", config=config,
        aws_access_key_id=key, aws_secret_access_key=secret,
    )  # fmt: skip
    cluster.kubectl("delete", "secret", namespace, "-n", CONTROL_PLANE)
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def test_another_account_invokes_exactly_what_the_policy_allows(
    cluster: Cluster, echo: str, stranger: Any
) -> None:
    arn = cluster.aws.get_function(FunctionName=echo)["Configuration"]["FunctionArn"]

    def refusal(**more: Any) -> str:
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            stranger.invoke(FunctionName=arn, **more)
        return f"{caught.value.response['Error']['Code']}: {caught.value}"

    wait_until("the key is known", lambda: "UnrecognizedClient" not in refusal())
    assert "AccessDeniedException" in refusal()
    bob = re.search(r"arn:aws:iam::\d{12}:user/bob", refusal())
    assert bob is not None
    given = {"FunctionName": echo, "StatementId": "bob", "Action": "lambda:InvokeFunction"}
    cluster.aws.add_permission(**given, Principal=bob[0])
    assert stranger.invoke(FunctionName=arn)["StatusCode"] == 200
    assert "no resource-based policy" in refusal(Qualifier="live")
    cluster.aws.remove_permission(FunctionName=echo, StatementId="bob")
    assert "no resource-based policy" in refusal()


def test_yaml_alone_makes_a_public_url(cluster: Cluster, name: str) -> None:
    cluster.apply(
        {
            "apiVersion": "klambda.io/v1alpha1",
            "kind": "Function",
            "metadata": {"name": name},
            "spec": {
                "runtime": "nodejs22.x",
                "handler": "app.handler",
                "url": {"authType": "NONE", "invokeMode": "RESPONSE_STREAM"},
                "code": {"files": {"app.mjs": STREAMER}},
            },
        }
    )
    cluster.kubectl("wait", "fn", name, "--for=condition=Ready", "--timeout=60s")
    address: str = wait_until(
        "an address", lambda: (cluster.one("fn", name) or {}).get("status", {}).get("url")
    )
    assert address in cluster.kubectl("get", "fn", name, "-o", "wide")
    assert cluster.aws.get_function_url_config(FunctionName=name)["FunctionUrl"] == address
    policy = json.loads(cluster.aws.get_policy(FunctionName=name)["Policy"])
    assert len(policy["Statement"]) == 2

    answer = curl(address)
    assert (answer.status, answer.body) == (203, "first,last")
    assert answer.header("content-type") == "text/event-stream"
    assert answer.header("set-cookie") == "s=1"
    plain = curl(address + "plain")
    assert (plain.status, plain.header("content-type")) == (200, "text/csv")
    first, last = arrivals(address + "slow")
    assert last - first > 0.7, "the first piece does not wait for the last one"
    with pytest.raises(http.client.IncompleteRead):
        arrivals(address + "cut")

    # The same function behind a buffered URL: the prelude is understood there as well.
    cluster.aws.update_function_url_config(FunctionName=name, InvokeMode="BUFFERED")
    buffered = curl(address)
    assert (buffered.status, buffered.body) == (203, "first,last")
    assert buffered.header("content-length") == "10"

    cluster.kubectl(
        "patch", "fn", name, "--type=merge", "-p", '{"spec": {"url": {"public": false}}}'
    )
    wait_until("closed", lambda: curl(address).status == 403)


def arrivals(url: str) -> tuple[float, float]:
    """When the first and the last byte of an answer came."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=60)
    with closing(connection):
        connection.request("GET", parts.path, headers={"Host": parts.netloc})
        with connection.getresponse() as answer:
            assert answer.read(6) == b"first,"
            first = time.monotonic()
            answer.read()
            return first, time.monotonic()
