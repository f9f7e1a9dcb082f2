// Pictures of the operator's page, to be looked at and for the documentation: light, dark, and on a phone. PAGES is a
// folder with pages that `PAGES=... cargo test --test page` wrote; the pictures go there, too. Names on the command
// line: only those pages. CHROMIUM_BIN is the browser.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const { CHROMIUM_BIN, PAGES } = process.env;
const wanted = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: CHROMIUM_BIN ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
});
for (const [way, options] of [
  ["light", { viewport: { width: 1120, height: 760 }, colorScheme: "light" }],
  ["dark", { viewport: { width: 1120, height: 760 }, colorScheme: "dark" }],
  ["phone", { viewport: { width: 390, height: 844 }, colorScheme: "light", deviceScaleFactor: 1.5, isMobile: true }],
]) {
  const context = await browser.newContext({ ...options, javaScriptEnabled: false });
  const page = await context.newPage();
  for (const file of readdirSync(PAGES).filter((name) => name.endsWith(".html"))) {
    const name = file.replace(".html", "");
    if (wanted.length && !wanted.includes(name)) continue;
    await page.goto(`file://${join(PAGES, file)}`);
    await page.screenshot({ path: join(PAGES, `${name}-${way}.png`), fullPage: true });
    const { width } = await page.locator("body").boundingBox();
    console.log(name, way, width);
  }
}
await browser.close();
