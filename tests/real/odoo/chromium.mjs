// A browser for the scripts beside this file, and what users of Odoo's web client do in it.
//
// FLEETGATE_LAB: the lab folder that `fleet.sh get` filled with playwright-core (default: .lab in the repository).
// CHROMIUM: the browser (default /usr/bin/chromium).

import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const lab = path.resolve(process.env.FLEETGATE_LAB ?? path.join(here, "../../../.lab"));
const { chromium } = createRequire(path.join(lab, "node/"))("playwright-core");

export const SECONDS = 1000;
export const PATIENCE = 60 * SECONDS;

/** A browser that knows these hosts, all at the address of `gateway` (ADDRESS:PORT), and no other; `more` are arguments of it. */
export function launch(gateway, hosts, more = []) {
  const [address] = gateway.split(":");
  const names = hosts.map((host) => `MAP ${host} ${address}`);
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      `--host-resolver-rules=${names.join(", ")}, MAP * ~NOTFOUND`,
      ...more,
    ],
  });
}

/** Logs the administrator of a database in and waits for the web client. */
export async function login(page, origin, database) {
  await page.goto(`${origin}/web/login`);
  await submit(page, database);
  const db = await page.evaluate(() => odoo.info.db);
  if (db !== database) throw new Error(`the web client is of database ${db}`);
}

/** Fills the form of a login that is shown, and waits for the web client. */
export async function submit(page, database) {
  await page.locator("input[name=login]").fill("admin");
  await page.locator("input[name=password]").fill(`admin-${database}`);
  await page.locator("input[name=password]").press("Enter");
  await page.locator(".o_main_navbar").waitFor();
}

/** An ORM call as the user of a page. */
export async function call(page, model, method, args, kwargs) {
  const body = await page.evaluate(async ([url, params]) => {
    const request = JSON.stringify({ jsonrpc: "2.0", method: "call", id: 1, params });
    return (await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: request })).json();
  }, [`/web/dataset/call_kw/${model}/${method}`, { model, method, args, kwargs }]);
  if (body.error) throw new Error(`${model}.${method}: ${body.error.data?.message ?? body.error.message}`);
  return body.result;
}
