// Opens the dashboard of a running host in a browser and does with it what operators do. Ends with 0 when all of it
// worked.
//
//   node check.mjs ADDRESS TOKEN PLUGIN SAME_IMPORTS.wasm MORE_IMPORTS.wasm
//
// PLUGIN has messages to handle at a rate for a minute or so. The first component has no imports that the running one
// lacks, the second some that the first one lacks. Pictures of what was seen are left in target/dashboard/seen.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { api, launch, PATIENCE_MS, until, wire } from "./world.mjs";

const [address, token, plugin, sameImports, moreImports] = process.argv.slice(2);
const seen = fileURLToPath(new URL("../../target/dashboard/seen/", import.meta.url));
const ask = api(address, token);
const now = () => ask(`plugins/${plugin}`);

const line = await wire(address);
const base = `http://${line.address}/`;
const browser = await launch();
const page = await open({ colorScheme: "dark", viewport: { width: 1280, height: 900 } });
const complaints = [];

/** A page that reports what its console says and what breaks in it. */
async function open(options) {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    // That a request was refused, or the wire cut, is what the test itself wants at times; the browser notes each.
    const isExpected = message.text().startsWith("Failed to load resource");
    if (["error", "warning"].includes(message.type()) && !isExpected) complaints.push(message.text());
  });
  return page;
}

const dialog = page.locator("dialog");
const button = (name, within = page) => within.getByRole("button", { name, exact: true });
const field = (key) => page.locator(`#budget input[name=${key}]`);

