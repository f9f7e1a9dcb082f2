// The inbox page: polls for the mails and shows the chosen one. Everything in a mail is inserted as text, except its
// HTML. That loses what could run or fetch, and is then shown in a frame that can do neither.
"use strict";

const EVERY_MS = 1000;
const byId = (id) => document.getElementById(id);
let mails = [];
let chosen = null;
let shown = null;
let view = "Mail";
let drawn = null;

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const TAG = /<\/?[a-z](?:[^"'>]|"[^"]*"|'[^']*')*>/gi;
const HANDLER = /([\s"'/])on[a-z]+(?=\s*=)/gi;

/**
 * Parses HTML into a document that runs nothing. Handlers and `base` are removed before that, because the page's policy
 * would report them.
 */
function parse(html) {
  const quiet = html.replace(TAG, (tag) => (/^<\/?base\b/i.test(tag) ? "" : tag.replace(HANDLER, "$1data-gone")));
  return new DOMParser().parseFromString(quiet, "text/html");
}

/** Removes what would run, fetch or send. The frame's sandbox forbids it anyway. */
function harmless(html) {
  const parsed = parse(html);
  const unwanted =
    "script,noscript,iframe,frame,frameset,object,embed,applet,link,meta,base,audio,video,source,track,portal," +
    "template,svg,math,dialog";
  parsed.querySelectorAll(unwanted).forEach((node) => node.remove());
  for (const style of parsed.querySelectorAll("style")) {
    if (SUSPICIOUS.test(style.textContent)) style.remove();
  }
  for (const node of parsed.querySelectorAll("*")) {
    for (const { name, value } of [...node.attributes]) {
      if (name === "style") node.setAttribute(name, withoutAddresses(value));
      else if (name === "src" && value.trim().toLowerCase().startsWith("data:image/")) continue;
      else if (name.startsWith("on") || name.includes(":") || FETCHING.has(name)) node.removeAttribute(name);
    }
    if (node.localName === "img" && !node.hasAttribute("src")) {
      node.replaceWith(parsed.createTextNode(`[image${node.alt ? `: ${node.alt}` : ""}]`));
    }
  }
  for (const form of parsed.querySelectorAll("form")) form.replaceWith(...form.childNodes);
  return `<!doctype html>${parsed.documentElement.outerHTML}`;
}

const FETCHING = new Set([
  "src",
  "srcset",
  "href",
  "background",
  "poster",
  "ping",
  "action",
  "formaction",
  "data",
  "manifest",
  "autofocus",
  "imagesrcset",
  "longdesc",
  "lowsrc",
  "dynsrc",
  "target",
  "popovertarget",
]);

const SUSPICIOUS = /url|image|import|src|expression|\\/i;

/** The style without the declarations that could fetch something. */
function withoutAddresses(css) {
  return css
    .split(";")
    .filter((declaration) => !SUSPICIOUS.test(declaration))
    .join(";");
}

/** The links of a mail, which a reader may open on purpose. */
function links(mail) {
  const found = mail.is_plaintext
    ? (mail.body.match(/https?:\/\/[^\s<>"']+/g) ?? [])
    : [...parse(mail.body).querySelectorAll("a[href]")].map((a) => a.getAttribute("href").trim());
  return [...new Set(found)].filter((address) => /^https?:\/\//i.test(address));
}

function plainText(mail) {
  if (mail.is_plaintext) return mail.body;
  const { body } = parse(mail.body);
  body.querySelectorAll("script,style,template").forEach((node) => node.remove());
  body.querySelectorAll("br,p,div,tr,li,h1,h2,h3,h4,table").forEach((node) => node.append("\n"));
  return body.textContent
    .replace(/[ \t]+/g, " ")
    .replace(/\s*\n\s*\n\s*/g, "\n\n")
    .trim();
}

const when = (mail) =>
  new Date(mail.at_ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const sender = (mail) => (mail.from_name ? `${mail.from_name} <${mail.from_email}>` : mail.from_email);

function drawList() {
  const wanted = byId("filter").value.trim().toLowerCase();
  const matching = mails.filter((mail) =>
    [mail.to, mail.subject, mail.from_email].some((text) => text.toLowerCase().includes(wanted)),
  );
  byId("status").textContent = wanted
    ? `${matching.length} of ${mails.length}`
    : `${mails.length} ${mails.length === 1 ? "mail" : "mails"}`;
  byId("empty").hidden = mails.length > 0;
  byId("list").replaceChildren(
    ...matching.map((mail) => {
      const row = element(
        "button",
        { type: "button", className: "row" },
        element("span", { className: "to", textContent: mail.to }),
        element("time", { textContent: when(mail), dateTime: new Date(mail.at_ms).toISOString() }),
        element("span", { className: "subject", textContent: mail.subject || "(no subject)" }),
      );
      row.dataset.id = mail.id;
      row.setAttribute("aria-current", String(mail.id === (chosen ?? mails[0]?.id)));
      row.addEventListener("click", () => {
        chosen = mail.id;
        draw();
        // On a phone the mail is below the list, elsewhere beside it.
        if (matchMedia("(max-width: 720px)").matches) byId("mail").scrollIntoView({ block: "start" });
      });
      return row;
    }),
  );
}

function pairs(entries) {
  if (entries.length === 0) return element("p", { className: "none", textContent: "None." });
  const rows = entries.map(([name, value]) =>
    element("tr", {}, element("th", { scope: "row", textContent: name }), element("td", { textContent: value })),
  );
  return element("table", {}, element("tbody", {}, ...rows));
}

function content(mail) {
  switch (view) {
    case "Text":
      return [element("pre", { textContent: plainText(mail) })];
    case "Headers":
      return [
        pairs([
          ["From", sender(mail)],
          ["To", mail.request.to.map((entry) => entry.email).join(", ")],
          ["Subject", mail.subject],
          ...(mail.reply_to ? [["Reply-To", mail.reply_to]] : []),
          ...mail.custom_headers,
        ]),
      ];
    case "Metadata":
      return [
        pairs(Object.entries(mail.metadata)),
        element("h3", { textContent: "Sent with" }),
        pairs([
          ["Idempotency-Key", mail.idempotency_key ?? "none"],
          ["Account", mail.grant_id],
          ["Message", mail.id],
          ["Thread", mail.thread_id],
          ["Taken", new Date(mail.at_ms).toISOString()],
        ]),
      ];
    default: {
      const frame = element("iframe", { title: "The mail as its reader sees it" });
      frame.setAttribute("sandbox", "");
      frame.srcdoc = harmless(mail.body);
      const anchors = links(mail).map((address) =>
        element("a", { href: address, target: "_blank", rel: "noopener noreferrer", textContent: address }),
      );
      const body = mail.is_plaintext ? element("pre", { textContent: mail.body }) : frame;
      return anchors.length === 0
        ? [body]
        : [body, element("div", { className: "links" }, element("h3", { textContent: "Links" }), ...anchors)];
    }
  }
}

function drawMail() {
  const mail = mails.find(({ id }) => id === chosen) ?? mails[0];
  byId("mail").hidden = !mail;
  const now = mail && `${mail.id} ${view}`;
  if (!mail || shown === now) return;
  shown = now;
  const tabs = ["Mail", "Text", "Headers", "Metadata"].map((name) => {
    const tab = element("button", { type: "button", textContent: name });
    tab.setAttribute("aria-pressed", String(name === view));
    tab.addEventListener("click", () => {
      view = name;
      drawMail();
    });
    return tab;
  });
  byId("mail").replaceChildren(
    element("h2", { textContent: mail.subject || "(no subject)" }),
    element(
      "p",
      { className: "who" },
      element("strong", { textContent: sender(mail) }),
      ` to ${mail.to} at ${when(mail)}`,
    ),
    element("div", { className: "tabs" }, ...tabs),
    ...content(mail),
  );
}

function draw() {
  drawList();
  drawMail();
}

async function refresh() {
  if (!document.hidden) {
    try {
      const text = await (await fetch("/inbox.json", { signal: AbortSignal.timeout(5000) })).text();
      const fresh = JSON.parse(text);
      const state = fresh.map(({ id }) => id).join();
      document.body.classList.remove("away");
      if (state !== drawn || byId("status").textContent.startsWith("No ")) {
        [mails, drawn] = [fresh, state];
        draw();
      }
    } catch {
      document.body.classList.add("away");
      byId("status").textContent = "No answer from the stand-in";
    }
  }
  setTimeout(refresh, EVERY_MS);
}

byId("filter").addEventListener("input", drawList);
refresh();
