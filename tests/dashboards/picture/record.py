"""Runs an agent, a Prometheus that scrapes it, and programs whose retriever becomes slow; asks that Prometheus what a dashboard asks.

`record.py HOPWATCH DASHBOARD OUT`: OUT is what picture.jsx draws.
"""

import http.server
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

hopwatch, dashboard, out = sys.argv[1:]
AGENT, PROMETHEUS, GATEWAY = 9480, 9490, 9481
LASTS, SLOW_FROM = 180, 110
slow = 0.03


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        if "search" in self.path:
            time.sleep(slow * random.uniform(0.8, 1.3))
            body = b'{"documents":[]}'
        else:
            time.sleep(random.uniform(0.08, 0.2))
            body = json.dumps({"object": "chat.completion", "model": "gpt-4o", "choices": []}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def serve():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"


PROGRAM = """
import sys, urllib.request
docs, model = sys.argv[1:]
for _ in range(3):
    urllib.request.urlopen(f"http://{docs}/search", timeout=1.5).read()
urllib.request.urlopen(f"http://{model}/v1/chat/completions", data=b"{}", timeout=1.5).read()
"""


def ask(query, at, since):
    filled = {"$__rate_interval": "15s", "$__range": f"{at - since}s", "$namespace": ".*", "$job": ".+", "$instance": ".+", "$run": ".+"}
    for name, value in filled.items():
        query["query"] = query["query"].replace(name, value)
    kind = "query" if query.pop("instant") else "query_range"
    query |= {"time": at} if kind == "query" else {"start": since, "end": at, "step": 2}
    answer = urllib.request.urlopen(f"http://127.0.0.1:{PROMETHEUS}/api/v1/{kind}?{urllib.parse.urlencode(query)}")
    return json.load(answer)["data"]["result"]


with tempfile.TemporaryDirectory() as folder:
    docs, model = serve(), serve()
    program = pathlib.Path(folder, "support_agent.py")
    program.write_text(PROGRAM)
    config = pathlib.Path(folder, "prometheus.yml")
    target = f"127.0.0.1:{AGENT}"
    config.write_text(f'global: {{scrape_interval: 2s}}\nscrape_configs: [{{job_name: hopwatch, static_configs: [{{targets: ["{target}"]}}]}}]\n')
    agent = subprocess.Popen([hopwatch, "agent", "--quiet", "--admin", target, "--listen", f"127.0.0.1:{GATEWAY}"])
    data = f"--storage.tsdb.path={folder}/data"
    prometheus = subprocess.Popen(
        ["prometheus", f"--config.file={config}", data, f"--web.listen-address=127.0.0.1:{PROMETHEUS}", "--log.level=error"]
    )
    try:
        time.sleep(3)
        since = int(time.time())

        def runs():
            while time.time() < since + LASTS:
                options = ["--agent", target, "--deadline", "2s", "--dep", f"retrieval/docs={docs}", "--dep", f"llm/openai={model}"]
                command = [hopwatch, "run", "--quiet", *options, "--", sys.executable, program, docs, model]
                subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(random.uniform(0.2, 0.6))

        threads = [threading.Thread(target=runs) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(SLOW_FROM)
        slow = 0.9
        for thread in threads:
            thread.join()
        time.sleep(4)
        at = int(time.time())
        board = json.loads(pathlib.Path(dashboard).read_text())
        answers = {}
        for panel in board["panels"]:
            queries = [{"query": target["expr"], "instant": target.get("instant")} for target in panel.get("targets", [])]
            answers[panel["id"]] = [ask(query, at, since) for query in queries]
        told = {"board": board, "answers": answers, "from": since * 1000, "to": at * 1000, "width": 1200, "until": 31}
        pathlib.Path(out).write_text(json.dumps(told))
    finally:
        for process in (agent, prometheus):
            process.terminate()
            process.wait()
