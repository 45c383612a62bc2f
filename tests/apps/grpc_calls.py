"""A service of gRPC, and a client that calls each of its methods and prints how that ended.

    grpc_calls.py serve [CERTIFICATE KEY]    prints its port and serves, inside TLS with a certificate
    grpc_calls.py call TARGET METHOD...      in the clear and past proxies; https://TARGET: inside TLS and by them
"""

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

SERVICE = "test.Calls"


def echo(request, context):
    context.set_trailing_metadata((("x-length", str(len(request))),))
    return request


def count(request, context):
    for n in range(int(request)):
        yield f"item {n}".encode()
        time.sleep(0.02)


def collect(requests, context):
    return b" ".join(requests)


def fail(request, context):
    context.abort(getattr(grpc.StatusCode, request.decode()), "as asked: 100 %")


def late(request, context):
    yield b"something"
    context.abort(grpc.StatusCode.DATA_LOSS, "after something")


def slow(request, context):
    time.sleep(float(request))
    return b"at last"


def die(request, context):
    yield b"last words"
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def serve(*files):
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    methods = {
        "Echo": unary(echo),
        "Count": stream(count),
        "Collect": grpc.stream_unary_rpc_method_handler(collect),
        "Fail": unary(fail),
        "Late": stream(late),
        "Slow": unary(slow),
        "Die": stream(die),
    }
    server = grpc.server(ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    if files:
        certificate, key = (open(file, "rb").read() for file in files)
        port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(key, certificate)]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    # Ends with whoever started it.
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    server.wait_for_termination()


def call(target, what):
    if target.startswith("https://"):
        channel = grpc.secure_channel(target.removeprefix("https://"), grpc.ssl_channel_credentials())
    else:
        channel = grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)])
    method, _, argument = what.partition(":")
    path, argument = f"/{SERVICE}/{method}", argument.encode()
    try:
        if method == "Echo":
            answer, call = channel.unary_unary(path).with_call(argument)
            trailing = dict(call.trailing_metadata())
            return f"OK {answer.decode()} {trailing['x-length']}"
        if method in ("Count", "Late", "Die"):
            items = []
            for item in channel.unary_stream(path)(argument):
                items.append(item.decode())
                print(f"{method} got {items[-1]}", flush=True)
            return f"OK {len(items)}"
        if method == "Collect":
            return f"OK {channel.stream_unary(path)(iter(argument.split(b','))).decode()}"
        timeout = 0.5 if method == "Slow" else 30
        return f"OK {channel.unary_unary(path)(argument, timeout=timeout).decode()}"
    except grpc.RpcError as error:
        details = error.details() if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED) else ""
        return f"{error.code().name} {details}"
    finally:
        channel.close()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    else:
        for what in sys.argv[3:]:
            print(f"{what} ended {call(sys.argv[2], what)}", flush=True)
