// A user of acme in Chromium, while their fleet moves to another region: what the web client shows, and that it comes back
// without a click.
//
//   .lab/node/node moved.mjs 127.0.0.1:PORT
//
// What it takes: see chromium.mjs. Says where it is, one line a step, and waits for a line on standard input
// where something has to happen first.

import readline from "node:readline";
import { launch, login, submit } from "./chromium.mjs";

const [gateway] = process.argv.slice(2);
const host = "acme.example.com";
const origin = `http://${host}:${gateway.split(":")[1]}`;
const PATIENCE = 100_000;

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const told = () => lines.next();
const say = (text) => console.log(text);

const browser = await launch(gateway, [host]);
const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
page.setDefaultTimeout(PATIENCE);
// Every notification that was ever shown, however briefly.
await page.addInitScript(() => {
  globalThis.shown = [];
  const look = () => {
    for (const node of document.querySelectorAll(".o_notification")) {
      if (!globalThis.shown.includes(node.innerText)) globalThis.shown.push(node.innerText);
    }
  };
  document.addEventListener("DOMContentLoaded", () => new MutationObserver(look).observe(document, { childList: true, subtree: true }));
});
const wasShown = (text) => page.waitForFunction((text) => globalThis.shown.some((shown) => shown.includes(text)), text);

/** Looks for something in the list, as a user does. */
async function search(text) {
  await page.locator(".o_searchview_input").fill(text);
  await page.locator(".o_searchview_input").press("Enter");
}

const contacts = `${origin}/odoo/action-base.action_partner_form`;
await login(page, origin, "acme");
await page.goto(contacts);
await page.getByText("secret-acme").first().waitFor();
say("works in the web client");

await told();
await search("before");
await wasShown("Connection lost");
say("shows that the connection is lost");

await wasShown("Connection restored");
say("is connected again");

await told();
// The user goes on with what they wanted. Where the new region does not know their session, Odoo says so in a dialog of its
// own, and then asks for the password.
const found = { list: page.locator(".o_kanban_record, .o_data_row").filter({ hasText: "first" }), expired: page.getByText("Your Odoo session expired"), form: page.locator("input[name=password]") };
await search("first");
const none = new Promise((resolve) => setTimeout(() => resolve("none"), 30_000));
const shown = Object.entries(found).map(([what, where]) => where.first().waitFor().then(() => what, () => new Promise(() => {})));
let next = await Promise.race([...shown, none]);
let loggedIn = false;
if (next === "expired") {
  await page.locator(".modal-footer button").first().click();
  await found.form.waitFor();
  next = "form";
}
if (next === "none") {
  say(`STUCK at ${page.url()}: ${(await page.locator("body").innerText()).slice(0, 2000)}`);
  process.exit(1);
}
if (next === "form") {
  loggedIn = true;
  await submit(page, "acme");
  await page.goto(contacts);
  await page.getByText("secret-acme").first().waitFor();
}
say(loggedIn ? "goes on after a new login" : "goes on without a login");
await browser.close();
