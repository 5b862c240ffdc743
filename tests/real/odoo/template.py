"""Fills the template database, inside `odoo shell`: what every tenant's copy starts from.

`fleet.sh` replaces the word TEMPLATE in each copy, so that a page or an answer of the wrong tenant shows.
"""

env["res.company"].browse(1).name = "TEMPLATE company"
env["res.partner"].create({"name": "secret-TEMPLATE", "email": "secret-TEMPLATE@example.com"})
env["res.users"].browse(2).tz = "UTC"

# Compiling the pages' bundles takes seconds: once here, not at the first page of each tenant.
qweb = env["ir.qweb"]
for bundle in ["web.assets_frontend_minimal", "web.assets_frontend_lazy", "web.assets_web", "bus.websocket_worker_assets"]:
    qweb._get_asset_bundle(bundle, css=False, js=True).js()
for bundle in ["web.assets_frontend", "web.assets_web", "web.assets_web_print"]:
    qweb._get_asset_bundle(bundle, css=True, js=False).css()
env.cr.commit()
