"""Reads calls as Odoo does. Frames on standard input: kind (one byte), length (four bytes, big endian), body.

One line of JSON for each frame: what Odoo would call, or null where it would call nothing.
  j  POST /jsonrpc                     ["service", "method", args]
  a  POST /web/session/authenticate    ["db", value]
  x  POST /xmlrpc/2/<service>          ["method", params]
  f  a form, its boundary is `b`        [["name", "value"], ...], without files
  J, X  no body: an honest call, written by Python's own libraries, is answered as text (one line)

Source: Odoo 19.0 odoo/http.py (JsonRPCDispatcher, get_http_params), addons/rpc/controllers/xmlrpc.py.
"""

import datetime
import io
import json
import random
import string
import sys
import xmlrpc.client


def json_params(body):
    request = json.loads(body.decode("utf-8", "replace"))
    request.get("id")
    return dict(request.get("params", {}))


def json_call(body):
    params = json_params(body)
    return [params["service"], params["method"], params["args"]]


def login(body):
    return ["db", json_params(body)["db"]]


def xml_call(body):
    params, method = xmlrpc.client.loads(body, use_datetime=True)
    return [method, list(params)]


def form(body):
    # What only Odoo's own Python has.
    from werkzeug.formparser import FormDataParser

    parsed = FormDataParser().parse(io.BytesIO(body), "multipart/form-data", len(body), {"boundary": "b"})
    return [[name, value] for name, values in parsed[1].lists() for value in values]


def plain(value):
    """What JSON can carry of a value; other things than texts only have to differ from every text."""
    if isinstance(value, str):
        # Halves of surrogate pairs have no UTF-8.
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {"keys": [plain(key) for key in value]}
    return None


def honest(rng):
    """A call of the tenant's own database, as a program would make it."""
    def text():
        letters = string.printable if rng.random() < 0.5 else "aé€😀\u2028<>&\"'\\/ "
        return "".join(rng.choice(letters) for _ in range(rng.randrange(12))).translate(CONTROL)

    def value(depth):
        kinds = [text, lambda: rng.randrange(-2**31, 2**31), rng.random, lambda: rng.random() < 0.5, lambda: False]
        if depth:
            kinds += [lambda: [value(depth - 1) for _ in range(rng.randrange(4))]] * 2
            kinds += [lambda: {text(): value(depth - 1) for _ in range(rng.randrange(4))}] * 2
        return rng.choice(kinds)()

    method = rng.choice(["execute", "execute_kw"])
    return method, ["acme", rng.randrange(1, 99), text(), "res.partner", "search_read", [value(5) for _ in range(3)], value(4)]


CONTROL = dict.fromkeys([*range(9), 11, 12, *range(14, 32)])


def honest_json(rng):
    method, args = honest(rng)
    params = list({"service": "object", "method": method, "args": args}.items())
    request = [("jsonrpc", "2.0"), ("method", "call"), ("id", rng.choice([1, "x", None, 1.5])), ("params", None)]
    rng.shuffle(params)
    rng.shuffle(request)
    request = {**dict(request), "params": dict(params)}
    return json.dumps(request, ensure_ascii=rng.random() < 0.5, separators=rng.choice([None, (",", ":"), (" , ", " :\t")]))


def honest_xml(rng):
    method, args = honest(rng)
    if rng.random() < 0.3:
        args.append(datetime.datetime(2026, 1, 2))
        args.append(xmlrpc.client.Binary(b"x" * rng.randrange(200)))
    encoding = rng.choice([None, "utf-8", "us-ascii", "iso-8859-1"])
    document = xmlrpc.client.dumps(tuple(args), method, allow_none=True, encoding=encoding)
    if encoding in ("us-ascii", "iso-8859-1"):
        document = document.encode("ascii", "xmlcharrefreplace").decode()
    return document


READERS = {b"j": json_call, b"a": login, b"x": xml_call, b"f": form}
WRITERS = {b"J": honest_json, b"X": honest_xml}


def main():
    rng = random.Random(1)
    source, sink = sys.stdin.buffer, sys.stdout
    while kind := source.read(1):
        body = source.read(int.from_bytes(source.read(4), "big"))
        if kind in WRITERS:
            answer = WRITERS[kind](rng)
        else:
            try:
                answer = plain(READERS[kind](body))
            # Whatever is raised, Odoo calls nothing.
            except Exception:  # noqa: BLE001
                answer = None
        sink.write(json.dumps(answer) + "\n")
        sink.flush()


if __name__ == "__main__":
    main()
