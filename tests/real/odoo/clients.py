#!/usr/bin/env python3
"""Real clients of two Odoo tenants at once, through the gateway: clients.py 127.0.0.1:PORT [--acme HOSTS] [--globex HOSTS]

One line a check, a summary at the end; the exit code is 1 when any check failed. Whatever an answer is asked for, it
is also searched for the other tenant's data.
"""

import argparse
import secrets
import sys
import threading
import time
import traceback

import bus
import remote
from tenant import Failure, Tenant, check, resolve_to
from web import Web


class Visit:
    """Everything one tenant's user does. `meet` waits until the other tenants' users are as far."""

    def __init__(self, tenant, meet):
        self.tenant = tenant
        self.meet = meet
        self.checks = 0
        self.step = "start"
        self.failure = None
        self.others = []
        self.key = None
        self.nonce = f"{tenant.name}-{secrets.token_hex(6)}"

    def run(self):
        try:
            self.browse()
            self.program()
            self.listen()
            self.trespass()
        except threading.BrokenBarrierError:
            self.failure = f"{self.step}: another tenant's user gave up"
        except Exception as error:
            self.meet.abort()
            self.failure = f"{self.step}: {error}"
            if not isinstance(error, Failure):
                self.failure += "\n" + traceback.format_exc()

    def ok(self, what):
        self.checks += 1
        self.tenant.say(what)

    def browse(self):
        tenant = self.tenant
        self.step = "login"
        stranger = Web(tenant, tenant.hosts[0])
        for other in tenant.others:
            answer = stranger.try_login(other.password)
            check(answer.status_code == 200, f"the password of {other.name} is answered {answer.status_code}")
        self.ok("login refuses the other tenant's password")
        self.web = Web(tenant, tenant.hosts[0])
        flags = self.web.login()
        self.ok(f"login at {tenant.hosts[0]} (session cookie: {flags})")
        self.step = "page"
        files, size = self.web.open_client()
        self.ok(f"page /odoo with {files} assets, {size} bytes")
        self.step = "orm"
        self.web.read_secret()
        self.ok("orm call_kw sees its own partner only")
        self.step = "file"
        self.ok(f"file of {self.web.exchange_file()} bytes up and down")

    def program(self):
        tenant = self.tenant
        for host in tenant.hosts:
            self.step = f"odoorpc at {host}"
            remote.odoorpc_client(tenant, host)
            self.ok(f"odoorpc at {host}")
            self.step = f"xmlrpc at {host}"
            remote.xmlrpc_client(tenant, host)
            self.ok(f"xmlrpc at {host}")
            self.step = f"trespass by RPC at {host}"
            remote.odoorpc_trespasser(tenant, host)
            self.ok(f"odoorpc at {host}: db.list says ['{tenant.name}'], other databases are a clean access error")
            remote.xmlrpc_trespasser(tenant, host)
            self.ok(f"xmlrpc at {host}: other databases are fault 3")
        self.step = "json2"
        self.key = self.web.api_key()
        self.search = remote.json2_client(tenant, tenant.hosts[0], self.key)
        self.ok("json2 with an API key")

    def listen(self):
        self.step = "websocket"
        socket = bus.Bus(self.web)
        self.meet.wait()
        bus.post(self.web, f"news of {self.nonce}")
        socket.wait_for(f"news of {self.nonce}")
        self.ok("websocket receives its own notification")
        # Every tenant has posted now; what this one posts next comes after whatever could have leaked.
        self.meet.wait()
        bus.post(self.web, f"end of {self.nonce}")
        socket.wait_for(f"end of {self.nonce}")
        for other in self.tenant.others:
            check(not any(other.name + "-" in m for m in socket.seen), f"LEAK: the bus of {self.tenant.name} carries {socket.seen}")
        socket.close()
        self.ok(f"websocket receives nothing of the others ({len(socket.seen)} notifications)")

    def trespass(self):
        """Takes what belongs to this tenant to the others' hosts."""
        self.step = "trespass"
        self.meet.wait()
        for other in self.others:
            answer = self.search(other.key)
            check(answer.status_code == 401, f"the API key of {other.tenant.name} is answered {answer.status_code}")
        self.ok("json2 refuses the other tenant's API key")
        # A session of its own: Odoo ends one that shows up at another database.
        thief = Web(self.tenant, self.tenant.hosts[-1])
        thief.login()
        for other in self.tenant.others:
            answer = other.browser().get(other.url("/odoo"), cookies={"session_id": thief.cookie()}, allow_redirects=False, timeout=60)
            check(answer.status_code in (302, 303), f"a session of {self.tenant.name} at {other.hosts[0]} is answered {answer.status_code}")
        self.ok("its session is worth nothing at the other tenant's host")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("gateway", help="address and port of the gateway's plain HTTP listener")
    arguments.add_argument("--acme", default="shop.acme.test,acme.example.com", help="hosts of acme, the one to browse first")
    arguments.add_argument("--globex", default="globex.example.com", help="hosts of globex")
    given = arguments.parse_args()
    address, _, port = given.gateway.rpartition(":")
    tenants = [Tenant("acme", given.acme.split(","), int(port)), Tenant("globex", given.globex.split(","), int(port))]
    for tenant in tenants:
        tenant.others = [other for other in tenants if other is not tenant]
    resolve_to(address, {host for tenant in tenants for host in tenant.hosts})

    started = time.monotonic()
    meet = threading.Barrier(len(tenants), timeout=180)
    visits = [Visit(tenant, meet) for tenant in tenants]
    for visit in visits:
        visit.others = [other for other in visits if other is not visit]
    threads = [threading.Thread(target=visit.run, name=visit.tenant.name) for visit in visits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    failed = [visit for visit in visits if visit.failure]
    for visit in failed:
        print(f"FAIL {visit.tenant.name} {visit.failure}", flush=True)
    checks = sum(visit.checks for visit in visits)
    verdict = f"{len(failed)} of {len(visits)} tenants FAILED" if failed else "all held"
    print(f"clients: {checks} checks for {len(visits)} tenants in {time.monotonic() - started:.1f} s, {verdict}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
