"""Python's HPACK, for hpack.test.ts.

peer.py encode SEED: prints connections, each a line of JSON: [[block in hex, [[name, value], ...]], ...].
peer.py decode: reads connections, each a line of JSON: [block in hex, ...]; prints what the last block of each one decodes to,
or null if that or one before it cannot be decoded.
"""

import json
import random
import sys

from hpack import Decoder, Encoder, HPACKError
from hpack.struct import HeaderTuple, NeverIndexedHeaderTuple

NAMES = [":method", ":path", ":status", "content-type", "te", "grpc-timeout", "grpc-encoding", "user-agent", "x-a", "x-long-name-of-a-header"]


def text(rng):
    if rng.random() < 0.5:
        return rng.choice(["POST", "/", "trailers", "application/grpc", "10S", "200", "gzip"])
    size = rng.choice([0, 1, 5, 20, 126, 127, 128, 300, 5000])
    letters = rng.choice(["abc", "0123456789", "".join(map(chr, range(32, 127))), "".join(map(chr, range(256)))])
    return "".join(rng.choice(letters) for _ in range(rng.randrange(size + 1)))


def encode(seed):
    rng = random.Random(seed)
    for _ in range(200):
        encoder = Encoder()
        blocks = []
        for _ in range(rng.randrange(1, 12)):
            if rng.random() < 0.3:
                encoder.header_table_size = rng.choice([0, 64, 200, 1000, 4096])
            fields = []
            for _ in range(rng.randrange(12)):
                kind = rng.choice([HeaderTuple, HeaderTuple, NeverIndexedHeaderTuple])
                name = rng.choice(NAMES) if rng.random() < 0.9 else "x-" + str(rng.randrange(1000))
                fields.append(kind(name.encode("latin-1"), text(rng).encode("latin-1")))
            block = encoder.encode(fields, huffman=rng.random() < 0.7)
            blocks.append([block.hex(), [[part.decode("latin-1") for part in field] for field in fields]])
        print(json.dumps(blocks))


def decode():
    for line in sys.stdin:
        decoder = Decoder(max_header_list_size=1 << 24)
        last = None
        try:
            for block in json.loads(line):
                last = decoder.decode(bytes.fromhex(block), raw=True)
            print(json.dumps([[part.decode("latin-1") for part in field] for field in last]))
        except HPACKError:
            print("null")


if sys.argv[1] == "encode":
    encode(int(sys.argv[2]))
else:
    decode()
