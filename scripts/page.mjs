// page.mjs PLAYWRIGHT CHROMIUM WORK PICTURES: looks at the page of the incident in a browser, as people do.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";
import { open } from "./look.mjs";
import { read } from "./png.mjs";

const [playwright, chromium, work, pictures] = process.argv.slice(2);
const told = JSON.parse(readFileSync(`${work}/verified.json`, "utf8"));
const incident = pathToFileURL(`${work}/incident/incident.html`).href;
mkdirSync(pictures, { recursive: true });

const { browser, look } = await open(playwright, chromium);

const box = (element) => element.evaluate((it) => {
  const { x, y, width, height } = it.getBoundingClientRect();
  return { x: x + scrollX, y: y + scrollY, width, height };
});
const boxes = async (page, what) => Promise.all((await page.$$(what)).map(box));
const near = (one, other, what) => assert.ok(Math.abs(one - other) <= 2, `${what}: ${one} and ${other}`);
const centre = (it) => [it.x + it.width / 2, it.y + it.height / 2];
const paint = (element, property) =>
  element.evaluate((it, property) => getComputedStyle(it)[property].match(/\d+/g).slice(0, 3).map(Number), property);

// The document: everybody, everything, in the order that was told.
async function contents(page) {
  assert.equal(await page.textContent("h1"), told.verdict);
  assert.equal(await page.textContent(".counts li:first-child"), `${told.counts.receipts} receipts`);
  const agents = await page.$$eval(".agent b", (found) => found.map((it) => it.textContent));
  assert.deepEqual(agents, ["support", "payments", "bank"]);
  const owners = await page.$$eval(".owner b", (found) => found.map((it) => it.textContent.split(" ")[0]));
  assert.deepEqual(owners, ["shop", "bank"]);
  const rows = await page.$$eval(".row", (found) => found.map((it) => it.querySelector(".facts dd").textContent));
  assert.deepEqual(rows, told.timeline.map((step) => step.receipt));
  assert.equal(rows.length, told.counts.receipts);
  assert.equal((await page.$$(".row.deny")).length, told.counts.denied);
  assert.equal((await page.$$(".edge")).length, 3, "two requests to payments, one to the bank");
  assert.equal((await page.$$("script, img, iframe, link, svg, form")).length, 0);
}

