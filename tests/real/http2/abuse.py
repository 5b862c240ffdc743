"""Clients of HTTP/2 that abuse a gateway, and one that does not, at once.

    abuse.py HOST:PORT PID

Every abuse has to end with its connection or to be answered as it should, while the honest client is served. The last line
is JSON: what the honest client saw, and the memory of the process in KiB before and at its highest. Exits with 1 when
anything else happened. The gateway's clocks are those of tests/real/http2.rs.
"""

import json
import select
import socket
import struct
import sys
import threading
import time

import h2.config
import h2.connection
import h2.events
import hpack
from hyperframe import frame as frames

ADDRESS, PID = sys.argv[1], int(sys.argv[2])
HOST, PORT = ADDRESS.rsplit(":", 1)
AUTHORITY = "acme.test"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# For the end of a connection; the gateway's own clocks are shorter.
DEADLINE = 30
FLOOD_MAX = 60_000
CODES = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
         "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"]


class Bytes:
    """A frame as written."""

    def __init__(self, data):
        self.data = data

    def serialize(self):
        return self.data


def raw_frame(kind, flags, stream, payload=b""):
    return Bytes(struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload)


def fields(path="/stub/echo", method="GET", more=()):
    pairs = [(":method", method), (":scheme", "http"), (":authority", AUTHORITY), (":path", path), *more]
    # Without the dynamic table, so that each block stands for itself.
    return b"".join(b"\x00" + bytes([len(n)]) + n.encode() + literal(v.encode()) for n, v in pairs)


def literal(value):
    length = len(value)
    if length < 127:
        return bytes([length]) + value
    out, length = [127], length - 127
    while length >= 128:
        out.append(length % 128 + 128)
        length //= 128
    return bytes([*out, length]) + value


def headers(stream, block=None, end_stream=True, end_headers=True):
    frame = frames.HeadersFrame(stream, data=fields() if block is None else block)
    for flag, on in [("END_STREAM", end_stream), ("END_HEADERS", end_headers)]:
        if on:
            frame.flags.add(flag)
    return frame


def data(stream, payload, end=False):
    frame = frames.DataFrame(stream, data=payload)
    if end:
        frame.flags.add("END_STREAM")
    return frame


class Raw:
    """A connection without a state machine."""

    def __init__(self, settings=None, preface=True):
        self.socket = socket.create_connection((HOST, int(PORT)), timeout=DEADLINE)
        self.buffer, self.is_open, self.sent = b"", True, 0
        self.decoder, self.settled = hpack.Decoder(), False
        self.goaway, self.resets, self.statuses, self.data_bytes = None, {}, {}, 0
        if preface:
            self.send(Bytes(PREFACE), frames.SettingsFrame(0, settings=settings or {}))

    def send(self, *what):
        try:
            self.socket.sendall(b"".join(one.serialize() for one in what))
            self.sent += len(what)
        except OSError:
            self.is_open = False
        return self.is_open

    def take(self, seconds=0.0):
        """Reads what there is; returns whether there was anything."""
        if not self.is_open or not select.select([self.socket], [], [], seconds)[0]:
            return False
        try:
            read = self.socket.recv(1 << 16)
        except OSError:
            read = b""
        self.is_open = bool(read)
        self.buffer += read
        while len(self.buffer) >= 9:
            frame, length = frames.Frame.parse_frame_header(memoryview(self.buffer[:9]))
            if len(self.buffer) < 9 + length:
                break
            body, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
            frame.parse_body(memoryview(body))
            self.note(frame)
        return self.is_open

    def note(self, frame):
        if isinstance(frame, frames.GoAwayFrame):
            self.goaway = CODES[frame.error_code] if frame.error_code < len(CODES) else frame.error_code
        elif isinstance(frame, frames.RstStreamFrame):
            self.resets[frame.stream_id] = CODES[frame.error_code]
        elif isinstance(frame, frames.HeadersFrame):
            self.statuses[frame.stream_id] = int(dict(self.decoder.decode(frame.data)).get(":status", 0))
        elif isinstance(frame, frames.DataFrame):
            self.data_bytes += len(frame.data)
        elif isinstance(frame, frames.SettingsFrame) and "ACK" not in frame.flags:
            ack = frames.SettingsFrame(0)
            ack.flags.add("ACK")
            self.send(ack)
            self.settled = True

    def until(self, done, seconds=DEADLINE):
        end = time.monotonic() + seconds
        while not done() and self.is_open and time.monotonic() < end:
            self.take(0.1)
        return done()

    def ended(self):
        self.until(lambda: not self.is_open)
        return not self.is_open

    def flood(self, make, per_batch=50):
        """Sends frames for as long as they are taken."""
        number = 0
        while self.is_open and number < FLOOD_MAX:
            batch = [make(number + n + 1) for n in range(per_batch)]
            number += per_batch
            self.send(*[frame for some in batch for frame in some])
            while self.take():
                pass
        return self.ended()


