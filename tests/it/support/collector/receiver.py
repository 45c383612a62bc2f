"""An OTLP receiver over gRPC and HTTP that writes each request as a line of OTLP/JSON.

Arguments: a file for traces and one for metrics. Prints `GRPC_PORT HTTP_PORT` once both listen; ends when its input does.
"""

import base64
import gzip
import http.server
import json
import sys
import threading
from concurrent import futures

import grpc
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

lock = threading.Lock()
files = {"traces": open(sys.argv[1], "w"), "metrics": open(sys.argv[2], "w")}


def hexadecimal(value):
    """OTLP/JSON has ids in hexadecimal, where protobuf's own JSON has base64."""
    if isinstance(value, list):
        return [hexadecimal(item) for item in value]
    if isinstance(value, dict):
        ids = ("traceId", "spanId", "parentSpanId")
        return {key: base64.b64decode(item).hex() if key in ids else hexadecimal(item) for key, item in value.items()}
    return value


def take(signal, request):
    line = json.dumps(hexadecimal(MessageToDict(request, use_integers_for_enums=True)))
    with lock:
        files[signal].write(line + "\n")
        files[signal].flush()


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        take("traces", request)
        return trace_service_pb2.ExportTraceServiceResponse()


class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def Export(self, request, context):
        take("metrics", request)
        return metrics_service_pb2.ExportMetricsServiceResponse()


class Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        signal, request = {
            "/v1/traces": ("traces", trace_service_pb2.ExportTraceServiceRequest()),
            "/v1/metrics": ("metrics", metrics_service_pb2.ExportMetricsServiceRequest()),
        }[self.path]
        assert self.headers["content-type"] == "application/x-protobuf", self.headers["content-type"]
        request.ParseFromString(body)
        take(signal, request)
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = grpc.server(futures.ThreadPoolExecutor(2))
trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
grpc_port = server.add_insecure_port("127.0.0.1:0")
server.start()
web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Http)
threading.Thread(target=web.serve_forever, daemon=True).start()
print(grpc_port, web.server_address[1], flush=True)
sys.stdin.read()
server.stop(0)
