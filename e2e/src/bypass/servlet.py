# A server that reads paths as servlet containers do, and worse: it strips ";..." from every segment, decodes, takes "\"
# for "/", cuts at a null byte, resolves dots and merges slashes. Every answer says which resource it would serve.
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_to_bytes

HITS = {"admin": 0, "private": 0, "role": 0}


def resource(target):
    scheme, absolute, rest = target.partition("://")
    if absolute and scheme.isalpha():
        target = "/" + rest.partition("/")[2]
    path = target.partition("?")[0].partition("#")[0].replace("\\", "/")
    path = "/".join(segment.partition(";")[0] for segment in path.split("/"))
    path = unquote_to_bytes(path).decode("latin-1").partition("\0")[0].replace("\\", "/")
    kept = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_):
        pass

    def body(self):
        if "chunked" not in self.headers.get("transfer-encoding", "").lower():
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        while size := int(self.rfile.readline().partition(b";")[0] or b"0", 16):
            self.rfile.read(size + 2)
        while self.rfile.readline().strip():
            pass

    def answer(self):
        self.body()
        path = resource(self.requestline.split(" ")[1])
        # As WSGI and CGI have it: "_" and "-" are one.
        named = [v for k, v in self.headers.items() if k.lower().replace("_", "-") == "x-role"]
        roles = [role.strip() for value in named for role in value.split(",")]
        HITS["admin"] += path.split("/")[1] == "admin"
        HITS["private"] += path.split("/")[1] != "public"
        HITS["role"] += "admin" in roles
        seen = {"path": path, "headers": {"x-role": ",".join(roles), "x-probe": self.headers.get("x-probe")}}
        text = json.dumps(HITS if path == "/public/hits" else seen)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.send_header("x-seen", text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())


class Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


Server(("", int(sys.argv[1])), Handler).serve_forever()
