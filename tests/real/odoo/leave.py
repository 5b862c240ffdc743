#!/usr/bin/env python3
"""A client that asks for long work and leaves while a worker is at it: leave.py 127.0.0.1:PORT PG_PORT [HOST]

Ends once it has left. What goes on in PostgreSQL then is `select pg_sleep`.
"""

import json
import socket
import sys
import time
import xmlrpc.client

import psycopg2

from tenant import check, resolve_to

gateway, pg_port, host = sys.argv[1], int(sys.argv[2]), (sys.argv[3:] or ["globex.example.com"])[0]
address, port = gateway.split(":")
DATABASE, USER, PASSWORD = "globex", 2, "admin-globex"
SECONDS = 5

resolve_to(address, [host])
models = xmlrpc.client.ServerProxy(f"http://{host}:{port}/xmlrpc/2/object")
action = models.execute_kw(
    DATABASE, USER, PASSWORD, "ir.actions.server", "create",
    [{
        "name": "Long work",
        "model_id": models.execute_kw(DATABASE, USER, PASSWORD, "ir.model", "search", [[["model", "=", "res.partner"]]])[0],
        "state": "code",
        "code": f"env.cr.execute('select pg_sleep({SECONDS})')",
    }],
)
call = {"service": "object", "method": "execute_kw", "args": [DATABASE, USER, PASSWORD, "ir.actions.server", "run", [[action]]]}
body = json.dumps({"jsonrpc": "2.0", "method": "call", "id": 1, "params": call}).encode()
client = socket.create_connection((host, int(port)))
client.sendall(
    f"POST /jsonrpc HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
)
postgres = psycopg2.connect(host="127.0.0.1", port=pg_port, user="postgres", dbname="postgres")
postgres.autocommit = True
cursor = postgres.cursor()
deadline = time.monotonic() + 60
while True:
    cursor.execute("select count(*) from pg_stat_activity where state = 'active' and query like 'select pg_sleep%'")
    if cursor.fetchone()[0] == 1:
        break
    check(time.monotonic() < deadline, "the worker never began")
client.close()
print("ok a client asked for long work and left")
