#!/usr/bin/env python3
"""A designer of a tenant's website who moves Odoo's routes to other paths: designer.py GATEWAY ODOO_PORT

The database initech has a website. Each attack is shown to work on Odoo itself, as far as that changes nothing, and
not to work through the gateway.
"""

import sys

import requests

from tenant import Failure, Tenant, check, resolve_to

ROUTES = {
    "/web/database/manager": "/garden",
    "/web/database/duplicate": "/garden/copy",
    "/web/database/list": "/garden/list",
    "/jsonrpc": "/garden/call",
    "/xmlrpc/2/<service>": "/garden/xml/<service>",
    "/web/session/authenticate": "/garden/login",
}
# The head of a part that holds the master password, as a client may write it; Werkzeug reads most of them so.
HEADS = [
    'Content-Disposition: form-data; name="master_pwd"',
    "content-disposition:form-data;name=master_pwd",
    'CONTENT-DISPOSITION : form-data; NAME = "master_pwd"',
    ' Content-Disposition: form-data; name="master_pwd"',
    '\x0bContent-Disposition: form-data; name="master_pwd"',
    '\u00a0Content-Disposition: form-data; name="master_pwd"',
    'X: 1\rContent-Disposition: form-data; name="master_pwd"',
    'X: 1\nContent-Disposition: form-data; name="master_pwd"',
    'Content-Disposition: x\r\nContent-Disposition: form-data; name="master_pwd"',
    'Content-Disposition: form-data;\r\n name="master_pwd"',
    'Content-Disposition: form-data;\n\tname="master_pwd"',
    "Content-Disposition: form-data; name*=utf-8''master%5Fpwd",
    "Content-Disposition: form-data; name*=iso-8859-1''%6Daster_pwd",
    'Content-Disposition: form-data; name*0="master"; name*1="_pwd"',
    'Content-Disposition: form-data; name="x"; name="master_pwd"',
    'Content-Disposition: form-data; x="a\\"; name=\\"y"; name="master_pwd"',
    'Content-Disposition: form-data; file; name="master_pwd"',
    'Content-Disposition: form-data; filename="a"; name="master_pwd"',
    "Content-Disposition: form-data;;name=master_pwd",
    'Content-Disposition:form-data;"name"="master_pwd"',
    'Content-Disposition: form-data; name="master\\_pwd"',
]
# The same as pairs, and as a query.
PAIRS = ["master_pwd=", "%6daster_pwd=", "master_pwd", "&&master%5Fpwd=", "=&master_pwd=&x"]
XML = "<?xml version='1.0'?><methodCall><methodName>list</methodName><params></params></methodCall>"
DESIGNER = "designer"


class Browser:
    """A browser at the tenant's host."""

    def __init__(self, tenant):
        self.tenant = tenant
        self.http = tenant.browser()

    def login(self, login, password):
        answer = self.json("/web/session/authenticate", db=self.tenant.name, login=login, password=password)
        check(answer.json().get("result", {}).get("uid"), f"{login} cannot log in: {answer.text[:300]}")

    def json(self, path, **params):
        return self.post(path, json={"jsonrpc": "2.0", "method": "call", "id": 7, "params": params})

    def post(self, path, **options):
        return self.http.post(self.tenant.url(path), timeout=60, allow_redirects=False, **options)

    def call(self, model, method, *args, path="/web/dataset/call_kw", **kwargs):
        answer = self.json(path, model=model, method=method, args=list(args), kwargs=kwargs).json()
        check("result" in answer, f"{model}.{method} is answered {str(answer)[:300]}")
        return answer["result"]


def ask_odoo(port, path, **options):
    """Asks Odoo itself, for the tenant's database."""
    headers = {"X-Odoo-dbfilter": "^initech$", **options.pop("headers", {})}
    return requests.post(f"http://127.0.0.1:{port}{path}", headers=headers, timeout=60, allow_redirects=False, **options)


def move_routes(tenant):
    """A user who is a designer and nothing more gives routes other paths."""
    admin = Browser(tenant)
    admin.login("admin", tenant.password)
    admin.call("res.users", "unlink", admin.call("res.users", "search", [("login", "=", DESIGNER)]))
    groups = [admin.call("ir.model.data", "search_read", [("module", "=", module), ("name", "=", name)], ["res_id"])[0]["res_id"]
              for module, name in [("base", "group_user"), ("website", "group_website_designer")]]
    admin.call("res.users", "create", [{"name": DESIGNER, "login": DESIGNER, "password": DESIGNER, "group_ids": [(6, 0, groups)]}])
    designer = Browser(tenant)
    designer.login(DESIGNER, DESIGNER)
    designer.call("website.rewrite", "unlink", designer.call("website.rewrite", "search", []))
    rewrites = [{"name": path, "url_from": route, "url_to": path, "redirect_type": "308"} for route, path in ROUTES.items()]
    designer.call("website.rewrite", "create", rewrites)
    return designer


def refused(what, answer, status, code):
    check(answer.status_code == status and code in answer.text, f"{what} is answered {answer.status_code} {answer.text[:300]!r}")


