"""Extensions from a layer, on the cluster: events, telemetry, the platform's lines, the end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.support.cluster import Cluster, wait_until, zip_of

EYE = """#!/usr/bin/python3
import http.client, http.server, json, os, pathlib, threading, time
api = os.environ['AWS_LAMBDA_RUNTIME_API']
me = {}
def call(method, path, body=None, headers={}):
    connection = http.client.HTTPConnection(api)
    connection.request(method, path, body and json.dumps(body), {**me, **headers})
    response = connection.getresponse()
    return json.loads(response.read()), response.headers
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        for event in json.loads(self.rfile.read(int(self.headers['Content-Length']))):
            if event['type'] == 'platform.runtimeDone':
                print('told', event['record']['requestId'], event['record']['status'], flush=True)
                done.set()
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()
    def log_message(self, *args):
        pass
done = threading.Event()
server = http.server.ThreadingHTTPServer(('0.0.0.0', 4243), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
name = pathlib.Path(__file__).name
_, headers = call('POST', '/2020-01-01/extension/register', {'events': ['INVOKE', 'SHUTDOWN']},
                  {'Lambda-Extension-Name': name})
me['Lambda-Extension-Identifier'] = headers['Lambda-Extension-Identifier']
call('PUT', '/2022-07-01/telemetry', {
    'schemaVersion': '2022-12-13', 'types': ['platform'], 'buffering': {'timeoutMs': 25},
    'destination': {'protocol': 'HTTP', 'URI': 'http://sandbox.localdomain:4243/'},
})
while True:
    event, _ = call('GET', '/2020-01-01/extension/event/next')
    what = event.get('requestId', event.get('shutdownReason'))
    print('sees', event['eventType'], what, flush=True)
    if event['eventType'] == 'SHUTDOWN':
        break
    done.wait(5)
    done.clear()
"""


def test_an_extension_from_a_layer(cluster: Cluster, name: str) -> None:
    files = {"extensions/eye": EYE}
    layer = cluster.aws.publish_layer_version(
        LayerName=name, Content={"ZipFile": zip_of(files, executable=files)}
    )
    try:
        cluster.create(
            name,
            "def handler(event, context):\n    return context.aws_request_id\n",
            Layers=[layer["LayerVersionArn"]],
        )
        for _ in range(2):
            answer = cluster.invoke_raw(name, LogType="Tail")
            request = answer["ResponseMetadata"]["RequestId"]
            assert answer["Payload"].decode() == f'"{request}"'
            lines = answer["Log"].splitlines()
            assert f"sees INVOKE {request}" in lines
            assert f"told {request} success" in lines, "while the extension still worked"
            assert lines[-1].startswith(f"REPORT RequestId: {request}")
        (pod_name,) = cluster.children(name)["pods"]
        # The kubelet tells up to a second late that it runs; until then there is no log.
        cluster.kubectl("wait", "pod", pod_name, "--for=condition=Ready", "--timeout=30s")
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(cluster.kubectl, "logs", "--follow", pod_name)
            wait_until("the log is being followed", following.running)
            cluster.kubectl("delete", "pod", pod_name, "--wait=false")
            log = following.result(60)
        assert "TELEMETRY\tName: eye\tState: Subscribed\tTypes: [Platform]" in log
        assert "EXTENSION\tName: eye\tState: Ready\tEvents: [INVOKE, SHUTDOWN]" in log
        assert "sees SHUTDOWN spindown" in log
    finally:
        cluster.aws.delete_layer_version(
            LayerName=name, VersionNumber=int(layer["LayerVersionArn"].rpartition(":")[2])
        )
