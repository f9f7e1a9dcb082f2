// The inbox page: polls for the mails and shows the chosen one. Everything in a mail is inserted as text, except its
// HTML. That loses what could run or fetch, and is then shown in a frame that can do neither.
"use strict";

const EVERY_MS = 1000;
const byId = (id) => document.getElementById(id);
let mails = [];
let answers = [];
const drafts = new Map();
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

/** What a phone's mail program does, too: wide tables and images shrink to the screen. */
const NARROW =
  "@media (max-width: 640px) { table, td, img { max-width: 100% !important } " +
  "table[width] { width: 100% !important } img { height: auto !important } " +
  "body { overflow-wrap: anywhere } td { padding-left: min(24px, 4vw) !important; padding-right: min(24px, 4vw) " +
  "!important } }";

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
  parsed.head.append(Object.assign(parsed.createElement("style"), { textContent: NARROW }));
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

/** How long ago, in words. */
function ago(at) {
  const seconds = Math.round((Date.now() - at) / 1000);
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(at).toLocaleDateString([], { day: "numeric", month: "short" });
}
/** A time in words, kept right by `tick`; the exact one is its tooltip. */
function time(at) {
  const date = new Date(at);
  const made = element("time", { textContent: ago(at), dateTime: date.toISOString(), title: date.toLocaleString() });
  made.dataset.at = String(at);
  return made;
}
function tick() {
  for (const made of document.querySelectorAll("time[data-at]")) {
    const words = ago(Number(made.dataset.at));
    if (made.textContent !== words) made.textContent = words;
  }
}
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
  byId("nothing").hidden = mails.length === 0 || matching.length > 0;
  byId("clear").hidden = mails.length === 0;
  byId("list").replaceChildren(
    ...matching.map((mail) => {
      const row = element(
        "button",
        { type: "button", className: "row" },
        element("span", { className: "to", textContent: mail.to }),
        time(mail.at_ms),
        element("span", { className: "subject", textContent: mail.subject || "(no subject)" }),
      );
      row.dataset.id = mail.id;
      row.setAttribute("aria-current", String(mail.id === (chosen ?? mails[0]?.id)));
      row.addEventListener("click", () => {
        chosen = mail.id;
        // On a phone the mail stands in place of the list, elsewhere beside it.
        document.body.classList.add("reading");
        draw();
        scrollTo(0, 0);
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
    case "Raw": {
      const source = element("pre", { textContent: "Loading…" });
      fetch(`/inbox/${encodeURIComponent(mail.id)}/raw`)
        .then((response) => response.text())
        .then((text) => (source.textContent = text))
        .catch(() => (source.textContent = "No answer from the stand-in."));
      return [source];
    }
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

/** A request to the stand-in that changes something. */
async function change(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  if (!response.ok) throw new Error(`${response.status}`);
}

function button(name, className, act) {
  const made = element("button", { type: "button", className: `button ${className}`, textContent: name });
  made.addEventListener("click", () => act(made));
  return made;
}

const html = (text) =>
  text
    .split(/\n{2,}/)
    .map((part) => `<p>${part.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`).replaceAll("\n", "<br>")}</p>`)
    .join("");

/** The field for an answer, as its reader's mail program has it. */
function replyForm(mail) {
  const field = element("textarea", { id: "reply", value: drafts.get(mail.id) ?? "" });
  field.addEventListener("input", () => drafts.set(mail.id, field.value));
  const said = element("p", { className: "none", role: "status" });
  const send = button("Send the reply", "main", async (pressed) => {
    if (!field.value.trim()) return field.focus();
    pressed.disabled = true;
    try {
      await change("POST", "/control/inbound", {
        grant_id: mail.grant_id,
        from: mail.to,
        subject: /^re:/i.test(mail.subject) ? mail.subject : `Re: ${mail.subject}`,
        body: html(field.value),
        in_reply_to_message_id: mail.id,
      });
      drafts.delete(mail.id);
      await refresh();
    } catch {
      pressed.disabled = false;
      said.textContent = "The stand-in did not take it.";
    }
  });
  const cancel = button("Cancel", "", () => {
    drafts.delete(mail.id);
    redrawMail();
  });
  return element(
    "div",
    { className: "reply" },
    element("label", { htmlFor: "reply", textContent: `${mail.to} answers ${mail.from_email}:` }),
    field,
    element("div", { className: "actions" }, send, cancel, said),
  );
}

/** What the reader answered. */
function given(mail) {
  const own = answers.filter((answer) => answer.in_reply_to === mail.id);
  if (own.length === 0) return [];
  const rows = own.map((answer) =>
    element(
      "li",
      {},
      element("b", { textContent: `${answer.from} answered` }),
      time(answer.at_ms),
      `\n${plainText({ body: answer.body })}`,
    ),
  );
  return [element("ul", { className: "answers", ariaLabel: "Answers" }, ...rows)];
}

function redrawMail() {
  shown = null;
  drawMail();
}

function drawMail() {
  const mail = mails.find(({ id }) => id === chosen) ?? mails[0];
  byId("mail").hidden = !mail;
  if (!mail) document.body.classList.remove("reading");
  const now = mail && `${mail.id} ${view} ${answers.length}`;
  if (!mail || shown === now) return;
  shown = now;
  const tabs = ["Mail", "Text", "Headers", "Metadata", "Raw"].map((name) => {
    const tab = element("button", { type: "button", textContent: name });
    tab.setAttribute("aria-pressed", String(name === view));
    tab.addEventListener("click", () => {
      view = name;
      drawMail();
    });
    return tab;
  });
  const back = button("← All mails", "back", () => document.body.classList.remove("reading"));
  const reply = button("Reply", "main", () => {
    if (!drafts.has(mail.id)) drafts.set(mail.id, "");
    redrawMail();
    byId("reply").focus();
  });
  const remove = button("Delete", "", async () => {
    await change("DELETE", `/inbox/${encodeURIComponent(mail.id)}`).catch(() => {});
    chosen = null;
    document.body.classList.remove("reading");
    await refresh();
  });
  byId("mail").replaceChildren(
    element("div", { className: "actions back" }, back),
    element("h2", { textContent: mail.subject || "(no subject)" }),
    element(
      "p",
      { className: "who" },
      element("strong", { textContent: sender(mail) }),
      ` to ${mail.to}, `,
      time(mail.at_ms),
    ),
    ...(drafts.has(mail.id) ? [replyForm(mail)] : [element("div", { className: "actions" }, reply, remove)]),
    ...given(mail),
    element("div", { className: "tabs" }, ...tabs),
    ...content(mail),
  );
}

function draw() {
  drawList();
  drawMail();
}

async function look() {
  const json = async (path) => (await fetch(path, { signal: AbortSignal.timeout(5000) })).json();
  const [fresh, given] = await Promise.all([json("/inbox.json"), json("/answers.json")]);
  const state = [...fresh, {}, ...given].map(({ id }) => id).join();
  const was = document.body.classList.contains("away");
  document.body.classList.remove("away");
  if (state !== drawn || was) {
    [mails, answers, drawn] = [fresh, given, state];
    draw();
  }
}

async function refresh() {
  try {
    await look();
  } catch {
    document.body.classList.add("away");
    byId("status").textContent = "No answer from the stand-in";
  }
}

async function poll() {
  if (!document.hidden) await refresh();
  tick();
  setTimeout(poll, EVERY_MS);
}

byId("clear").classList.add("button");
byId("clear").addEventListener("click", async () => {
  await change("DELETE", "/inbox").catch(() => {});
  chosen = null;
  await refresh();
});
byId("filter").addEventListener("input", drawList);
poll();
