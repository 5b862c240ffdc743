// A user of acme in Chromium who reads a discussion and clicks nothing: which messages come by themselves.
//
//   .lab/node/node told.mjs 127.0.0.1:PORT
//
// What it takes: see chromium.mjs. Each line on standard input is a text to wait for; says when it is shown.

import readline from "node:readline";
import { call, launch, login } from "./chromium.mjs";

const [gateway] = process.argv.slice(2);
const host = "acme.example.com";
const origin = `http://${host}:${gateway.split(":")[1]}`;
const PATIENCE = 100_000;

const browser = await launch(gateway, [host]);
const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
page.setDefaultTimeout(PATIENCE);
await login(page, origin, "acme");
const [channel] = await call(page, "discuss.channel", "search", [[["channel_type", "=", "channel"]]], { limit: 1 });
await page.goto(`${origin}/odoo/discuss?active_id=discuss.channel_${channel}`);
await page.locator(".o-mail-Composer-input").first().waitFor();
console.log("reads a discussion");

for await (const text of readline.createInterface({ input: process.stdin })) {
  await page.locator(".o-mail-Message", { hasText: text }).waitFor();
  console.log(`shows ${text}`);
}
await browser.close();
