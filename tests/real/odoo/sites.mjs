// Users of acme in Chromium at the gateway of one site, before and after another site takes over: what they see of it.
//
//   .lab/node/node sites.mjs 127.0.0.1:PORT
//
// The gateway speaks TLS there. What else it takes: see chromium.mjs. Says where it is, one line a step, and waits for a
// line on standard input where something has to happen first.

import readline from "node:readline";
import { call, launch, login, submit } from "./chromium.mjs";

const [gateway] = process.argv.slice(2);
const host = "acme.example.com";
const origin = `https://${host}:${gateway.split(":")[1]}`;
const PATIENCE = 60_000;
const FILE_BYTES = 5 * 1024 * 1024;

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const told = () => lines.next();
const say = (text) => console.log(text);

const browser = await launch(gateway, [host], ["--ignore-certificate-errors"]);

/** A user in a browser of their own, with a page that shows a channel and one that makes calls. */
class User {
  static async login() {
    const user = new User();
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    context.setDefaultTimeout(PATIENCE);
    user.page = await context.newPage();
    await login(user.page, origin, "acme");
    user.side = await context.newPage();
    await user.side.goto(`${origin}/web/health`);
    return user;
  }

  /** Shows a channel, for as long as nobody goes elsewhere. */
  async watch() {
    [this.channel] = await call(this.side, "discuss.channel", "search", [[["channel_type", "=", "channel"]]], { limit: 1 });
    await this.page.goto(`${origin}/odoo/discuss?active_id=discuss.channel_${this.channel}`);
    await this.page.locator(".o-mail-Composer-input").first().waitFor();
  }

  /** The bus is a websocket inside a shared worker: what shows it to be open is news that comes without a reload. */
  async hears(text) {
    const post = { body: text, message_type: "comment", subtype_xmlid: "mail.mt_comment" };
    await call(this.side, "discuss.channel", "message_post", [[this.channel]], post);
    await this.page.locator(".o-mail-Message", { hasText: text }).waitFor();
  }

  /** Takes a file up and down. */
  async exchangesFile() {
    const token = await this.page.evaluate(() => odoo.csrf_token);
    const same = await this.side.evaluate(async ([token, bytes]) => {
      const content = new Uint8Array(bytes);
      for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(content.subarray(at, at + 65_536));
      const form = new FormData();
      for (const [name, value] of Object.entries({ csrf_token: token, model: "res.partner", id: "1" })) form.append(name, value);
      form.append("ufile", new Blob([content]), "ledger.bin");
      const [file] = await (await fetch("/web/binary/upload_attachment", { method: "POST", body: form })).json();
      const answer = await fetch(`/web/content/${file.id}/ledger.bin?download=true`);
      const back = new Uint8Array(await answer.arrayBuffer());
      const digest = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).join();
      return back.length === bytes && (await digest(back)) === (await digest(content));
    }, [token, FILE_BYTES]);
    if (!same) throw new Error("another file came back");
  }
}

const known = await User.login();
await known.watch();
await known.exchangesFile();
await known.hears("news of the old site");
say("the session that both sites know is made");

await told();
const unknown = await User.login();
say("the session that the new site does not know is made");

await told();
await known.hears("news of the new site");
say("shows a message that came over the websocket, without a login or a reload");
await known.exchangesFile();
say("takes a file up and down");
await known.page.goto(`${origin}/odoo/action-base.action_partner_form`);
await known.page.getByText("secret-acme").first().waitFor();
say("opens a page without a login");

await unknown.page.goto(`${origin}/odoo/action-base.action_partner_form`);
await unknown.page.locator("input[name=password]").waitFor();
await submit(unknown.page, "acme");
await unknown.page.goto(`${origin}/odoo/action-base.action_partner_form`);
await unknown.page.getByText("secret-acme").first().waitFor();
say("opens a page after a new login");
await browser.close();
