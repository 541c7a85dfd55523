// report.mjs PLAYWRIGHT CHROMIUM WORK PICTURES: looks at the page of a report in a browser, on a screen and on paper.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { open } from "./look.mjs";
import { read } from "./png.mjs";

const [playwright, chromium, work, pictures] = process.argv.slice(2);
const told = JSON.parse(readFileSync(`${work}/report.json`, "utf8"));
const url = pathToFileURL(`${work}/report.html`).href;
mkdirSync(pictures, { recursive: true });
const { browser, look } = await open(playwright, chromium);

const box = (element) => element.evaluate((it) => {
  const { x, y, width, height } = it.getBoundingClientRect();
  return { x: x + scrollX, y: y + scrollY, width, height };
});
const paint = (element, property) =>
  element.evaluate((it, property) => getComputedStyle(it)[property].match(/\d+/g).slice(0, 3).map(Number), property);
const near = (one, other) => one.every((part, place) => Math.abs(part - other[place]) <= 2);

// The document: every row with its status, what is not covered, and nothing that runs or asks.
async function contents(page) {
  assert.equal(await page.textContent("h1"), told.framework.title);
  assert.equal(await page.textContent(".verdict"), told.evidence.verdict);
  const statuses = await page.$$eval(".finding .status", (found) => found.map((it) => it.textContent));
  assert.deepEqual(statuses, told.findings.map((row) => row.status));
  const counts = await page.$$eval(".counts li", (found) => found.map((it) => it.textContent));
  for (const [word, count] of Object.entries(told.counts)) assert.ok(counts.includes(`${count} ${word.replaceAll("_", "-")}`), word);
  assert.equal((await page.$$("#uncovered ~ table tr")).length, told.not_covered.length);
  const text = await page.textContent("main");
  for (const row of told.findings) {
    assert.equal(text.includes(row.limit), true, row.id);
    if (row.claim) assert.ok(text.includes(row.claim), row.id);
    for (const receipt of row.shown_by.flatMap((one) => one.receipts)) assert.ok(text.includes(receipt.receipt));
  }
  assert.equal((await page.$$("script, img, iframe, link, form, a, foreignObject, use")).length, 0);
}

// Decisions by reason: a bar for what was allowed and one for each code, as long as its count says.
async function decisions(page, png) {
  const bars = await page.$$("#decisions rect");
  const counts = [told.evidence.allowed, ...Object.values(told.evidence.denials).sort((one, other) => other - one)];
  assert.equal(bars.length, counts.length);
  const most = Math.max(1, ...counts);
  for (const [place, bar] of bars.entries()) {
    const { x, y, width, height } = await box(bar);
    assert.equal(Number(await bar.getAttribute("width")), Math.floor((counts[place] * 660) / most));
    if (!png || width < 4) continue;
    assert.ok(near(png.colour(x + width / 2, y + height / 2), await paint(bar, "fill")), "a bar is painted in its colour");
  }
}

const grounds = {};
for (const colorScheme of ["light", "dark"]) {
  for (const width of [1100, 420]) {
    const options = { viewport: { width, height: 900 }, colorScheme, javaScriptEnabled: false };
    await look(url, options, async (page) => {
      await contents(page);
      const name = `report-${colorScheme}-${width}`;
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}: nothing over the edge`);
      const octets = await page.screenshot({ fullPage: true });
      writeFileSync(`${pictures}/${name}.png`, octets);
      const png = read(octets);
      const ground = await paint(await page.$("body"), "backgroundColor");
      assert.deepEqual(png.colour(2, png.height - 2), ground, `${name}: the ground`);
      await decisions(page, png);
      for (const status of await page.$$(".finding .status")) {
        const { x, y, height } = await box(status);
        assert.ok(near(png.colour(x + 5, y + height / 2), await paint(status, "backgroundColor")), `${name}: a status has its colour`);
      }
      grounds[colorScheme] = ground;
    });
  }
}
assert.notDeepEqual(grounds.light, grounds.dark, "dark is another ground");

// On paper: white ground, every row whole, and nothing cut at the edge.
await look(url, { viewport: { width: 794, height: 1123 }, colorScheme: "dark", javaScriptEnabled: false }, async (page) => {
  await page.emulateMedia({ media: "print", colorScheme: "light" });
  await contents(page);
  assert.deepEqual(await paint(await page.$("body"), "backgroundColor"), [255, 255, 255]);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  assert.equal(await (await page.$(".finding")).evaluate((it) => getComputedStyle(it).breakInside), "avoid");
  const paper = await page.pdf({ path: `${pictures}/report.pdf`, format: "A4", printBackground: true });
  assert.ok(paper.length > 10_000);
});

// Names that are markup are text, also where scripts could run.
await look(pathToFileURL(`${work}/hostile-report.html`).href, { javaScriptEnabled: true }, async (page) => {
  assert.ok((await page.title()).includes("Agentic"));
  assert.equal((await page.$$("script, img, iframe, link, form")).length, 0);
  assert.equal((await page.$$("svg")).length, (await page.$$("figure > svg")).length, "no drawing but ours");
});
await browser.close();
console.log(`the report of ${told.findings.length} rows holds on screen and paper; pictures are in ${pictures}`);
