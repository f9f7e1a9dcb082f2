// The stand-in's inbox page in a real browser: it shows the mails, and no mail runs or fetches anything.
// CHROMIUM_BIN names the browser. INBOX_SCREENSHOTS names a folder for screenshots.
import assert from "node:assert/strict";
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { API_KEY, GRANT, control, send, startStandIn } from "./stand-in.mjs";

const runnable = (path) => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};
const executablePath = [
  process.env.CHROMIUM_BIN,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
].find((path) => path && runnable(path));
const skip = executablePath ? false : "no Chromium";

let standIn, browser, elsewhere, pictures;
const fetched = [];

before(async () => {
  if (skip) return;
  pictures = process.env.INBOX_SCREENSHOTS ?? mkdtempSync(join(tmpdir(), "inbox-"));
  mkdirSync(pictures, { recursive: true });
  standIn = await startStandIn();
  elsewhere = createServer((request, response) => {
    fetched.push(request.url);
    response.writeHead(200, { "Access-Control-Allow-Origin": "*" }).end();
  });
  elsewhere.listen(0, "127.0.0.1");
  await once(elsewhere, "listening");
  browser = await chromium.launch({
    executablePath,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
});
after(async () => {
  await browser?.close();
  elsewhere?.closeAllConnections();
  elsewhere?.close();
  await standIn?.stop();
  if (pictures && !process.env.INBOX_SCREENSHOTS) rmSync(pictures, { recursive: true });
});

/** A page that records its errors and its requests. */
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1180, height: 800 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  const requests = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("dialog", (dialog) => (wrong.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  page.on("popup", (popup) => wrong.push(`popup: ${popup.url()}`));
  context.on("request", (request) => requests.push(request.url()));
  await page.goto(`${standIn.base}/`);
  const foreign = () =>
    requests.filter((url) => !url.startsWith(`${standIn.base}/`) && !/^(data|about|blob):/.test(url));
  return { context, page, wrong, foreign };
}

const picture = async (page, name) => {
  const path = join(pictures, `${name}.png`);
  await page.screenshot({ path });
  assert.ok(statSync(path).size > 5000);
};

const code = (to, subject = "482915 is your verification code") => ({
  to: [{ email: to }],
  subject,
  body: `<!doctype html><html><head><style>h1 { color: #131316 }</style></head>
    <body style="margin:0;background:#f5f5f7;font-family:Helvetica,Arial,sans-serif">
    <table role="presentation" width="100%"><tr><td align="center" style="padding:32px">
      <table role="presentation" width="480" style="background:#fff;border-radius:12px;padding:32px"><tr><td>
        <p style="color:#6c47ff;font-weight:bold;margin:0 0 24px">Acme</p>
        <h1 style="font-size:22px">Verification code</h1>
        <p style="color:#5e5f6e">Enter this code to sign in:</p>
        <p style="font-size:36px;letter-spacing:6px;font-weight:bold">482915</p>
        <p style="color:#5e5f6e">Or <a href="https://acme.example/verify?token=abc">open this link</a>.
          It ends in 10 minutes.</p>
      </td></tr></table></td></tr></table></body></html>`,
  metadata: { key1: "msg_2f0c" },
  custom_headers: [{ name: "Auto-Submitted", value: "auto-generated" }],
  reply_to: [{ email: "support@acme.example" }],
});

test("an empty inbox says so, and mails appear by themselves, newest first", { skip }, async () => {
  const { context, page, wrong, foreign } = await open();
  await page.getByText("No mail yet").waitFor();
  assert.ok(await page.getByText("relayctl --local trigger").isVisible());
  assert.ok(await page.getByText("none goes out to anybody").isVisible());
  await picture(page, "empty");
  await send(standIn.base, code("ada@example.com"));
  await page.locator("#list .row").first().waitFor();
  await control(standIn.base, "clock", { advance_ms: 60_000 });
  await send(standIn.base, code("grace@example.com", "Reset your password"));
  await control(standIn.base, "clock", { advance_ms: 60_000 });
  await send(
    standIn.base,
    code(
      "edsger.w.dijkstra.with.a.very.long.address@sub.example.com",
      "Sign in to Acme with this link that has a long subject",
    ),
  );
  await page.locator("#list .row").nth(2).waitFor();
  const order = await page.locator("#list .row .to").allTextContents();
  assert.deepEqual(order, [
    "edsger.w.dijkstra.with.a.very.long.address@sub.example.com",
    "grace@example.com",
    "ada@example.com",
  ]);

  await page.locator("#list .row").nth(2).click();
  await page.frameLocator("iframe").getByText("482915", { exact: true }).waitFor();
  await picture(page, "inbox");
  assert.equal(await page.locator("iframe").getAttribute("sandbox"), "");

  await page.getByRole("button", { name: "Text" }).click();
  assert.match(await page.locator("#mail pre").innerText(), /Enter this code to sign in:\s+482915/);
  await page.getByRole("button", { name: "Headers" }).click();
  const headers = await page.locator("#mail").innerText();
  for (const text of [
    "Acme <auth@acme.example>",
    "ada@example.com",
    "Auto-Submitted",
    "auto-generated",
    "support@acme.example",
  ]) {
    assert.ok(headers.includes(text), text);
  }
  await picture(page, "headers");
  await page.getByRole("button", { name: "Metadata" }).click();
  assert.match(await page.locator("#mail").innerText(), /key1\s+msg_2f0c/);
  await picture(page, "metadata");

  await page.locator("#filter").fill("grace");
  assert.deepEqual(await page.locator("#list .row .to").allTextContents(), ["grace@example.com"]);
  assert.deepEqual([wrong, foreign()], [[], []]);
  await context.close();
});

const PHONE = { viewport: { width: 375, height: 740 }, hasTouch: true, isMobile: true };
const widths = (page) => page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);

test("on a phone there is the list, then the mail alone, and a way back; nothing is clipped", { skip }, async () => {
  await send(standIn.base, code("phone@example.com"));
  const { context, page, wrong, foreign } = await open(PHONE);
  await page.locator("#list .row").first().waitFor();
  assert.equal(await page.locator("#mail").isVisible(), false);
  const clipped = async (name) => {
    const [content, screen] = await widths(page);
    assert.equal(content, screen, `${name}: something is wider than the screen`);
    await picture(page, name);
  };
  await clipped("phone");
  await page.locator("#list .row").first().tap();
  await page.locator("iframe").waitFor();
  assert.equal(await page.locator("#list").isVisible(), false);
  // The mail's own layout is 480 pixels wide.
  const mail = page.frames().at(-1);
  await mail.getByText("482915", { exact: true }).waitFor();
  const own = await mail.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(own[0] <= own[1], `the mail is ${own[0]} wide in ${own[1]}`);
  await clipped("phone-mail");
  for (const tab of ["Headers", "Metadata", "Raw", "Mail"]) {
    await page.getByRole("button", { name: tab, exact: true }).tap();
    await clipped(`phone-${tab.toLowerCase()}`);
  }
  await page.getByRole("button", { name: "Reply", exact: true }).tap();
  await clipped("phone-reply");
  await page.getByRole("button", { name: "All mails" }).tap();
  assert.ok(await page.locator("#list").isVisible());
  assert.deepEqual([wrong, foreign()], [[], []]);
  await context.close();
});

test("Reply answers a mail as its reader would, in its thread", { skip }, async () => {
  const sent = await send(standIn.base, code("replies@example.com"));
  const { context, page, wrong, foreign } = await open();
  await page.locator("#list .row", { hasText: "replies@example.com" }).click();
  await page.getByRole("button", { name: "Reply", exact: true }).click();
  await page.getByLabel("replies@example.com answers").fill("It wasn't me.\n\nWas it <b>you</b>?");
  await picture(page, "reply");
  await page.getByRole("button", { name: "Send the reply" }).click();
  await page.getByText("replies@example.com answered").waitFor();
  assert.match(await page.locator(".answers").innerText(), /It wasn't me\.\s+Was it <b>you<\/b>\?/);
  await picture(page, "answered");
  const headers = { Authorization: `Bearer ${API_KEY}` };
  const list = `${standIn.base}/v3/grants/${GRANT}/messages?thread_id=${sent.thread_id}`;
  const { data } = await (await fetch(list, { headers })).json();
  const answer = data.find(({ from }) => from[0].email === "replies@example.com");
  assert.equal(answer.subject, "Re: 482915 is your verification code");
  assert.match(answer.body, /&#60;b&#62;you/);
  assert.deepEqual([wrong, foreign()], [[], []]);
  await context.close();
});

test("a mail's source is shown, and a mail can be deleted, and all of them", { skip }, async () => {
  await send(standIn.base, code("deleted@example.com", "To be deleted"));
  const { context, page, wrong, foreign } = await open();
  await page.locator("#list .row", { hasText: "deleted@example.com" }).click();
  await page.getByRole("button", { name: "Raw" }).click();
  await page.getByText("MIME-Version: 1.0").waitFor();
  const raw = await page.locator("#mail pre").innerText();
  for (const line of [
    "From: Acme <auth@acme.example>",
    "Subject: To be deleted",
    "Auto-Submitted: auto-generated",
    "Content-Type: text/html; charset=utf-8",
    "<h1 style",
  ]) {
    assert.ok(raw.includes(line), line);
  }
  await picture(page, "raw");
  const before = await page.locator("#list .row").count();
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.locator("#list .row", { hasText: "deleted@example.com" }).waitFor({ state: "detached" });
  assert.equal(await page.locator("#list .row").count(), before - 1);
  await page.locator("#filter").fill("nobody");
  await page.getByText("No mail has this").waitFor();
  await page.locator("#filter").fill("");
  await page.getByRole("button", { name: "Delete all" }).click();
  await page.getByText("No mail yet").waitFor();
  assert.deepEqual([wrong, foreign()], [[], []]);
  await context.close();
});

test("times are relative, and go on by themselves", { skip }, async () => {
  await send(standIn.base, code("times@example.com"));
  const { context, page } = await open();
  await page.clock.install();
  await page.goto(standIn.base);
  const time = page.locator("#list .row", { hasText: "times@example.com" }).locator("time");
  await time.waitFor();
  const exact = await time.getAttribute("title");
  assert.match(exact, /\d\d:\d\d/);
  const ahead = Date.parse(await time.getAttribute("datetime"));
  for (const [milliseconds, words] of [
    [0, "just now"],
    [40_000, "40 s ago"],
    [200_000, "3 min ago"],
    [7_300_000, "2 h ago"],
  ]) {
    await page.clock.setFixedTime(ahead + milliseconds);
    await page.clock.runFor(1500);
    await page.waitForFunction((wanted) => document.querySelector("#list time").textContent === wanted, words);
  }
  await context.close();
});

/** The contrast of an element's text to what is behind it, as WCAG 2 has it. */
const contrast = (page, selector) =>
  page.locator(selector).first().evaluate((element) => {
    const channels = (color) => color.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) =>
      [r, g, b]
        .map((value) => value / 255)
        .map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
        .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
    let behind = element;
    while (channels(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
    const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(channels).map(light);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });

for (const colorScheme of ["light", "dark"]) {
  test(`everything can be read in ${colorScheme}`, { skip }, async () => {
    await send(standIn.base, code(`${colorScheme}@example.com`));
    const { context, page, wrong } = await open({ colorScheme });
    await page.locator("iframe").waitFor();
    for (const selector of [
      "h1",
      "#about",
      "#status",
      ".row .to",
      ".row .subject",
      ".row time",
      ".who",
      ".tabs button",
      ".button",
      ".button.main",
      ".links a",
    ]) {
      const found = await contrast(page, selector);
      assert.ok(found >= 4.5, `${selector}: ${found.toFixed(2)}`);
    }
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(ground, colorScheme === "dark" ? "rgb(17, 25, 30)" : "rgb(244, 247, 246)");
    await picture(page, colorScheme);
    assert.deepEqual(wrong, []);
    await context.close();
  });
}

test("a hostile mail neither runs nor fetches nor breaks out", { skip }, async () => {
  const there = `http://127.0.0.1:${elsewhere.address().port}`;
  const mark = "document.title = 'owned'; top.document.title = 'owned'; alert(1)";
  const hostile = `
    <script>${mark}</script><script src="${there}/script"></script><ScRiPt>${mark}</sCrIpT>
    <img src="${there}/image" onerror="${mark}"><img srcset="${there}/srcset 1x"><img src=x onerror="${mark}">
    <picture><source srcset="${there}/source">
      <img src="data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==" onload="${mark}"></picture>
    <svg onload="${mark}"><image href="${there}/svg"/><script>${mark}</script></svg>
    <math><mtext><img src="${there}/math"></mtext></math>
    <form action="${there}/form" method="get"><input name="a" autofocus onfocus="${mark}">
      <button id="go" type="submit">Go</button></form>
    <iframe src="${there}/iframe"></iframe><iframe srcdoc="<script>${mark}</script>"></iframe>
    <object data="${there}/object"></object><embed src="${there}/embed">
    <link rel="stylesheet" href="${there}/css"><link rel="prefetch" href="${there}/prefetch">
    <link rel="dns-prefetch" href="//evil.example">
    <meta http-equiv="refresh" content="0;url=${there}/refresh"><base href="${there}/">
    <style>@import url("${there}/import"); body { background: url(${there}/background) }
      @font-face { font-family: x; src: url(${there}/font) }</style>
    <style>p { background: u\\72l(${there}/escaped); background: image-set("${there}/set" 1x) }</style>
    <p style="background:url(${there}/inline)" onmouseover="${mark}">Readable <b>hostile</b> text</p>
    <video src="${there}/video" poster="${there}/poster" autoplay></video><audio src="${there}/audio" autoplay></audio>
    <a href="javascript:${mark}">js</a><a href="${there}/link" ping="${there}/ping" target="_top">link</a>
    <table background="${there}/table"><tr><td>cell</td></tr></table><body background="${there}/body" onload="${mark}">
    </iframe></article></main><h1 id="broken-out">out</h1>`;
  const tag = `<img src=x onerror="${mark}">`;
  await send(standIn.base, {
    to: [{ email: "victim@example.com", name: tag }],
    subject: `${tag}</h2><script>${mark}</script>`,
    body: hostile,
    metadata: { key1: tag, [`<b>`]: "</td>" },
    custom_headers: [{ name: "X-Evil", value: tag }],
    from: [{ email: "auth@acme.example", name: tag }],
  });
  const { context, page, wrong, foreign } = await open();
  await page.frameLocator("iframe").getByText("Readable").waitFor();
  await page.frameLocator("iframe").getByText("Readable").hover();
  await page.frameLocator("iframe").getByText("Go", { exact: true }).click();
  await picture(page, "hostile");
  for (const tab of ["Text", "Headers", "Metadata", "Raw", "Mail"]) {
    await page.getByRole("button", { name: tab, exact: true }).click();
    assert.equal(await page.locator("main img, main script, #broken-out, main b").count(), 0, tab);
  }
  await page.waitForTimeout(700);
  assert.equal(await page.title(), "Inbox of the pretend Nylas");
  assert.ok((await page.locator("#mail h2").innerText()).includes(tag));
  assert.deepEqual(fetched, []);
  assert.deepEqual([wrong, foreign()], [[], []]);
  await context.close();
});

test("the frame holds even if its HTML was not sanitised", { skip }, async () => {
  const there = `http://127.0.0.1:${elsewhere.address().port}`;
  const { context, page } = await open();
  await page.locator("iframe").waitFor();
  await page.evaluate(
    (raw) => {
      document.querySelector("iframe").srcdoc = raw;
    },
    `<p>raw</p><script>top.document.title = 'owned'</script><img src="${there}/raw">
    <link rel="stylesheet" href="${there}/raw.css"><style>@import "${there}/raw-import"</style>
    <iframe src="${there}/raw-frame"></iframe>`,
  );
  await page.frameLocator("iframe").getByText("raw").waitFor();
  await page.waitForTimeout(500);
  assert.equal(await page.title(), "Inbox of the pretend Nylas");
  assert.deepEqual(fetched, []);
  await context.close();
});

test("every answer says what it is and may not be framed elsewhere", { skip: false }, async () => {
  const own = standIn ?? (await startStandIn());
  const policy = (await fetch(`${own.base}/`)).headers.get("content-security-policy");
  for (const part of [
    "default-src 'none'",
    "script-src 'self'",
    "frame-ancestors 'none'",
    "form-action 'none'",
    "base-uri 'none'",
  ]) {
    assert.ok(policy.includes(part), part);
  }
  for (const path of ["/", "/inbox.js", "/inbox.css", "/inbox.json", "/answers.json", "/inbox/none/raw"]) {
    const response = await fetch(own.base + path);
    assert.equal(response.headers.get("x-content-type-options"), "nosniff", path);
    assert.equal(response.headers.get("cache-control"), "no-store", path);
  }
  if (!standIn) await own.stop();
});