def attack(tenant, other, designer, odoo_port):
    # No master password, so Odoo does not keep it, and a name that it refuses after all else was in order.
    fields = {"master_pwd": "", "name": other.name, "new_name": "!"}
    direct = ask_odoo(odoo_port, "/garden/copy", data=fields)
    check("naming issue" in direct.text, f"Odoo does not take its route on another path: {direct.status_code}")
    visitor = Browser(tenant)
    for what, options in [
        ("a form", {"data": fields}),
        ("a form in parts", {"files": {name: (None, value) for name, value in fields.items()}}),
        ("a file for a field", {"files": {"master_pwd": ("x", b"x"), **{n: (None, v) for n, v in fields.items()}}}),
        ("a query", {"params": fields}),
        ("half a query", {"params": {"master_pwd": ""}, "data": {"name": other.name, "new_name": "!"}}),
    ]:
        refused(f"a copy of {other.name} by {what}", visitor.post("/garden/copy", **options), 404, "guard_hidden")
    spell(visitor, odoo_port, fields)
    tenant.say("moved the database manager, which Odoo serves there and the gateway does not")

    call = {"service": "db", "method": "list", "args": []}
    direct = ask_odoo(odoo_port, "/garden/call", json={"params": call}).json()
    check(other.name in direct.get("result", []), f"Odoo does not take calls on another path: {direct}")
    refused("db.list as JSON", visitor.json("/garden/call", **call), 400, "rpc_unreadable")
    direct = ask_odoo(odoo_port, "/garden/xml/db", data=XML)
    check(other.name in direct.text, f"Odoo does not take XML on another path: {direct.text[:300]}")
    refused("db.list as XML", visitor.post("/garden/xml/db", data=XML), 400, "rpc_unreadable")
    tenant.say("moved JSON-RPC and XML-RPC, which tell all databases there and nothing through the gateway")

    credentials = {"login": "admin", "password": other.password}
    refused("a login elsewhere", visitor.json("/garden/login", db=other.name, **credentials), 403, "guard_denied")
    names = visitor.json("/garden/list").json()["result"]
    check(names == [tenant.name], f"the list of databases says {names}")

    # Where a page is the route itself, it shows, and does nothing.
    website = designer.call("website", "search", [])
    designer.call("website", "write", website, {"homepage_url": "/web/database/selector"})
    fields["csrf_token"] = "x"
    refused("a copy by the home page", visitor.post("/", data=fields), 404, "guard_hidden")
    designer.call("website", "write", website, {"homepage_url": False})
    tenant.say("moved the login and the home page, and reached no other database")


def spell(visitor, odoo_port, fields):
    """Every spelling of the master password that Odoo takes, and more, is refused."""
    rest = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{fields[name]}' for name in ("name", "new_name")]
    parts = [("\r\n--b\r\n".join(["", f"{head}\r\n\r\n", *rest]) + "\r\n--b--\r\n").encode() for head in HEADS]
    pairs = [f"name={fields['name']}&new_name=!&{pair}" for pair in PAIRS]
    sent = [({"data": part, "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, "/garden/copy") for part in parts]
    sent += [({"data": pair, "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, "/garden/copy") for pair in pairs]
    sent += [({}, f"/garden/copy?{pair}") for pair in pairs]
    taken = 0
    for options, path in sent:
        refused(f"{path} {options}", visitor.post(path, **options), 404, "guard_hidden")
        taken += "naming issue" in ask_odoo(odoo_port, path, **options).text
    check(taken >= 20, f"Odoo takes {taken} of {len(sent)} spellings only")
    visitor.tenant.say(f"{len(sent)} spellings of the master password: Odoo takes {taken}, the gateway none")


def obey_lists(tenant, designer):
    """The tenant's own list of models holds for the web client too, whatever the path says."""
    for path in ["/web/dataset/call_kw", "/web/dataset/call_kw/res.partner/read", "/web/dataset/call_button"]:
        answer = designer.json(path, model="ir.cron", method="search_read", args=[[]], kwargs={}).json()
        check(answer.get("id") == 7 and answer["error"]["data"]["name"] == "odoo.exceptions.AccessError", f"{path}: {answer}")
    partners = designer.call("res.partner", "search_read", [], ["name"], path="/web/dataset/call_kw/ir.cron/unlink")
    check(partners, "a call of another model with a listed one in its path finds nothing")
    tenant.say("a model of `deny_models` is an access error for the web client")


def main():
    address, _, port = sys.argv[1].rpartition(":")
    odoo_port = int(sys.argv[2])
    tenant, other = Tenant("initech", ["initech.example.com"], int(port)), Tenant("globex", ["globex.example.com"], int(port))
    tenant.others = [other]
    resolve_to(address, {*tenant.hosts, "127.0.0.1"})
    try:
        designer = move_routes(tenant)
        try:
            attack(tenant, other, designer, odoo_port)
            obey_lists(tenant, designer)
        finally:
            designer.call("website.rewrite", "unlink", designer.call("website.rewrite", "search", []))
    except Failure as failure:
        print(f"FAIL {tenant.name} {failure}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
