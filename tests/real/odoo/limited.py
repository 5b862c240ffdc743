#!/usr/bin/env python3
"""Programs whose tenant is at its limit get an error that they can read: limited.py 127.0.0.1:PORT [HOST]

The tenant may ask one request a second and five at once.
"""

import sys
import xmlrpc.client

import odoorpc

from tenant import check, resolve_to

gateway, host = sys.argv[1], (sys.argv[2:] or ["globex.example.com"])[0]
port = int(gateway.split(":")[1])


def first_error(call):
    """The first error of a call that is made again and again."""
    for _ in range(100):
        try:
            call()
        except Exception as error:
            return error
    raise SystemExit("FAIL no call was refused")


resolve_to(gateway.split(":")[0], [host])
error = first_error(xmlrpc.client.ServerProxy(f"http://{host}:{port}/xmlrpc/2/common").version)
check(isinstance(error, xmlrpc.client.ProtocolError), repr(error))
check(error.errcode == 429 and error.errmsg == "Too Many Requests", repr(error))
waits = [value for name, value in error.headers.items() if name.lower() == "retry-after"]
check(len(waits) == 1 and int(waits[0]) >= 1, str(error.headers))
print(f"ok limited xmlrpc.client raises {error!r}")
error = first_error(lambda: odoorpc.ODOO(host, port=port))
check("429" in str(error) or "Please try again in" in str(error), repr(error))
print(f"ok limited odoorpc raises {error!r}")