const steps = {
  async "a page without data asks for the token, and takes the right one only"() {
    const response = await page.goto(base);
    assert.equal(response.status(), 401);
    await dialog.getByLabel("Token").fill("not the right one");
    await page.keyboard.press("Enter");
    await dialog.getByText("is not the right one").waitFor();
    await dialog.getByLabel("Token").fill(token);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: plugin }).waitFor();
    await dialog.waitFor({ state: "detached" });
  },

  async "the overview shows the plugin at work, and the keyboard leads to its page"() {
    const card = page.locator(".card").filter({ has: page.getByRole("heading", { name: plugin }) });
    await card.locator(".state[data-state=running]").waitFor();
    const figures = () => card.innerText();
    const before = await figures();
    await until("the figures move", async () => (await figures()) !== before);
    await page.screenshot({ path: `${seen}overview.png`, fullPage: true });
    const link = card.getByRole("heading").getByRole("link");
    await until("the Tab key reaches the plugin", async () => {
      await page.keyboard.press("Tab");
      return link.evaluate((element) => element === document.activeElement);
    });
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: plugin }).waitFor();
    assert.match(page.url(), new RegExp(`#/plugins/${plugin}$`));
  },

  async "updates leave alone what is being typed"() {
    const wait = await page.locator("#flow").innerText();
    await field("concurrency").fill("7");
    await until("the page is updated", async () => (await page.locator("#flow").innerText()) !== wait);
    assert.equal(await field("concurrency").inputValue(), "7");
    assert.equal(await field("concurrency").evaluate((input) => input === document.activeElement), true);
    await button("Discard", page.locator("#budget")).click();
    await until("what was typed is given up", async () => (await field("concurrency").inputValue()) !== "7");
  },

  async "a budget that cannot be is refused beside its field"() {
    const { budget } = await now();
    await field("concurrency").fill("0");
    await page.keyboard.press("Enter");
    await page.locator("#budget").getByText("It has to be from").waitFor();
    assert.equal(await field("concurrency").getAttribute("aria-invalid"), "true");
    assert.deepEqual((await now()).budget, budget);
    await button("Discard", page.locator("#budget")).click();
  },

  async "a budget that is changed takes effect, and who did it is noted"() {
    await field("concurrency").fill("3");
    await field("rate").fill("30/s");
    await page.keyboard.press("Enter");
    await until("the host has it", async () => {
      const { budget } = await now();
      return budget.concurrency === 3 && budget.rate === "30/s";
    });
    await page
      .locator("#changes")
      .getByText(/concurrency .*3/)
      .waitFor();
    assert.match((await now()).changes[0].by, /^dashboard/);
    await until("the page follows", async () => /of 30\/s/.test(await page.locator("#flow").innerText()));
  },

  async "a rate is lifted only after asking, and Escape leaves it as it is"() {
    await field("rate").fill("unlimited");
    await page.keyboard.press("Enter");
    await dialog.getByText("Without a rate").waitFor();
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    assert.equal((await now()).budget.rate, "30/s");
    await button("Discard", page.locator("#budget")).click();
  },

  async "a paused plugin resumes"() {
    await button("Pause…").click();
    await page.screenshot({ path: `${seen}pause.png` });
    await button("Pause", dialog).click();
    await until("it is paused", async () => (await now()).state === "paused");
    await page.locator("header .state[data-state=paused]").waitFor();
    await button("Resume").click();
    await until("it runs", async () => (await now()).state === "running");
    await page.locator("header .state[data-state=running]").waitFor();
  },

  async "a canary is begun, seen beside the old version, and rolled back"() {
    const { digest } = await now();
    await choose(sameImports, "Canary");
    await page.getByLabel("Share of the lanes in percent").fill("50");
    await button("Swap…").click();
    await button(/^Start the canary/, dialog).click();
    const trial = await until("a trial runs", async () => (await now()).trial);
    assert.deepEqual([trial.mode, trial.percent, trial.old.digest], ["canary", 50, digest]);
    const section = page.getByRole("region", { name: "Trial" });
    await section.getByText("Canary on 50").waitFor();
    await until("both are given messages", async () => {
      const [old, fresh] = await section
        .getByRole("row", { name: /^Messages/ })
        .getByRole("cell")
        .allInnerTexts();
      return old !== "0" && fresh !== "0";
    });
    await page.screenshot({ path: `${seen}canary.png`, fullPage: true });
    await button("Roll back…", section).click();
    await button("Roll back", dialog).click();
    await until("it is rolled back", async () => (await now()).trial === null);
    assert.equal((await now()).digest, digest);
    await section.waitFor({ state: "hidden" });
  },

  async "what is no component is refused, and the host's reason shown"() {
    await choose(fileURLToPath(import.meta.url), "At once");
    await button("Swap…").click();
    await button("Swap", dialog).click();
    await until("the reason is shown", async () => (await dialog.getByRole("alert").innerText()) !== "");
    await button("Cancel", dialog).click();
    await page.locator("#version").getByText("was refused").waitFor();
  },

  async "a version that wants more comes in after an explicit yes"() {
    const { digest } = await now();
    await choose(sameImports, "At once");
    await button("Swap…").click();
    await button("Swap", dialog).click();
    await until("the other version runs", async () => (await now()).digest !== digest);
    await dialog.waitFor({ state: "detached" });
    const { digest: second } = await now();
    await choose(moreImports, "At once");
    await button("Swap…").click();
    await button("Swap", dialog).click();
    await button("Accept the new imports", dialog).click();
    await until("it runs", async () => (await now()).digest !== second);
    await dialog.waitFor({ state: "detached" });
  },

  async "a host that is away is said to be, and the page goes on when it is back"() {
    line.cut();
    await page.locator("#banner").getByText("The figures below are").waitFor();
    await page.screenshot({ path: `${seen}away.png` });
    line.mend();
    await button("Try now").click();
    await page.locator("#line[data-fresh]").waitFor();
    await page.locator("#banner").waitFor({ state: "hidden" });
  },

  async "nothing is wider than a phone, in either theme"() {
    for (const colorScheme of ["light", "dark"]) {
      const phone = await open({ colorScheme, viewport: { width: 390, height: 844 } });
      await phone.addInitScript((text) => sessionStorage.setItem("gristmill-token", text), token);
      for (const [name, place] of [
        ["overview", "#/"],
        ["plugin", `#/plugins/${plugin}`],
      ]) {
        await phone.goto(base + place);
        await phone.locator(".station").first().waitFor();
        const [width, room] = await phone.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(width <= room, `the ${name} is ${width} pixels wide, ${room} are there`);
        await phone.screenshot({ path: `${seen}${name}-phone-${colorScheme}.png`, fullPage: true });
      }
      await phone.context().close();
    }
  },

  "the console has nothing to say"() {
    assert.deepEqual(complaints, []);
  },
};

/** Chooses a component, and how it comes in. */
async function choose(file, way) {
  await page.locator("#version input[type=file]").setInputFiles(file);
  await page
    .locator("#version")
    .getByRole("radio", { name: new RegExp(`^${way}`) })
    .check();
}

mkdirSync(seen, { recursive: true });
let failed = null;
for (const [what, step] of Object.entries(steps)) {
  try {
    await step();
    console.log(`done: ${what}`);
  } catch (error) {
    failed = `FAILED: ${what}\n${error.stack}\nthe console said: ${complaints.join("\n")}`;
    console.log(failed);
    await page.screenshot({ path: `${seen}failed.png`, fullPage: true });
    break;
  }
}
await browser.close();
line.close();
process.exitCode = failed ? 1 : 0;
