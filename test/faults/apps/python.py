# An application that is given faults, in Python. See node.mjs for what it does.

import json
import mmap
import os
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlparse

DEPENDENCY, FOLDER = os.environ["DEPENDENCY"], os.environ["FOLDER"]
rounds = 1000.0


def compute(ms):
    total = 0
    for i in range(int(ms * rounds)):
        total = (total * 31 + i) & 0xFFFF
    return total


for _ in range(5):
    before = time.process_time()
    compute(20)
    rounds = rounds * 0.02 / max(1e-6, time.process_time() - before)

lock = threading.Lock()


def held():
    with lock:
        time.sleep(0.06)


def wait_for_lock():
    threading.Thread(target=held).start()
    time.sleep(0.001)
    with lock:
        pass


def write():
    file = os.open(f"{FOLDER}/python.data", os.O_CREAT | os.O_RDWR | os.O_DSYNC)
    block = b"x" * (1 << 20)
    end = time.perf_counter() + 0.08
    while time.perf_counter() < end:
        os.pwrite(file, block, 0)
    os.close(file)


def page():
    file = os.open(f"{FOLDER}/paged.data", os.O_CREAT | os.O_RDWR)
    if os.fstat(file).st_size == 0:
        os.write(file, b"y" * (64 << 20))
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    mapped = mmap.mmap(file, 0, prot=mmap.PROT_READ)
    mapped.madvise(mmap.MADV_RANDOM)
    at, total, end = 0, 0, time.perf_counter() + 0.06
    while time.perf_counter() < end:
        at = (at + 7919 * 4096) % len(mapped)
        total += mapped[at]
    mapped.close()
    os.close(file)


FAULTS = {"own_cpu": lambda: compute(60), "lock": wait_for_lock, "disk": write, "paging": page}


def now():
    return str(time.time_ns())


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        fault = parse_qs(urlparse(self.path).query).get("fault", [""])[0]
        start = now()
        compute(8)
        FAULTS.get(fault, lambda: None)()
        before = now()
        urllib.request.urlopen(f"{DEPENDENCY}?ms={80 if fault == 'dependency' else 2}").read()
        after = now()
        body = json.dumps({"start": start, "dep": [before, after], "end": now()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


# Callers that wait for the only thread are not refused.
HTTPServer.request_queue_size = 128
server = HTTPServer(("127.0.0.1", 0), Handler)
print(f"port {server.server_port}", flush=True)
server.serve_forever()
