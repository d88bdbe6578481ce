"""gRPC's C core, as grpcio, in the ways that applications use it. Prints the number of calls by their code.

calls.py HOST:PORT FOLDER SCENARIO
"""

import json
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

address, folder, scenario = sys.argv[1:]
codes: Counter[int] = Counter()
lock = threading.Lock()


def body(name: str) -> bytes:
    return Path(folder, name).read_bytes()


def channel() -> grpc.Channel:
    options = [("grpc.enable_retries", 0), ("grpc.max_send_message_length", -1)]
    if scenario == "keepalive":
        options += [
            ("grpc.keepalive_time_ms", 200),
            ("grpc.keepalive_timeout_ms", 1000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]
    if scenario == "tls":
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(), options)
    return grpc.insecure_channel(address, options)


with channel() as opened:
    # Messages are bytes already.
    export = opened.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")

    def count(code: grpc.StatusCode) -> None:
        with lock:
            codes[code.value[0]] += 1

    def call(message: bytes, cut_after: float | None = None, **options) -> None:
        options.setdefault("timeout", 60)
        future = export.future(message, **options)
        if cut_after is not None:
            threading.Timer(cut_after, future.cancel).start()
        try:
            future.result()
            count(grpc.StatusCode.OK)
        except grpc.FutureCancelledError:
            count(grpc.StatusCode.CANCELLED)
        except grpc.RpcError as error:
            count(error.code())

    one, four = body("one"), body("four")

    def at_once(times: int, workers: int, each) -> None:
        with ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(each) for _ in range(times)]:
                done.result()

    match scenario:
        case "many":
            at_once(2000, 100, lambda: call(one))
        case "sizes":
            call(body("mib"))
            call(four)
            call(four, compression=grpc.Compression.Gzip)
            call(body("over"))
        case "deadline":
            at_once(20, 5, lambda: call(four, timeout=0.002))
            call(one)
        case "cancel":
            at_once(60, 10, lambda: call(four, cut_after=random.random() / 100))
            call(one)
        case "metadata":
            for size in (8000, 20000):
                call(one, metadata=[("x-large", "a" * size)])
            call(one)
        case "keepalive":
            call(one)
            time.sleep(4)
            call(one)
        case "going":
            end = time.monotonic() + 4

            def keep_going() -> None:
                while time.monotonic() < end:
                    call(one)
                    time.sleep(0.001)

            at_once(8, 8, keep_going)
        case "tls":
            call(one)
        case _:
            raise SystemExit(scenario)

print(json.dumps(codes))
