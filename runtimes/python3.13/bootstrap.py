"""Starts AWS's runtime interface client with Lambda's search path.

The client is imported first, so that it is the image's own; what the function imports is looked
for in the function, in layers, in a PYTHONPATH of the user's, in the image.
"""

import os
import sys

from awslambdaric.__main__ import main

OWN = os.path.dirname(__file__)  # noqa: PTH120 - part of every cold start
LAYERS = (f"/opt/python/lib/python3.{sys.version_info.minor}/site-packages", "/opt/python")

others = [each for each in sys.path if each != OWN]
standard = next(n for n, each in enumerate(others) if each.endswith(".zip"))  # python313.zip
sys.path[:] = [os.environ["LAMBDA_TASK_ROOT"], *LAYERS, *others[:standard], OWN, *others[standard:]]

main(["awslambdaric", os.environ["_HANDLER"]])
