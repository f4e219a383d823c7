"""Small servers of the tests: programs of the standard library that a launcher starts."""

MODELS = """
import http.server, json, os, sys, time
behaviour = sys.argv[1]
delay, started = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0, time.monotonic()

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        status, body = 200, json.dumps({"object": "list", "data": [{"id": os.environ["MODEL_ID"]}]}).encode()
        if time.monotonic() - started < delay:
            status, body = 503, b'{"error": "loading"}'
        elif behaviour == "other":
            body = b'{"object": "list", "data": [{"id": "another/model"}]}'
        elif behaviour == "hostile":
            body = json.dumps({"data": [{"id": "\\ud800x\\x1b[2J\\n" + "z" * 500_000}]}).encode()
        elif behaviour == "html":
            body = b"<html>hello</html>"
        elif behaviour == "empty":
            body = b'{"object": "list", "data": []}'
        elif behaviour == "error":
            status = 500
        elif behaviour == "crash":
            sys.stderr.write("CUDA error: out of memory\\n")
            os._exit(9)
        elif behaviour == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\\r\\n")
            while True:
                self.wfile.write(b"x")
                time.sleep(0.1)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""

NOT_HTTP = """
import os, socket
server = socket.create_server((os.environ["HOST"], int(os.environ["PORT"])))
while True:
    peer, _ = server.accept()
    peer.sendall(b"220 mail.example.com ESMTP\\r\\n")
    peer.recv(1000)
    peer.close()
"""
