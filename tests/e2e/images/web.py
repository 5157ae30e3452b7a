"""A plain web server that knows nothing of Lambda."""

import http.server
import json
from typing import Any


class Page(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps({"path": self.path, "body": json.loads(body)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Page).serve_forever()
