"""Powertools for Python as its users have it; its parameters come from a store of this process."""

import http.server
import json
import os
import threading

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters


class Store(http.server.BaseHTTPRequestHandler):
    """The one operation of AWS Systems Manager that is asked for."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        value = {"Name": asked["Name"], "Type": "String", "Value": "7", "Version": 1}
        body = json.dumps({"Parameter": value}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["AWS_ENDPOINT_URL_SSM"] = f"http://127.0.0.1:{server.server_port}"

logger, metrics = Logger(service="area"), Metrics(namespace="Area", service="area")
tracer = Tracer(disabled=True)


@tracer.capture_lambda_handler
@logger.inject_lambda_context
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event, context):
    width = int(parameters.get_parameter("/area/width"))
    metrics.add_metric(name="Rectangles", unit=MetricUnit.Count, value=1)
    logger.info("computed")
    return event["length"] * width
