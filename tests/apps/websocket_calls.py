"""A WebSocket client: messages one after the other, each answered, then a close in order or none."""

import argparse
import os
import time

from websockets.sync.client import connect

parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("--messages", type=int, default=3)
parser.add_argument("--pause", type=float, default=0.0)
parser.add_argument("--leave", action="store_true", help="end without a close")
args = parser.parse_args()

with connect(args.url) as socket:
    for n in range(args.messages):
        socket.send(f"message {n}")
        print(socket.recv())
        time.sleep(args.pause)
    if args.leave:
        os._exit(0)
