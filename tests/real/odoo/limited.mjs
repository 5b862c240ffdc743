// Odoo's own web client, whose tenant reaches its limit: it says so, and goes on by itself.
//
//   .lab/node/node limited.mjs 127.0.0.1:PORT [HOST]
//
// The tenant may ask 20 requests a second and 200 at once. SCREENSHOTS: a folder for limited-*.png (none by default).
// What else it takes: see chromium.mjs. One line a check; the exit code is 1 when any failed.

import { mkdirSync } from "node:fs";
import path from "node:path";
import { PATIENCE, launch, login } from "./chromium.mjs";

const [gateway, host = "globex.example.com"] = process.argv.slice(2);
if (!gateway?.includes(":")) {
  console.error("usage: limited.mjs ADDRESS:PORT [HOST]");
  process.exit(2);
}
const origin = `http://${host}:${gateway.split(":")[1]}`;
const contacts = `${origin}/odoo/action-base.action_partner_form`;
const browser = await launch(gateway, [host]);
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
context.setDefaultTimeout(PATIENCE);
const page = await context.newPage();
const side = await context.newPage();

/** A limit that gives something back twenty times a second may let a single request pass. */
const TRIES = 20;

function ok(what) {
  console.log(`ok limited web client ${what}`);
}

async function picture(name) {
  if (!process.env.SCREENSHOTS) return;
  mkdirSync(process.env.SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: path.join(process.env.SCREENSHOTS, `limited-${name}.png`) });
}

/** Calls of another page of the same user that go on until they are told to end: they use up whatever comes back. */
async function flood() {
  await side.goto(`${origin}/web/health`);
  await side.evaluate(() => {
    const params = { model: "res.partner", method: "search_count", args: [[]], kwargs: {} };
    const body = JSON.stringify({ jsonrpc: "2.0", method: "call", id: 1, params });
    const request = { method: "POST", headers: { "Content-Type": "application/json" }, body };
    window.flooding = true;
    window.refused = 0;
    const one = async () => {
      while (window.flooding) {
        const answer = await fetch("/web/dataset/call_kw/res.partner/search_count", request);
        if (answer.status === 429) window.refused += 1;
      }
    };
    // Two of the six connections that Chromium makes to a host are left to the page.
    window.ended = Promise.all([one(), one(), one(), one()]);
  });
  await side.waitForFunction(() => window.refused > 20);
  return () => side.evaluate(() => ((window.flooding = false), window.ended));
}

/** Whether a tenth of the burst is there again: answers to who has less say so. */
async function enough() {
  const answer = await fetch("/web/webclient/version_info", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
  return answer.status === 200 && !answer.headers.has("ratelimit");
}

try {
  await login(page, origin, "globex");
  await page.goto(contacts);
  await page.locator(".o_kanban_view, .o_list_view").first().waitFor();
  ok("loads within its limits");

  let end = await flood();
  const create = page.locator(".o-kanban-button-new, .o_list_button_add").first();
  // A click makes several calls, and each that is refused opens a dialog.
  const dialogs = page.locator(".modal .modal-body");
  // Now and then all of them find what has just come back: then it is tried again.
  for (let tries = 0; tries < TRIES && !(await dialogs.count()); tries += 1) {
    await create.click();
    await page.locator(".modal .modal-body, .o_form_view").first().waitFor();
    if (await dialogs.count()) break;
    await page.goBack();
    await create.or(dialogs.first()).first().waitFor();
  }
  const said = await dialogs.first().innerText();
  if (!/limit/i.test(said) || !/try again/i.test(said)) throw new Error(`the dialog says ${JSON.stringify(said)}`);
  await picture("dialog");
  ok(`says in a dialog: ${said.trim().split("\n")[0]}`);
  await end();
  while (await dialogs.count()) {
    const open = await dialogs.count();
    await page.locator(".modal .btn-primary").last().click();
    await page.waitForFunction((open) => document.querySelectorAll(".modal .modal-body").length < open, open);
  }
  const lost = await page.getByText("Connection lost").count();
  if (lost) throw new Error("the web client takes the limit for a lost connection");
  await side.waitForFunction(enough, null, { polling: 250 });
  await create.click();
  await page.locator(".o_form_view [name=name] input, .o_form_view [name=name] textarea").first().waitFor();
  ok("does what it was asked when it is asked again");

  end = await flood();
  let refused = await page.goto(contacts);
  for (let tries = 1; tries < TRIES && refused.status() === 200; tries += 1) refused = await page.goto(contacts);
  if (refused.status() !== 429) throw new Error(`a page beyond the limit is answered ${refused.status()}`);
  await picture("page");
  await end();
  await page.locator(".o_kanban_view, .o_list_view").first().waitFor();
  ok("comes back by itself from the page that says so");
  await browser.close();
} catch (error) {
  await picture("failed");
  console.log(`FAIL limited web client ${error.message}`);
  await browser.close();
  process.exit(1);
}
