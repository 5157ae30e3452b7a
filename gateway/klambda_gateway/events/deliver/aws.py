"""SQS and SNS: a message each, in their own protocols (SQS: JSON 1.0, SNS: Query).

The trace goes along, and with it the lineage that stops loops: to a queue as the message's system
attribute AWSTraceHeader, to a topic in the header X-Amzn-Trace-Id (X-Ray developer guide, "Amazon
SQS and AWS X-Ray", "Amazon SNS and AWS X-Ray"); not when it is none that they would take.

Place: ``post`` asks it with a target that it has read. Invariants: one request per message (SQS:
and one for a queue's URL, which is remembered); every answer but a success is DeliveryFailed with
the service's own words. Endpoints and the access key are the installation's (the chart's values).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp

from klambda_core.signer import Credentials
from klambda_gateway.events.deliver.port import DeliveryFailed
from klambda_gateway.events.deliver.signing import signed_headers
from klambda_gateway.events.deliver.targets import Target

ANSWER_S: Final = 10.0
SNS_VERSION: Final = "2010-03-31"
URLS_KEPT: Final = 1000
EXCERPT: Final = 300
_TRACE: Final = re.compile("Root=1-[0-9a-f]{8}-[0-9a-f]{24}(;|$)")

Attributes = Mapping[str, tuple[str, str]]
"""Name → (type, value)."""


class AwsMessages:
    """Sends messages. Use in one event loop."""

    def __init__(
        self,
        session: Callable[[], aiohttp.ClientSession],
        *,
        endpoints: Mapping[str, str],
        keys: Credentials | None,
        now: Callable[[], datetime],
    ) -> None:
        """``endpoints``: of ``sqs`` and ``sns``; what has none cannot be told."""
        self._session = session
        self._endpoints = endpoints
        self._keys = keys
        self._now = now
        self._urls: dict[str, str] = {}

    async def send(
        self, target: Target, body: bytes, attributes: Attributes, trace: str | None = None
    ) -> None:
        """Send one message. Raises DeliveryFailed."""
        text = body.decode()
        if target.kind == "sqs":
            await self._to_queue(target, text, attributes, trace)
        else:
            await self._to_topic(target, text, attributes, trace)

    async def _to_queue(
        self, target: Target, text: str, attributes: Attributes, trace: str | None
    ) -> None:
        url = self._urls.get(target.text)
        if url is None:
            members = {"QueueName": target.resource, "QueueOwnerAWSAccountId": target.account}
            url = str((await self._sqs(target, "GetQueueUrl", members))["QueueUrl"])
            if len(self._urls) >= URLS_KEPT:
                self._urls.clear()
            self._urls[target.text] = url
        message: dict[str, Any] = {"QueueUrl": url, "MessageBody": text}
        if attributes:
            message["MessageAttributes"] = {
                name: {"DataType": kind, "StringValue": value}
                for name, (kind, value) in attributes.items()
            }
        if trace and _TRACE.match(trace):
            header = {"DataType": "String", "StringValue": trace}
            message["MessageSystemAttributes"] = {"AWSTraceHeader": header}
        try:
            await self._sqs(target, "SendMessage", message)
        except DeliveryFailed:
            self._urls.pop(target.text, None)
            raise

    async def _sqs(self, target: Target, action: str, members: Mapping[str, Any]) -> Any:
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"AmazonSQS.{action}",
        }
        answer = await self._post(target, json.dumps(members).encode(), headers)
        try:
            return json.loads(answer)
        except ValueError as error:
            raise DeliveryFailed(f"{action}: the answer is not JSON") from error

    async def _to_topic(
        self, target: Target, text: str, attributes: Attributes, trace: str | None
    ) -> None:
        form = {
            "Action": "Publish",
            "Version": SNS_VERSION,
            "TopicArn": target.text,
            "Message": text,
        }
        for number, (name, (kind, value)) in enumerate(attributes.items(), 1):
            entry = f"MessageAttributes.entry.{number}"
            form[f"{entry}.Name"] = name
            form[f"{entry}.Value.DataType"] = kind
            form[f"{entry}.Value.StringValue"] = value
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        traced = {"X-Amzn-Trace-Id": trace} if trace and _TRACE.match(trace) else {}
        await self._post(target, urlencode(form).encode(), headers, traced)

    async def _post(
        self,
        target: Target,
        body: bytes,
        headers: Mapping[str, str],
        unsigned: Mapping[str, str] = MappingProxyType({}),
    ) -> bytes:
        """``unsigned``: headers that what stands between may change, as SDKs treat the trace."""
        endpoint = self._endpoints.get(target.kind)
        if not endpoint or self._keys is None:
            raise DeliveryFailed(f"no endpoint and access key for {target.kind} are configured")
        url = endpoint.rstrip("/") + "/"
        signed = signed_headers(
            url,
            body,
            headers,
            keys=self._keys,
            region=target.region,
            service=target.kind,
            now=self._now(),
        )
        limit = aiohttp.ClientTimeout(total=ANSWER_S)
        try:
            async with self._session().post(
                url,
                data=body,
                headers={**signed, **unsigned},
                timeout=limit,
                allow_redirects=False,
            ) as answer:
                data = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DeliveryFailed(f"{type(error).__name__} {error}") from error
        if answer.status != HTTPStatus.OK:
            excerpt = data[:EXCERPT].decode("utf-8", "replace")
            raise DeliveryFailed(f"{target.kind} answered {answer.status}: {excerpt}")
        return data
