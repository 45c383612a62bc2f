"""A small service: calls a retriever, a model and a tool by the standard library, then one that answers when the test says so.

Goes through the forward proxy of its environment, where there is one.
"""

import argparse
import http.client
import json
import os
import time
import urllib.parse

parser = argparse.ArgumentParser()
parser.add_argument("--docs", required=True)
parser.add_argument("--model", required=True)
parser.add_argument("--tool", required=True)
parser.add_argument("--rounds", type=int, default=1)
args = parser.parse_args()

proxy = urllib.parse.urlsplit(os.environ.get("http_proxy", "")).netloc


def connect(place, timeout=60):
    connection = http.client.HTTPConnection(proxy or place, timeout=timeout)
    connection.base = f"http://{place}" if proxy else ""
    return connection


def call(connection, method, path, body=None):
    payload = None if body is None else json.dumps(body).encode()
    connection.request(method, connection.base + path, payload, {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


docs = connect(args.docs)
model = connect(args.model)

for turn in range(args.rounds):
    call(docs, "GET", f"/search?q={turn}")
    question = {"model": "gpt-test", "stream": True, "messages": [{"role": "user", "content": f"question {turn}"}]}
    while call(model, "POST", "/v1/chat/completions", question) == 429:
        time.sleep(0.2)
    # A new connection each time, and a refusal that is nobody's to try again.
    tool = connect(args.tool)
    call(tool, "GET", f"/lookup?n={turn}")
    tool.close()

# Open while the metrics are looked at.
held = connect(args.tool, timeout=120)
call(held, "GET", "/held")
