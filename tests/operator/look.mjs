// Whether each page of a folder can be read in Chromium: light, dark, and both on a phone; and whether those of TABBED
// (their names, by commas) can be used with the keyboard. PAGES is the folder,
// CHROMIUM_BIN the browser. With PICTURES, pictures go into the same folder. Prints what cannot be read, or `ok`.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { untabbable } from "./keyboard.mjs";
import { unreadable } from "./readable.mjs";

const { CHROMIUM_BIN, PAGES, PICTURES, TABBED } = process.env;
if (!CHROMIUM_BIN) {
  console.log("skipped: no Chromium");
  process.exit(0);
}
const files = readdirSync(PAGES).filter((name) => name.endsWith(".html"));
const browser = await chromium.launch({
  executablePath: CHROMIUM_BIN,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
});
const wrong = files.length ? [] : [`no page in ${PAGES}`];
const desktop = { viewport: { width: 1120, height: 760 } };
const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 1.5, isMobile: true };
for (const [way, options] of [
  ["light", { ...desktop, colorScheme: "light" }],
  ["dark", { ...desktop, colorScheme: "dark" }],
  ["phone", { ...phone, colorScheme: "light" }],
  ["phone-dark", { ...phone, colorScheme: "dark" }],
]) {
  const context = await browser.newContext({ ...options, javaScriptEnabled: false });
  const page = await context.newPage();
  for (const file of files) {
    const name = `${file.replace(".html", "")}-${way}`;
    await page.goto(`file://${join(PAGES, file)}`);
    if (PICTURES) await page.screenshot({ path: join(PAGES, `${name}.png`), fullPage: true });
    const tabbed = TABBED.split(",").includes(file.replace(".html", "")) ? await untabbable(page) : [];
    for (const one of [...tabbed, ...(await unreadable(page))]) wrong.push(`${name}: ${one}`);
  }
  await context.close();
}
await browser.close();
console.log(wrong.join("\n") || "ok");
