// The operator's page in a real browser, with scripts switched off: it is readable, on a phone, too, its form works,
// and it loads nothing from elsewhere. The end-to-end tests call this. RELAY_URL is the relay, ADMIN_TOKEN its token,
// CHROMIUM_BIN the browser, PAGE_SCREENSHOTS a folder for screenshots. Prints what went wrong, or `ok`.
import assert from "node:assert/strict";
import { join } from "node:path";
import { chromium } from "playwright-core";

const { ADMIN_TOKEN, CHROMIUM_BIN, PAGE_SCREENSHOTS, RELAY_URL } = process.env;
if (!CHROMIUM_BIN) {
  console.log("skipped: no Chromium");
  process.exit(0);
}
// The least contrast of a text with what is behind it, and which text; WCAG asks for 4.5.
const CONTRAST = () => {
  const light = (colour) => {
    const [red, green, blue] = colour
      .match(/\d+/g)
      .slice(0, 3)
      .map((value) => value / 255)
      .map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    if (!colour.endsWith(", 0)") || !element.parentElement) return colour;
    return behind(element.parentElement);
  };
  const texts = [...document.querySelectorAll("a,span,td,th,small,label,button,dt,dd,figcaption,p,b")];
  const contrasts = texts
    .filter((element) => element.textContent.trim())
    .map((element) => {
      const [one, other] = [light(getComputedStyle(element).color), light(behind(element))].sort();
      return [(other + 0.05) / (one + 0.05), element.textContent.slice(0, 30)];
    });
  return contrasts.sort(([one], [other]) => one - other)[0];
};
const browser = await chromium.launch({
  executablePath: CHROMIUM_BIN,
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
  ],
});
try {
  for (const [name, viewport] of [
    ["desktop", { width: 1180, height: 800 }],
    ["phone", { width: 390, height: 844 }],
  ]) {
    const context = await browser.newContext({
      viewport,
      javaScriptEnabled: false,
      httpCredentials: { username: "operator", password: ADMIN_TOKEN },
    });
    const page = await context.newPage();
    const wrong = [];
    const foreign = [];
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && wrong.push(message.text()));
    context.on(
      "request",
      (request) => request.url().split("?")[0] === `${RELAY_URL}/admin` || foreign.push(request.url()),
    );
    const response = await page.goto(`${RELAY_URL}/admin`);
    assert.equal(response.status(), 200);
    for (const title of ["The last 24 hours", "Accounts", "Latest mails"])
      assert.ok(await page.getByRole("heading", { name: title, exact: true }).first().isVisible(), title);
    assert.ok(await page.getByRole("region", { name: "What needs attention" }).isVisible(), "no strip");
    assert.equal(await page.getByRole("img").count(), 2, "two pictures");
    // On a phone, too, a table is one to who hears it.
    const mails = page.getByRole("table", { name: "Mails, the newest first" });
    assert.ok((await mails.getByRole("cell", { name: "verification_code" }).count()) > 0, "no mail is listed");
    // Nothing is wider than the window.
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= viewport.width, `${name}: ${width} wide`);
    for (const colorScheme of ["dark", "light"]) {
      await page.emulateMedia({ colorScheme });
      const [contrast, text] = await page.evaluate(CONTRAST);
      assert.ok(contrast >= 4.5, `${colorScheme}: ${text}: ${contrast}`);
    }
    if (PAGE_SCREENSHOTS) await page.screenshot({ path: join(PAGE_SCREENSHOTS, `${name}.png`), fullPage: true });
    // Through a filter to the history of one mail.
    await page.getByRole("link", { name: "All mails" }).click();
    const states = page.getByRole("navigation", { name: "Filter by state" });
    await states.getByRole("link", { name: /^(sent|delivered) \d/ }).first().click();
    const link = page.getByRole("row").filter({ hasText: /sent|delivered/ }).getByRole("link").first();
    const id = await link.getAttribute("title");
    await link.click();
    await page.getByRole("heading", { name: id, exact: true }).waitFor();
    for (const event of ["made by Clerk", "sent"])
      assert.ok((await page.getByRole("listitem").filter({ hasText: event }).count()) > 0, event);
    if (PAGE_SCREENSHOTS) await page.screenshot({ path: join(PAGE_SCREENSHOTS, `${name}-history.png`) });
    await page.getByLabel("Look up").fill(id);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: id, exact: true }).waitFor();
    await page.getByRole("link", { name: "Overview" }).click();
    // A form answers with a sentence.
    await page.getByLabel("Address").fill(`marker-${name}@example.com`);
    await page.getByRole("button", { name: "Suppress" }).click();
    await page.getByRole("status").filter({ hasText: "gets no more mails" }).waitFor();
    assert.deepEqual(foreign, []);
    assert.deepEqual(wrong, []);
    await context.close();
  }
  console.log("ok");
} catch (error) {
  console.log(String(error));
} finally {
  await browser.close();
}
