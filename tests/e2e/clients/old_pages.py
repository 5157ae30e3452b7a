"""boto3 1.34 goes through lists in pages of two; prints what it saw as JSON.

Argument: by operation, what to ask for and which member holds the items. Endpoint and keys: the
environment's.
"""

import json
import sys

import boto3
import botocore
from botocore import xform_name

client = boto3.client("lambda")
paths = []
client.meta.events.register(
    "before-send.lambda.*", lambda request, **_: paths.append(request.url.partition("?")[0])
)
pages = {}
for operation, asked in json.loads(sys.argv[1]).items():
    found = client.get_paginator(xform_name(operation)).paginate(
        **asked["given"], PaginationConfig={"PageSize": 2}
    )
    pages[operation] = [page[asked["result"]] for page in found]
print(
    json.dumps(
        {
            "botocore": botocore.__version__,
            "pages": pages,
            "slashes": sorted(
                {path.rstrip("/").rpartition("/")[2] for path in paths if path[-1] == "/"}
            ),
        },
        default=str,
    )
)
