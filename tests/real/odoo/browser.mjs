// Chromium with a user of each tenant at once: log in, work in the web client, see only the own database.
//
//   .lab/node/node browser.mjs 127.0.0.1:PORT [ACME_HOST [GLOBEX_HOST]]
//
// SCREENSHOTS: a folder for acme.png and globex.png (none by default). What else it takes: see chromium.mjs.
// One line a check, a summary at the end; the exit code is 1 when any check failed.

import { mkdirSync } from "node:fs";
import path from "node:path";
import { PATIENCE, SECONDS, call, launch, login } from "./chromium.mjs";

const [gateway, acmeHost = "shop.acme.test", globexHost = "globex.example.com"] = process.argv.slice(2);
if (!gateway?.includes(":")) {
  console.error("usage: browser.mjs ADDRESS:PORT [ACME_HOST [GLOBEX_HOST]]");
  process.exit(2);
}
const [, port] = gateway.split(":");

/** One tenant's user: a browser context of their own and what they may and may not see. */
class Visit {
  constructor(name, host, other) {
    this.name = name;
    this.origin = `http://${host}:${port}`;
    this.forbidden = [`secret-${other}`, `${other.toUpperCase()} Retail`, `"db": "${other}"`, `contact of ${other}`, `news of ${other}`];
    this.nonce = `${name} ${Math.random().toString(36).slice(2)}`;
    this.faults = [];
    this.reading = [];
    this.checks = 0;
  }

  ok(what) {
    this.checks += 1;
    console.log(`ok ${this.name} browser ${what}`);
  }

  judge(text, where) {
    for (const mark of this.forbidden) if (text.includes(mark)) this.faults.push(`LEAK: ${where} shows ${JSON.stringify(mark)}`);
  }

  /** Every answer the page gets is searched, and errors are kept. */
  watch(context) {
    context.on("response", (response) => {
      if (response.status() >= 400) this.faults.push(`${response.url()} answers ${response.status()}`);
      const kind = response.headers()["content-type"] ?? "";
      if (!/json|html/.test(kind)) return;
      const judged = response.text().then((text) => this.judge(text, response.url()));
      this.reading.push(judged.catch(() => {})); // a redirect and an abandoned answer have no body
    });
    context.on("weberror", (error) => this.faults.push(`script error: ${error.error().message}`));
  }

  async run(browser) {
    this.context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    this.context.setDefaultTimeout(PATIENCE);
    this.watch(this.context);
    this.page = await this.context.newPage();
    await this.login();
    await this.addContact();
    await this.chat();
    await this.leaveClean();
  }

  async login() {
    await login(this.page, this.origin, this.name);
    this.ok("logs in and loads the web client");
  }

  async addContact() {
    const contacts = `${this.origin}/odoo/action-base.action_partner_form`;
    await this.page.goto(`${contacts}/new`);
    await this.page.locator(".o_form_view [name=name] input, .o_form_view [name=name] textarea").first().fill(`contact of ${this.nonce}`);
    await this.page.locator(".o_form_button_save").click();
    await this.page.locator(".o_form_saved, .o_form_view .o_form_status_indicator_buttons.invisible").first().waitFor({ state: "attached" });
    await this.page.goto(contacts);
    await this.page.getByText(`secret-${this.name}`).first().waitFor();
    await this.page.getByText(`contact of ${this.nonce}`).first().waitFor();
    this.ok("creates a contact and finds it beside its own secret one");
  }

  /** The bus is a websocket inside a shared worker: what shows it to be open is news that comes without a reload. */
  async chat() {
    const [channel] = await this.call("discuss.channel", "search", [[["channel_type", "=", "channel"]]], { limit: 1 });
    await this.page.goto(`${this.origin}/odoo/discuss?active_id=discuss.channel_${channel}`);
    const composer = this.page.locator(".o-mail-Composer-input").first();
    await composer.click();
    await this.page.keyboard.type(`typed by ${this.nonce}`);
    const [posted] = await Promise.all([this.page.waitForResponse("**/mail/message/post"), this.page.keyboard.press("Enter")]);
    await posted.finished();
    await this.page.locator(".o-mail-Message", { hasText: `typed by ${this.nonce}` }).waitFor();
    const stored = await this.call("mail.message", "search_count", [[["body", "like", `typed by ${this.nonce}`]]], {});
    if (stored !== 1) throw new Error(`the typed message is stored ${stored} times`);
    this.ok("posts a message in Discuss, stored once");
    const post = { body: `news of ${this.nonce}`, message_type: "comment", subtype_xmlid: "mail.mt_comment" };
    await this.call("discuss.channel", "message_post", [[channel]], post);
    await this.page.locator(".o-mail-Message", { hasText: `news of ${this.nonce}` }).waitFor();
    this.ok("shows a message that came over the websocket");
  }

  /** An ORM call from another page of the same user. */
  async call(model, method, args, kwargs) {
    if (!this.side) {
      this.side = await this.context.newPage();
      await this.side.goto(`${this.origin}/web/health`);
    }
    return call(this.side, model, method, args, kwargs);
  }

  async leaveClean() {
    this.judge(await this.page.locator("body").innerText(), "the page");
    if (process.env.SCREENSHOTS) {
      mkdirSync(process.env.SCREENSHOTS, { recursive: true });
      await this.page.screenshot({ path: path.join(process.env.SCREENSHOTS, `${this.name}.png`) });
    }
    await Promise.all(this.reading);
    if (this.faults.length) throw new Error("the visit went through, but not clean");
    this.ok(`saw no error and nothing of the other tenant in ${this.reading.length} answers`);
  }
}

const started = Date.now();
const visits = [new Visit("acme", acmeHost, "globex"), new Visit("globex", globexHost, "acme")];
const browser = await launch(gateway, [acmeHost, globexHost]);
let failed = 0;
await Promise.all(
  visits.map((visit) =>
    visit.run(browser).catch((error) => {
      failed += 1;
      const faults = visit.faults.length ? `\n  ${[...new Set(visit.faults)].join("\n  ")}` : "";
      console.log(`FAIL ${visit.name} browser ${error.message}${faults}`);
    }),
  ),
);
await browser.close();
const checks = visits.reduce((sum, visit) => sum + visit.checks, 0);
const verdict = failed ? `${failed} of ${visits.length} tenants FAILED` : "all held";
console.log(`browser: ${checks} checks for ${visits.length} tenants in ${((Date.now() - started) / SECONDS).toFixed(1)} s, ${verdict}`);
process.exit(failed ? 1 : 0);
