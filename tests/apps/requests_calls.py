"""Plain requests: GETs one after the other in one session."""

import argparse

import requests

parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("--calls", type=int, default=1)
parser.add_argument("--timeout", type=float, default=30.0)
args = parser.parse_args()

with requests.Session() as session:
    for _ in range(args.calls):
        response = session.get(args.url, timeout=args.timeout)
        print(response.status_code, response.text)
