// A browser that looks at pages from files, and fails on anything that a page asked for.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

export async function open(playwright, chromium) {
  const { chromium: browserType } = createRequire(import.meta.url)(playwright);
  const browser = await browserType.launch({
    executablePath: chromium,
    args: [
      "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
      "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ],
  });

  // A page that is looked at; gives what the work on it gives, and fails on anything that it asked for.
  async function look(url, options, work) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    page.on("dialog", (dialog) => asked.push(`dialog ${dialog.message()}`));
    page.on("pageerror", (error) => asked.push(`error ${error}`));
    page.on("console", (message) => asked.push(`console ${message.text()}`));
    await page.goto(url);
    const result = await work(page);
    await page.waitForTimeout(100);
    assert.deepEqual(asked.map((it) => it.split("#")[0]), [url.split("#")[0]], "nothing but the file is asked for");
    await context.close();
    return result;
  }

  return { browser, look };
}