# --- Abuses. Each returns whether it ended as it should, and what to say about it. ---------------------------------

ABUSES = []


def abuse(run):
    ABUSES.append(run)
    return run


def flood_of(name, make, settings=None, begin=()):
    def run():
        raw = Raw(settings)
        raw.send(*begin)
        return raw.flood(make), f"after {raw.sent} frames, {raw.goaway}"
    run.__name__ = name
    ABUSES.append(run)


def reset(stream, code=8):
    return frames.RstStreamFrame(stream, error_code=code)


flood_of("rapid_reset", lambda n: [headers(2 * n - 1), reset(2 * n - 1)])
flood_of("made_you_reset_by_windows", lambda n: [
    headers(2 * n - 1, end_stream=False), raw_frame(8, 0, 2 * n - 1, b"\0\0\0\0")])
flood_of("made_you_reset_by_heads", lambda n: [headers(2 * n - 1, fields(more=[("connection", "close")]))])
flood_of("ping", lambda n: [frames.PingFrame(0, opaque_data=b"12345678")])
flood_of("ping_answers", lambda n: [raw_frame(6, 1, 0, b"12345678")])
flood_of("settings", lambda n: [frames.SettingsFrame(0, settings={4: 65_535 + n % 9})])
flood_of("empty_settings", lambda n: [frames.SettingsFrame(0)])
flood_of("priorities", lambda n: [raw_frame(2, 0, 2 * n - 1, struct.pack(">IB", 0, 7))])
flood_of("windows", lambda n: [frames.WindowUpdateFrame(0, window_increment=1)])
flood_of("unknown_frames", lambda n: [raw_frame(0x42, 0, 0, b"?")])
flood_of("empty_data", lambda n: [data(1, b"")], begin=[headers(1, fields(method="POST"), end_stream=False)])
flood_of("padding", lambda n: [raw_frame(0, 8, 1, b"\xff" + b"\0" * 255)],
         begin=[headers(1, fields(method="POST"), end_stream=False)])
flood_of("continuations", lambda n: [raw_frame(9, 0, 1, b"\x00\x01a\x01b" * 100)],
         begin=[headers(1, end_headers=False)])
flood_of("empty_continuations", lambda n: [raw_frame(9, 0, 1)], begin=[headers(1, end_headers=False)])
flood_of("trailers", lambda n: [headers(1, b"\x00\x01a\x01b", end_stream=False)],
         begin=[headers(1, fields(method="POST"), end_stream=False)])


@abuse
def hpack_bomb():
    raw = Raw()
    table = b"\x40\x01a" + literal(b"x" * 3_900)
    raw.send(headers(1, fields() + table), headers(3, fields() + b"\xbe" * 15_000))
    raw.until(lambda: raw.goaway or 3 in raw.resets or 3 in raw.statuses)
    raw.flood(lambda n: [headers(2 * n + 3, fields() + b"\xbe" * 15_000)], 1)
    return not raw.is_open, f"{raw.goaway}"


@abuse
def huge_header_list():
    raw = Raw()
    block = fields(more=[(f"x-{n}", "y" * 4_000) for n in range(60)])
    parts = [block[at:at + 16_000] for at in range(0, len(block), 16_000)]
    rest = [raw_frame(9, 4 if at == len(parts) - 1 else 0, 1, part) for at, part in enumerate(parts)][1:]
    raw.send(headers(1, parts[0], end_headers=False), *rest)
    raw.until(lambda: raw.goaway or 1 in raw.resets or 1 in raw.statuses)
    return raw.goaway or 1 in raw.resets or raw.statuses.get(1) != 200, f"{raw.goaway} {raw.resets} {raw.statuses}"


