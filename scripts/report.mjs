// report.mjs PLAYWRIGHT CHROMIUM WORK PICTURES: looks at the page of a report in a browser, on a screen and on paper.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { open } from "./look.mjs";
import { read } from "./png.mjs";

const [playwright, chromium, work, pictures] = process.argv.slice(2);
const reports = ["report", "drift"].map((name) => ({
  name,
  told: JSON.parse(readFileSync(`${work}/${name}.json`, "utf8")),
  url: pathToFileURL(`${work}/${name}.html`).href,
}));
const replay = JSON.parse(readFileSync(`${work}/replay.json`, "utf8"));
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
async function contents(page, told) {
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
async function decisions(page, told, png) {
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

// Risk over time: each change of level where its score and its time are, on the line of the score and not below the level
// that it began, and named by the receipt that crossed.
async function risk(page, told, png) {
  if (!told.risk) return assert.equal((await page.$$("#risk")).length, 0);
  const { changes } = told.risk;
  const levels = changes.map((change) => change.to);
  assert.ok(levels.includes("suspend"), `it drifts as far as a suspension: ${levels}`);
  assert.deepEqual(changes.map((change) => change.receipt), replay.changes.map((change) => change.receipt), "as `kakunin risk replay` says");
  const words = ["watch", "step-up", "suspend", "revoke"];
  const lines = await page.$$eval("#risk .threshold", (found) => found.map((it) => Number(it.getAttribute("d").split(/[ H]/)[1])));
  const names = await page.$$eval("#risk svg text[text-anchor=end][x='82']", (found) => found.map((it) => it.textContent));
  assert.deepEqual(names, words, "a line for each level");
  lines.slice(1).forEach((line, place) => assert.ok(line < lines[place], `${words[place + 1]} begins above ${words[place]}`));
  const marks = await page.$$("#risk .cross");
  assert.equal(marks.length, changes.length);
  const items = await page.$$eval("#risk li", (found) => found.map((it) => it.textContent));
  const curve = await page.$("#risk .score");
  const wanted = png && {
    line: await paint(curve, "stroke"),
    mark: await paint(marks[0], "fill"),
    level: await paint(await page.$("#risk .threshold"), "stroke"),
    sheet: await paint(await page.$("#risk"), "backgroundColor"),
  };
  let across = 0;
  for (const [place, mark] of marks.entries()) {
    const { from, to, score, receipt } = changes[place];
    const [cx, cy] = [Number(await mark.getAttribute("cx")), Number(await mark.getAttribute("cy"))];
    assert.equal(cy, 274 - Math.floor((score * 260) / 1000), "as high as its score");
    assert.ok(cx >= across && cx <= 980, "later changes stand to the right");
    across = cx;
    if (words.indexOf(to) > words.indexOf(from)) assert.ok(cy <= lines[words.indexOf(to)], `${to} begins at its line`);
    assert.ok(items[place].includes(`${from} to ${to} at ${score}`) && items[place].includes(receipt), "told with its receipt");
    const { x, y, width, height } = await box(mark);
    if (png) assert.ok(near(png.colour(x + width / 2, y + height / 2), wanted.mark), "a change is painted in its colour");
  }
  if (!png) return;
  // Along the line of the score, where no mark lies over it.
  const points = await curve.evaluate((it) => {
    const [length, matrix] = [it.getTotalLength(), it.getScreenCTM()];
    const at = (place) => it.getPointAtLength((length * place) / 40).matrixTransform(matrix);
    return Array.from({ length: 39 }, (_, place) => at(place + 1)).map(({ x, y }) => [x + scrollX, y + scrollY]);
  });
  // A thin line lies between dots: what is nearer to its colour than to the sheet is painted.
  const far = (one, other) => Math.hypot(...one.map((part, which) => part - other[which]));
  const around = [-1, 0, 1];
  const inked = (x, y, colour) => around.some((dx) => around.some((dy) => {
    return far(png.colour(x + dx, y + dy), colour) < 0.7 * far(wanted.sheet, colour);
  }));
  const painted = points.filter(([x, y]) => inked(x, y, wanted.line) || inked(x, y, wanted.mark));
  assert.equal(painted.length, points.length, "the score is painted all along");
  // A level's line is dashed: in some places there, and in others not.
  for (const line of await page.$$("#risk .threshold")) {
    const { x, y, width } = await box(line);
    const dashes = Array.from({ length: 60 }, (_, place) => inked(x + (width * (place + 0.5)) / 60, y, wanted.level));
    assert.ok(dashes.filter(Boolean).length > 15, `a level is painted: ${dashes.filter(Boolean).length}`);
  }
  const { x, y, width, height } = await box(await page.$("#risk svg"));
  assert.ok(near(png.colour(x + width - 3, y + height - 40), wanted.sheet), "on its sheet");
}

const grounds = {};
for (const { name: report, told, url } of reports) for (const colorScheme of ["light", "dark"]) {
  for (const width of [1100, 420]) {
    const options = { viewport: { width, height: 900 }, colorScheme, javaScriptEnabled: false };
    await look(url, options, async (page) => {
      await contents(page, told);
      const name = `${report}-${colorScheme}-${width}`;
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}: nothing over the edge`);
      const octets = await page.screenshot({ fullPage: true });
      writeFileSync(`${pictures}/${name}.png`, octets);
      const png = read(octets);
      const ground = await paint(await page.$("body"), "backgroundColor");
      assert.deepEqual(png.colour(2, png.height - 2), ground, `${name}: the ground`);
      await decisions(page, told, png);
      // On a narrow page lines are thinner than a dot.
      await risk(page, told, width === 1100 ? png : undefined);
      for (const status of await page.$$(".finding .status")) {
        const { x, y, height } = await box(status);
        assert.ok(near(png.colour(x + 5, y + height / 2), await paint(status, "backgroundColor")), `${name}: a status has its colour`);
      }
      grounds[colorScheme] = ground;
    });
  }
}
assert.notDeepEqual(grounds.light, grounds.dark, "dark is another ground");

// On paper: white ground, every row whole, both drawings in their colours, and nothing cut at the edge.
for (const { name, told, url } of reports) {
  await look(url, { viewport: { width: 1100, height: 1123 }, colorScheme: "dark", javaScriptEnabled: false }, async (page) => {
    await page.emulateMedia({ media: "print", colorScheme: "light" });
    await contents(page, told);
    assert.deepEqual(await paint(await page.$("body"), "backgroundColor"), [255, 255, 255]);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    const octets = await page.screenshot({ fullPage: true });
    writeFileSync(`${pictures}/${name}-print.png`, octets);
    const png = read(octets);
    assert.deepEqual(png.colour(2, png.height - 2), [255, 255, 255]);
    await decisions(page, told, png);
    await risk(page, told, png);
    for (const what of [".finding", "figure"]) {
      assert.equal(await (await page.$(what)).evaluate((it) => getComputedStyle(it).breakInside), "avoid");
    }
    const paper = await page.pdf({ path: `${pictures}/${name}.pdf`, format: "A4", printBackground: true });
    assert.ok(paper.length > 10_000);
  });
}

// Names that are markup are text, also where scripts could run.
await look(pathToFileURL(`${work}/hostile-report.html`).href, { javaScriptEnabled: true }, async (page) => {
  assert.ok((await page.title()).includes("Agentic"));
  assert.equal((await page.$$("script, img, iframe, link, form")).length, 0);
  assert.equal((await page.$$("svg")).length, (await page.$$("figure > svg")).length, "no drawing but ours");
});
await browser.close();
console.log(`reports of ${reports.map(({ told }) => told.findings.length).join(" and ")} rows hold on screen and paper; pictures are in ${pictures}`);
