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
    for (const title of ["Mails", "Accounts", "Latest mails", "Dead letters", "Replies", "Suppressed"])
      assert.ok(await page.getByRole("heading", { name: title, exact: true }).first().isVisible(), title);
    const mails = page.getByRole("table").nth(1);
    assert.ok((await mails.getByRole("cell", { name: "verification_code" }).count()) > 0, "no mail is listed");
    // A wide table scrolls, the page does not.
    const { width } = await page.locator("h1").boundingBox();
    assert.ok(width <= viewport.width, `${name}: ${width} wide`);
    if (PAGE_SCREENSHOTS) await page.screenshot({ path: join(PAGE_SCREENSHOTS, `${name}.png`) });
    // To the history of one mail, and back.
    const sent = mails.getByRole("row").filter({ has: page.getByRole("cell", { name: "sent", exact: true }) });
    // A reply that is forwarded to a person is a mail, too, but not one of Clerk's.
    const link = sent.getByRole("link").first();
    const id = await link.textContent();
    await link.click();
    await page.getByRole("heading", { name: id, exact: true }).waitFor();
    const history = page.getByRole("table").first();
    for (const event of ["made", "sent"])
      assert.ok((await history.getByRole("cell", { name: event }).count()) > 0, event);
    if (PAGE_SCREENSHOTS) await page.screenshot({ path: join(PAGE_SCREENSHOTS, `${name}-history.png`) });
    await page.goBack();
    await page.getByLabel("Address").fill(`marker-${name}@example.com`);
    const back = page.waitForResponse((answer) => answer.request().method() === "GET");
    await page.getByRole("button", { name: "Suppress" }).click();
    assert.equal((await back).status(), 200);
    await page.getByRole("heading", { name: "Latest mails" }).waitFor();
    assert.equal(page.url(), `${RELAY_URL}/admin`);
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
