"""boto3 1.34 goes through a function's life; prints what it saw as JSON.

Arguments: the function's name, a zip, an ARN of a role. Endpoint and keys: the environment's.
"""

import json
import pathlib
import sys

import boto3
import botocore

name, package, role = sys.argv[1:]
client = boto3.client("lambda")
paths = []
client.meta.events.register(
    "before-send.lambda.*", lambda request, **_: paths.append(request.url.partition("?")[0])
)
code = {"ZipFile": pathlib.Path(package).read_bytes()}
client.create_function(
    FunctionName=name, Runtime="python3.13", Handler="app.handler", Role=role, Code=code
)
client.get_waiter("function_active_v2").wait(FunctionName=name)
client.update_function_configuration(FunctionName=name, Description="old")
client.get_waiter("function_updated_v2").wait(FunctionName=name)
version = client.publish_version(FunctionName=name)["Version"]
client.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
answer = client.invoke(FunctionName=name, Qualifier="live", Payload=b'{"a": 1}', LogType="Tail")
stream = client.invoke_with_response_stream(FunctionName=name, Payload=b'{"a": 2}')
events = list(stream["EventStream"])
chunks = [each["PayloadChunk"]["Payload"] for each in events if "PayloadChunk" in each]
pages = client.get_paginator("list_functions").paginate()
listed = [each["FunctionName"] for page in pages for each in page["Functions"]]
try:
    client.get_function(FunctionName=f"{name}-missing")
except client.exceptions.ResourceNotFoundException as error:
    missing = error.response["Error"]["Code"]
print(
    json.dumps(
        {
            "botocore": botocore.__version__,
            "answer": json.load(answer["Payload"]),
            "version": answer["ExecutedVersion"],
            "tail": "LogResult" in answer,
            "streamed": [
                json.loads(b"".join(chunks)),
                list(dict.fromkeys(kind for event in events for kind in event)),
            ],
            "listed": name in listed,
            "mappings": client.list_event_source_mappings(FunctionName=name)["EventSourceMappings"],
            "settings": client.get_account_settings()["AccountLimit"]["ConcurrentExecutions"],
            "tags": client.list_tags(
                Resource=client.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
            )["Tags"],
            "missing": missing,
            "slashes": sorted(
                {path.rstrip("/").rpartition("/")[2] for path in paths if path[-1] == "/"}
            ),
        }
    )
)
