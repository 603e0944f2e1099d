import http.server, json, os, verify
seen = set()  # of yours: a table, written in the transaction of what the event brings about
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        good = verify.verify(os.environ["WEBHOOK_SECRET"], self.headers, body)
        if good and self.headers["webhook-id"] not in seen and not seen.add(self.headers["webhook-id"]):
            print(json.loads(body)["type"], flush=True)
        self.send_response(204 if good else 401), self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hook).serve_forever()
