"""What a browser does without running scripts: log in by form, load the page and its assets, call, upload, download."""

import json
import os
import re

from tenant import Failure, check

FILE_BYTES = 3 * 1024 * 1024


class Web:
    """A user's browser at one of the tenant's hosts."""

    def __init__(self, tenant, host):
        self.tenant = tenant
        self.host = host
        self.http = tenant.browser()
        self.info = {}

    def get(self, path, **options):
        return self.http.get(self.tenant.url(path, self.host), timeout=60, **options)

    def post(self, path, **options):
        return self.http.post(self.tenant.url(path, self.host), timeout=60, **options)

    def try_login(self, password):
        """Sends the login form; the answer is not followed."""
        form = self.get("/web/login")
        check(form.status_code == 200, f"the login form answers {form.status_code}")
        check("/web/database/" not in form.url, "the login form leads to the database selector: no header picked a database")
        token = re.search(r'name="csrf_token" value="([^"]+)"', form.text)
        check(token, "the login form has no csrf_token")
        fields = {"csrf_token": token[1], "login": "admin", "password": password}
        return self.post("/web/login", data=fields, allow_redirects=False)

    def login(self):
        """Logs in by form and returns the session cookie's flags as one word each."""
        answer = self.try_login(self.tenant.password)
        check(answer.status_code == 303, f"login answers {answer.status_code}, not 303: is the password {self.tenant.password!r}?")
        location = answer.headers["Location"]
        check(location.startswith("/") or location.startswith(self.tenant.url("/", self.host)), f"login redirects elsewhere, to {location}")
        cookies = [c for c in answer.raw.headers.getlist("Set-Cookie") if c.startswith("session_id=")]
        check(len(cookies) == 1, f"login sets {len(cookies)} session cookies")
        flags = [part.strip() for part in cookies[0].split(";")[1:]]
        check("HttpOnly" in flags and "Path=/" in flags, f"the session cookie lacks HttpOnly or Path=/: {flags}")
        check(not any(f.lower().startswith("domain") for f in flags), f"the session cookie names a domain: {flags}")
        return " ".join(f for f in flags if not f.startswith(("Expires", "Max-Age")))

    def open_client(self):
        """Loads /odoo and every script and style sheet it names; returns (files, bytes)."""
        page = self.get("/odoo")
        check(page.status_code == 200 and "/web/login" not in page.url, f"/odoo answers {page.status_code} at {page.url}")
        info = re.search(r"odoo\.__session_info__ = (\{.*?\});\s*$", page.text, re.M)
        check(info, "/odoo carries no session_info: not the web client")
        self.info = json.loads(info[1])
        check(self.info["db"] == self.tenant.name, f"/odoo is of database {self.info['db']}")
        company = self.info["user_companies"]["allowed_companies"]
        names = [c["name"] for c in company.values()]
        check(names == [self.tenant.company], f"/odoo is of company {names}")
        assets = re.findall(r'<script[^>]*\ssrc="([^"]+)"', page.text) + re.findall(r'<link[^>]*rel="stylesheet"[^>]*href="([^"]+)"', page.text)
        check(len(assets) >= 3, f"/odoo names only {assets}")
        return len(assets), sum(self.asset(path) for path in assets)

    def asset(self, path):
        answer = self.get(path, allow_redirects=False)
        kind = answer.headers.get("Content-Type", "")
        check(answer.status_code == 200, f"asset {path} answers {answer.status_code}")
        check("javascript" in kind or "css" in kind, f"asset {path} is {kind!r}")
        check(answer.content, f"asset {path} is empty")
        return len(answer.content)

    def call(self, model, method, args, **kwargs):
        """An ORM call as the web client makes it."""
        params = {"model": model, "method": method, "args": args, "kwargs": kwargs}
        answer = self.post(f"/web/dataset/call_kw/{model}/{method}", json={"jsonrpc": "2.0", "method": "call", "id": 1, "params": params})
        check(answer.status_code == 200, f"{model}.{method} answers {answer.status_code}")
        body = answer.json()
        if "error" in body:
            raise Failure(f"{model}.{method}: {body['error']['data']['name']}: {body['error']['data']['message']}")
        return body["result"]

    def read_secret(self):
        """Checks that the only secret partner in sight is the tenant's own."""
        found = self.call("res.partner", "search_read", [[("name", "like", "secret-")], ["name"]])
        expect_secret(self.tenant, found)

    def exchange_file(self):
        """Uploads a file and downloads it again; a client without the session must not get it."""
        content = os.urandom(FILE_BYTES)
        partner = self.call("res.partner", "search", [[("name", "=", self.tenant.secret)]])[0]
        token = re.search(r'csrf_token: "([^"]+)"', self.get("/odoo").text)
        check(token, "/odoo has no csrf_token")
        answer = self.post(
            "/web/binary/upload_attachment",
            data={"csrf_token": token[1], "model": "res.partner", "id": str(partner)},
            files={"ufile": ("ledger.bin", content, "application/octet-stream")},
        )
        check(answer.status_code == 200, f"upload answers {answer.status_code}")
        uploaded = json.loads(answer.text)[0]
        check(uploaded.get("size") == FILE_BYTES, f"upload says {uploaded}")
        path = f"/web/content/{uploaded['id']}/ledger.bin?download=true"
        back = self.get(path)
        check(back.status_code == 200, f"download answers {back.status_code}")
        check(back.content == content, f"{len(back.content)} bytes came back, not the {FILE_BYTES} that were sent")
        # Odoo names the file and the gateway sends it (--x-sendfile), so the gateway answers ranges, too.
        part = self.get(path, headers={"Range": "bytes=1000-1999"})
        check(part.status_code == 206 and part.content == content[1000:2000], f"a range answers {part.status_code}")
        stranger = self.tenant.browser().get(self.tenant.url(path, self.host), timeout=60)
        check(content not in stranger.content and stranger.status_code != 200, "LEAK: a stranger downloads the file")
        return FILE_BYTES

    def api_key(self):
        """Makes an API key as a person does in their preferences, password question included."""
        description = self.call("res.users.apikeys.description", "create", [{"name": "fleet client", "duration": "1"}])
        question = self.call("res.users.apikeys.description", "make_key", [[description]])
        if question["res_model"] == "res.users.identitycheck":
            question = self.call(question["res_model"], "run_check", [[question["res_id"]]], context={"password": self.tenant.password})
        return question["context"]["default_key"]

    def cookie(self):
        return next(c.value for c in self.http.cookies if c.name == "session_id")


def expect_secret(tenant, partners):
    """Fails unless `partners` (dicts with a name) is just the tenant's own secret one."""
    names = [p["name"] for p in partners]
    check(names == [tenant.secret], f"{tenant.name} sees the partners {names}, not just {tenant.secret}")