def fault_of(name, *what):
    """What breaks the protocol and has to end the connection or the stream, and is never served."""
    def run():
        raw = Raw()
        raw.send(*what)
        raw.until(lambda: raw.goaway or raw.resets)
        return bool(raw.goaway or raw.resets or not raw.is_open) and 200 not in raw.statuses.values(), \
            f"{raw.goaway} {raw.resets}"
    run.__name__ = name
    ABUSES.append(run)


fault_of("stream_of_a_server", headers(2))
fault_of("stream_0", raw_frame(1, 5, 0, fields()))
fault_of("stream_that_goes_back", headers(7, end_stream=False), headers(5))
fault_of("data_of_nobody", data(9, b"x"))
fault_of("promise_of_a_client", raw_frame(5, 4, 1, b"\0\0\0\2" + fields()))
fault_of("frame_too_large", raw_frame(0, 0, 1, b"x" * 20_000))
fault_of("settings_of_5_bytes", raw_frame(4, 0, 0, b"12345"))
fault_of("ping_of_7_bytes", raw_frame(6, 0, 0, b"1234567"))
fault_of("window_of_3_bytes", raw_frame(8, 0, 0, b"123"))
fault_of("window_of_0", raw_frame(8, 0, 0, b"\0\0\0\0"))
fault_of("window_overflow", *[frames.WindowUpdateFrame(0, window_increment=2**31 - 1)] * 2)
fault_of("window_overflow_of_a_stream", headers(1, fields(method="POST"), end_stream=False),
         *[frames.WindowUpdateFrame(1, window_increment=2**31 - 1)] * 2)
fault_of("initial_window_overflow", frames.SettingsFrame(0, settings={4: 2**31}))
fault_of("continuation_of_nobody", raw_frame(9, 4, 1, fields()))
fault_of("heads_that_interleave", headers(1, end_headers=False), headers(3))
fault_of("padding_longer_than_the_frame", raw_frame(1, 0xd, 1, b"\xff" + fields()))
fault_of("trailers_that_do_not_end", headers(1, fields(method="POST"), end_stream=False), data(1, b"x"),
         headers(1, b"\x00\x01a\x01b", end_stream=False))
fault_of("hpack_of_nobody", headers(1, fields() + b"\xff\x80\x01"))


@abuse
def trailers_with_a_path():
    """No second request: the fields of the first stand."""
    raw = Raw()
    raw.send(headers(1, fields(method="POST"), end_stream=False), data(1, b"x"), headers(1, fields("/stub/status?code=418")))
    raw.until(lambda: raw.goaway or 1 in raw.resets or 1 in raw.statuses)
    return raw.statuses.get(1) in (None, 200, 400), f"{raw.statuses} {raw.resets}"


@abuse
def zero_window():
    raw = Raw({4: 0})
    raw.send(*[headers(2 * n + 1, fields("/stub/bytes?n=50000")) for n in range(100)])
    raw.until(lambda: not raw.is_open or len(raw.resets) == 100)
    given_up = len(raw.resets)
    return (given_up == 100 or not raw.is_open) and raw.ended(), f"{given_up} answers given up"


@abuse
def one_byte_windows():
    raw = Raw({4: 0})
    raw.send(headers(1, fields("/stub/bytes?n=100000")))
    end = time.monotonic() + DEADLINE
    while raw.is_open and 1 not in raw.resets and time.monotonic() < end:
        raw.send(frames.WindowUpdateFrame(1, window_increment=1))
        raw.take(0.2)
    return not raw.is_open or 1 in raw.resets, f"{raw.data_bytes} bytes"


@abuse
def answers_that_are_not_read():
    raw = Raw({4: 2**31 - 1})
    raw.send(frames.WindowUpdateFrame(0, window_increment=2**30))
    raw.send(*[headers(2 * n + 1, fields("/stub/bytes?n=10000000")) for n in range(4)])
    end = time.monotonic() + DEADLINE
    # The gateway is done with it when it can no longer be written to.
    while time.monotonic() < end and raw.send(frames.PingFrame(0, opaque_data=b"12345678")):
        time.sleep(0.5)
    return not raw.is_open, "cut"


@abuse
def body_that_does_not_come():
    raw = Raw()
    raw.send(headers(1, fields(method="POST", more=[("content-length", "10")]), end_stream=False), data(1, b"x"))
    raw.until(lambda: 1 in raw.statuses or 1 in raw.resets)
    return raw.statuses.get(1) != 200 and (1 in raw.statuses or 1 in raw.resets), f"{raw.statuses} {raw.resets}"


@abuse
def preface_that_does_not_come():
    raw = Raw(preface=False)
    raw.send(Bytes(PREFACE[:20]))
    return raw.ended(), "cut"


@abuse
def head_that_does_not_come():
    raw = Raw()
    raw.until(lambda: raw.settled)
    raw.send(headers(1, end_headers=False))
    return raw.ended() and not raw.goaway, "cut"


@abuse
def head_that_trickles():
    raw = Raw()
    raw.until(lambda: raw.settled)
    # Another request keeps the connection busy.
    raw.send(headers(1, fields("/stub/slow?ms=20000")))
    block = headers(3).serialize()
    end = time.monotonic() + DEADLINE
    for byte in block + b"\0" * 200:
        if not raw.is_open or time.monotonic() > end:
            break
        raw.send(Bytes(bytes([byte])))
        raw.take(0.2)
    return not raw.is_open and not raw.goaway and 3 not in raw.statuses, "cut"


@abuse
def nothing_after_the_first_request():
    raw = Raw()
    raw.send(headers(1))
    return raw.until(lambda: 1 in raw.statuses) and raw.ended(), f"{raw.statuses}"


# --- The honest client --------------------------------------------------------------------------------------------

class Honest(threading.Thread):
    """Asks again and again, on a few connections one after the other."""

    def __init__(self):
        super().__init__(daemon=True)
        self.served, self.failed, self.longest, self.stop = 0, [], 0.0, False

    def run(self):
        while not self.stop:
            try:
                self.connection()
            except Exception as error:  # Whatever it is, it should not have happened.
                self.failed.append(repr(error))
                time.sleep(0.1)

    def connection(self):
        sock = socket.create_connection((HOST, int(PORT)), timeout=DEADLINE)
        http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        http.initiate_connection()
        for _ in range(20):
            if self.stop:
                break
            began = time.monotonic()
            stream = http.get_next_available_stream_id()
            http.send_headers(stream, [(":method", "GET"), (":scheme", "http"), (":authority", AUTHORITY),
                                       (":path", "/stub/bytes?n=20000")], end_stream=True)
            sock.sendall(http.data_to_send())
            self.answer(sock, http, stream)
            self.longest = max(self.longest, time.monotonic() - began)
            self.served += 1
            time.sleep(0.02)
        sock.close()

    @staticmethod
    def answer(sock, http, stream):
        status, received = None, 0
        while True:
            read = sock.recv(1 << 16)
            if not read:
                raise ConnectionError("closed before the answer was whole")
            for event in http.receive_data(read):
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[":status"]
                elif isinstance(event, h2.events.DataReceived):
                    received += len(event.data)
                    http.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, h2.events.StreamEnded):
                    if (status, received) != ("200", 20_000):
                        raise ValueError(f"{status} with {received} bytes")
                    return
                elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    raise ConnectionError(str(event))
            sock.sendall(http.data_to_send())


class Memory(threading.Thread):
    """The highest resident memory of the gateway."""

    def __init__(self):
        super().__init__(daemon=True)
        self.before = self.highest = self.now()

    @staticmethod
    def now():
        with open(f"/proc/{PID}/status", encoding="ascii") as status:
            return int(next(line for line in status if line.startswith("VmRSS")).split()[1])

    def run(self):
        while True:
            self.highest = max(self.highest, self.now())
            time.sleep(0.02)


def main():
    honest = Honest()
    honest.start()
    while honest.served < 50 and not honest.failed:
        time.sleep(0.05)
    memory = Memory()
    memory.start()
    wrong = []
    for run in ABUSES:
        served, began = honest.served, time.monotonic()
        fine, said = run()
        while honest.served == served and time.monotonic() < began + DEADLINE:
            time.sleep(0.02)
        if not fine or honest.served == served:
            wrong.append(run.__name__)
        print("ok" if fine else "NOT OK", run.__name__, said, f"{time.monotonic() - began:.1f} s,",
              f"highest memory so far {memory.highest} KiB", flush=True)
    honest.stop = True
    honest.join()
    print(json.dumps({
        "abuses": len(ABUSES), "wrong": wrong, "served": honest.served, "failed": honest.failed[:5],
        "failures": len(honest.failed),
        "longest_seconds": round(honest.longest, 3), "kib_before": memory.before, "kib_highest": memory.highest,
    }))
    return 1 if wrong or honest.failed else 0


sys.exit(main())
