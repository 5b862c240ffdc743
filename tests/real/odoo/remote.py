"""What programs do: odoorpc (JSON-RPC), XML-RPC, and Odoo 19's JSON-2 with an API key."""

import xmlrpc.client

import odoorpc

from tenant import check
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
