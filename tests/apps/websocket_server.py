"""A WebSocket server on the loopback that answers each message after a while; says its port first, ends with its standard input."""

import sys
import threading
import time

from websockets.sync.server import serve


def answer(socket):
    for message in socket:
        time.sleep(0.2)
        socket.send(f"heard {message}")


with serve(answer, "127.0.0.1", 0) as server:
    print(server.socket.getsockname()[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    server.shutdown()