// The drawing: each node on the line of its lane, each arrow from lane to lane, nothing over the edge.
async function drawing(page, name, width) {
  const lines = (await boxes(page, ".lines i")).map((line) => centre(line)[0]);
  assert.equal(lines.length, 3);
  assert.ok(lines[0] < lines[1] && lines[1] < lines[2], `${name}: lanes stand side by side`);
  const lanes = told.timeline.map((step) => [...new Set(told.timeline.map((it) => it.agent))].indexOf(step.agent));
  const dots = await boxes(page, ".dot");
  dots.forEach((dot, row) => near(centre(dot)[0], lines[lanes[row]], `${name}: node ${row + 1} stands in its lane`));
  dots.slice(1).forEach((dot, row) => assert.ok(dot.y > dots[row].y, `${name}: node ${row + 2} stands below`));
  for (const edge of await page.$$(".edge")) {
    const { x, y, width, height } = await box(edge);
    const row = await edge.evaluate((it) => [...it.parentElement.parentElement.children].indexOf(it.parentElement));
    near(x + width, lines[lanes[row]], `${name}: the arrow ends in the lane of row ${row + 1}`);
    const parent = told.timeline.findIndex((step) => step.receipt === told.timeline[row].parents[0]);
    near(x, lines[lanes[parent]] + 3, `${name}: the arrow begins in the lane of row ${parent + 1}`);
    assert.ok(y + height < centre(dots[row])[1] && y > dots[parent].y, `${name}: the arrow lies between`);
  }
  const cards = await boxes(page, ".row summary");
  cards.slice(1).forEach((card, row) => assert.ok(card.y >= cards[row].y + cards[row].height, `${name}: no card over another`));
  assert.ok(cards.every((card) => card.x + card.width <= width && card.width > 140), `${name}: cards fit`);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}: nothing over the edge`);
}

// The picture: what the document says is what is painted.
async function picture(page, name) {
  const png = await page.screenshot({ fullPage: true });
  writeFileSync(`${pictures}/${name}.png`, png);
  const { width, height, colour } = read(png);
  const ground = await paint(await page.$("body"), "backgroundColor");
  assert.deepEqual(colour(2, height - 2), ground, `${name}: the ground`);
  const lanes = new Set();
  for (const dot of await page.$$(".row:not(.outcome) .dot")) {
    const [x, y] = centre(await box(dot));
    const wanted = await paint(dot, "backgroundColor");
    assert.deepEqual(colour(x, y), wanted, `${name}: a node is painted in its colour`);
    assert.notDeepEqual(wanted, ground);
    lanes.add(String(wanted));
  }
  assert.equal(lanes.size, 4, `${name}: three lanes and a denial have colours of their own`);
  for (const edge of await page.$$(".edge")) {
    const { x, y, width } = await box(edge);
    assert.deepEqual(colour(x + width / 2, y + 0.5), await paint(edge, "borderTopColor"), `${name}: an arrow is painted`);
  }
  assert.equal((await page.$$(".bar.begins")).length, told.counts.outcomes, "a bar for each call");
  for (const bar of await page.$$(".bar")) {
    // Beside the line of the lane, and clear of the nodes at its ends.
    const { x, y, height } = await box(bar);
    const begins = await bar.evaluate((it) => it.classList.contains("begins"));
    const at = begins ? y + height - 1 : y + 1;
    assert.notDeepEqual(colour(x + 1, at), ground, `${name}: a call that runs is painted`);
  }
  let painted = 0;
  for (let y = 0; y < height; y += 3) for (let x = 0; x < width; x += 3) painted += String(colour(x, y)) !== String(ground);
  assert.ok(painted > (width * height) / 9 / 50, `${name}: not blank`);
  return ground;
}

// A row is opened with the keyboard and with the mouse, a link opens another one, and print opens all.
async function use(page) {
  const bodies = await page.$$(".body");
  for (const body of bodies) assert.equal(await body.isVisible(), false, "rows are closed at first");
  const rows = await page.$$(".row summary");
  await rows[1].focus();
  await page.keyboard.press("Enter");
  assert.ok(await bodies[1].isVisible(), "Enter opens a row");
  const text = await bodies[1].innerText();
  const step = told.timeline[1];
  for (const part of [step.receipt, step.stream, "4900.00", "ES256", "revocation list", "witness", "claims", "not after", "leaf"]) {
    assert.ok(text.includes(part), `the receipt and its proof have ${part}`);
  }
  assert.ok((await bodies[1].$$(".path li")).length > 0, "the inclusion path");
  assert.match(await bodies[1].$eval("pre.wrap", (it) => it.textContent), /^[\w-]+\.[\w-]+\.[\w-]{86}$/);
  assert.equal(JSON.parse(await bodies[1].$eval("pre", (it) => it.textContent)).log, step.stream);
  await page.keyboard.press("Enter");
  assert.equal(await bodies[1].isVisible(), false, "Enter closes it");
  const child = told.timeline.findIndex((it) => it.parents[0] === step.receipt && it.agent !== step.agent);
  await rows[child].click();
  await bodies[child].$eval("a[href^='#r']", (it) => it.scrollIntoView());
  await (await bodies[child].$("a[href='#r2']")).click();
  await page.waitForTimeout(200);
  assert.ok(await bodies[1].isVisible(), "a link opens the row it leads to");
  await page.emulateMedia({ media: "print" });
  for (const body of bodies) assert.ok(await body.isVisible(), "print shows every receipt");
}

const grounds = {};
for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 900, 400]) {
    const name = `${colorScheme}-${width}`;
    const options = { viewport: { width, height: 900 }, colorScheme, javaScriptEnabled: false };
    await look(incident, options, async (page) => {
      await contents(page);
      await drawing(page, name, width);
      grounds[colorScheme] = await picture(page, name);
    });
  }
}
assert.notDeepEqual(grounds.light, grounds.dark, "dark is another ground");
await look(incident, { viewport: { width: 1280, height: 900 }, javaScriptEnabled: false }, use);

// Names that are markup are text, also where scripts could run.
const hostile = JSON.parse(readFileSync(`${work}/hostile.json`, "utf8"));
await look(pathToFileURL(`${work}/hostile.html`).href, { javaScriptEnabled: true }, async (page) => {
  assert.equal((await page.$$(".row.deny")).length, hostile.counts.denied);
  assert.ok((await page.title()).startsWith("AUTHENTIC-NOT-COMPLETE"));
  assert.equal((await page.$$("script, img, iframe, link, svg, form")).length, 0);
  const text = await page.textContent("main");
  for (const name of ['<script>document.title="script"</script>', '"><img src=x onerror=document.title=1>', "\\u{202e}gnp.exe"]) {
    assert.ok(text.includes(name), name);
  }
});

// Even who could put something into the page reaches nobody: the policy forbids it. Without the policy it would.
let reached = 0;
const server = createServer((_, answer) => { reached++; answer.end(); }).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const reach = (port) => {
  for (const [tag, attribute] of [["img", "src"], ["iframe", "src"], ["script", "src"]]) {
    const element = document.createElement(tag);
    element[attribute] = `http://127.0.0.1:${port}/${tag}`;
    document.body.append(element);
  }
  const sheet = document.createElement("style");
  sheet.textContent = `body { background: url(http://127.0.0.1:${port}/style) }`;
  document.body.append(sheet);
  return fetch(`http://127.0.0.1:${port}/fetch`).then(() => true, () => false);
};
const html = readFileSync(`${work}/incident/incident.html`, "utf8");
const without = html.replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/, "");
assert.ok(without.length < html.length);
writeFileSync(`${work}/without.html`, without);
for (const [url, reaches] of [[pathToFileURL(`${work}/without.html`).href, true], [incident, false]]) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(url);
  const before = reached;
  await page.evaluate(reach, server.address().port);
  await page.waitForTimeout(500);
  assert.equal(reached > before, reaches, `${url} reaches ${reached - before}`);
  await context.close();
}
server.close();
await browser.close();
console.log(`the page of ${told.counts.receipts} receipts holds in ${Object.keys(grounds).join(" and ")}; pictures are in ${pictures}`);
