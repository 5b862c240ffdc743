"""What programs do: odoorpc (JSON-RPC), XML-RPC, and Odoo 19's JSON-2 with an API key."""

import xmlrpc.client

import odoorpc

from tenant import Failure, check
from web import expect_secret

SECRETS = [("name", "like", "secret-")]


def odoorpc_client(tenant, host):
    """Logs in with odoorpc, reads the secret partner and the company."""
    odoo = odoorpc.ODOO(host, port=tenant.port, timeout=60)
    check(odoo.version.startswith("19"), f"odoorpc meets Odoo {odoo.version}")
    odoo.login(tenant.name, "admin", tenant.password)
    partners = odoo.env["res.partner"]
    expect_secret(tenant, partners.read(partners.search(SECRETS), ["name"]))
    company = odoo.env.user.company_id.name
    check(company == tenant.company, f"odoorpc sees company {company}")
    odoo.logout()


def xmlrpc_client(tenant, host):
    """Authenticates over XML-RPC, reads the secret partner and the company."""
    def service(name):
        return xmlrpc.client.ServerProxy(tenant.url(f"/xmlrpc/2/{name}", host), allow_none=True)

    check(service("common").version()["server_version"].startswith("19"), "XML-RPC does not meet Odoo 19")
    uid = service("common").authenticate(tenant.name, "admin", tenant.password, {})
    check(uid, "XML-RPC does not accept the password")
    call = service("object").execute_kw
    expect_secret(tenant, call(tenant.name, uid, tenant.password, "res.partner", "search_read", [SECRETS], {"fields": ["name"]}))
    companies = call(tenant.name, uid, tenant.password, "res.company", "search_read", [[]], {"fields": ["name"]})
    check([c["name"] for c in companies] == [tenant.company], f"XML-RPC sees the companies {companies}")


def _raises(kind, what, call, *args):
    """The exception of this kind that a call raises; anything else is a failure."""
    try:
        answer = call(*args)
    except kind as error:
        return error
    raise Failure(f"{what} is answered {str(answer)[:200]!r}")


def odoorpc_trespasser(tenant, host):
    """Names other tenants' databases with odoorpc, with the right passwords: a clean access error each time."""
    odoo = odoorpc.ODOO(host, port=tenant.port, timeout=60)
    check(odoo.db.list() == [tenant.name], f"db.list says {odoo.db.list()}")
    for other in tenant.others:
        error = _raises(odoorpc.error.RPCError, f"a login at {other.name}", odoo.login, other.name, "admin", other.password)
        check(str(error) == "Access Denied", f"odoorpc says {error}")
        check(error.info["data"]["name"] == "odoo.exceptions.AccessDenied", f"odoorpc gets {error.info}")
        for service, method, args in [
            ("object", "execute_kw", [other.name, 2, other.password, "res.partner", "search_read", [SECRETS]]),
            ("common", "authenticate", [other.name, "admin", other.password, {}]),
            ("db", "dump", ["admin", other.name, "zip"]),
            ("db", "drop", ["admin", other.name]),
        ]:
            params = {"service": service, "method": method, "args": args}
            error = _raises(odoorpc.error.RPCError, f"{service}.{method}", odoo.json, "/jsonrpc", params)
            check(str(error) == "Access Denied", f"{service}.{method} of {other.name}: {error}")
        login = {"db": other.name, "login": "admin", "password": other.password}
        error = _raises(odoorpc.error.RPCError, "a JSON login", odoo.json, "/web/session/authenticate", login)
        check(str(error) == "Access Denied", f"a JSON login at {other.name}: {error}")


def xmlrpc_trespasser(tenant, host):
    """The same with Python's own xmlrpc.client: fault 3, or its name on the old route."""
    def service(name, route="/xmlrpc/2/"):
        return xmlrpc.client.ServerProxy(tenant.url(f"{route}{name}", host), allow_none=True)

    check(service("db").list() == [tenant.name], f"db.list says {service('db').list()}")
    check(service("db").server_version().startswith("19"), "db.server_version is not 19")
    check(service("db").db_exist(tenant.name) is True, "db_exist does not know the own database")
    for other in tenant.others:
        check(service("db").db_exist(other.name) is False, f"db_exist knows {other.name}")
        for route, code in [("/xmlrpc/2/", 3), ("/xmlrpc/", "AccessDenied")]:
            for name, method, args in [
                ("common", "authenticate", (other.name, "admin", other.password, {})),
                ("object", "execute_kw", (other.name, 2, other.password, "res.partner", "search_read", [SECRETS])),
                ("db", "dump", ("admin", other.name, "zip")),
            ]:
                call = getattr(service(name, route), method)
                fault = _raises(xmlrpc.client.Fault, f"{route}{name} {method}", call, *args)
                check((fault.faultCode, fault.faultString) == (code, "Access Denied"), f"{route}{name} {method}: {fault!r}")


def json2_client(tenant, host, key):
    """Reads the secret partner with a bearer key and no cookie; a key of another tenant must not open this one."""
    def search(bearer):
        return tenant.browser().post(
            tenant.url("/json/2/res.partner/search_read", host),
            headers={"Authorization": f"bearer {bearer}"},
            json={"domain": SECRETS, "fields": ["name"]},
            timeout=60,
        )

    answer = search(key)
    check(answer.status_code == 200, f"JSON-2 answers {answer.status_code}: {answer.text[:200]}")
    expect_secret(tenant, answer.json())
    return search
