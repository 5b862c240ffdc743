"""A tenant as its users know it: host names, a password, and what only its own database holds."""

import socket

import requests


class Failure(Exception):
    """A check that did not hold; the text says what was seen."""


def check(condition, message):
    """Fails the running step unless `condition` holds."""
    if not condition:
        raise Failure(message)


class Tenant:
    """One database of the fleet, reached through the gateway by its host names (the first is used for browsing)."""

    def __init__(self, name, hosts, port):
        self.name = name
        self.hosts = hosts
        self.port = port
        self.password = f"admin-{name}"
        self.company = f"{name.upper()} Retail"
        self.secret = f"secret-{name}"
        self.others = []

    def url(self, path="", host=None):
        return f"http://{host or self.hosts[0]}:{self.port}{path}"

    def judge(self, content, where):
        """Fails when `content`, the bytes of an answer to this tenant, holds anything of another tenant's."""
        for other in self.others:
            for mark in (other.secret, other.company, f'"db": "{other.name}"', f'"{other.password}"'):
                check(mark.encode() not in content, f"LEAK: {where} of {self.name} shows {mark!r}")

    def browser(self):
        """An HTTP client with a cookie jar that judges every answer."""
        session = requests.Session()
        session.trust_env = False
        session.hooks["response"].append(self._judge_response)
        session.headers["User-Agent"] = "Mozilla/5.0 (fleet client)"
        return session

    def _judge_response(self, response, **_):
        self.judge(response.content, response.request.path_url)

    def say(self, what):
        # One write: the tenants' threads print at the same time.
        print(f"ok {self.name} {what}\n", end="", flush=True)


def resolve_to(address, hosts):
    """Makes the hosts' names lead to `address` in this process, as DNS would. No other name can be reached."""
    real = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if name not in hosts:
            raise socket.gaierror(f"{name} is no host of this fleet: a client was led astray")
        return real(address, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo
