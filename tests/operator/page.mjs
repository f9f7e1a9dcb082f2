// The operator's page in a real browser, with scripts switched off: it is readable, on a phone, too, its form works,
// and it loads nothing from elsewhere. The end-to-end tests call this. RELAY_URL is the relay, ADMIN_TOKEN its token,
// CHROMIUM_BIN the browser, PAGE_SCREENSHOTS a folder for screenshots. Prints what went wrong, or `ok`.
import assert from "node:assert/strict";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { unreadable } from "./readable.mjs";

const { ADMIN_TOKEN, CHROMIUM_BIN, PAGE_SCREENSHOTS, RELAY_URL } = process.env;
if (!CHROMIUM_BIN) {
  console.log("skipped: no Chromium");
  process.exit(0);
}
// What the page is like in other states: tests/page.rs.
const readable = async (page, name) => {
  for (const colorScheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await unreadable(page), [], `${name}, ${colorScheme}`);
  }
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
    await readable(page, `${name}: overview`);
    if (PAGE_SCREENSHOTS) await page.screenshot({ path: join(PAGE_SCREENSHOTS, `${name}.png`), fullPage: true });
    // Through a filter to the history of one mail.
    await page.getByRole("link", { name: "All mails" }).click();
    const states = page.getByRole("navigation", { name: "Filter by state" });
    await states.waitFor();
    await readable(page, `${name}: mails`);
    await states.getByRole("link", { name: /^(sent|delivered) \d/ }).first().click();
    const link = page.getByRole("row").filter({ hasText: /sent|delivered/ }).getByRole("link").first();
    const id = await link.getAttribute("title");
    await link.click();
    await page.getByRole("heading", { name: id, exact: true }).waitFor();
    for (const event of ["made by Clerk", "sent"])
      assert.ok((await page.getByRole("listitem").filter({ hasText: event }).count()) > 0, event);
    await readable(page, `${name}: a mail`);
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
