// Waits for a mail at the Nylas stand-in and shows it: node scripts/inbox.mjs STAND_IN_URL ADDRESS [TIMEOUT_MS]
const [base, to, timeout = "15000"] = process.argv.slice(2);
const address = new URL("/inbox/wait", base);
address.search = new URLSearchParams({ to, timeout_ms: timeout });

const response = await fetch(address).catch((error) => ({ ok: false, status: error.cause?.code ?? error.message }));
if (!response.ok) {
  console.error(`No mail to ${to} within ${Number(timeout) / 1000} s (${response.status}).`);
  process.exit(1);
}
const mail = await response.json();
const from = mail.from_name ? `${mail.from_name} <${mail.from_email}>` : mail.from_email;
const entities = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " " };
const text = (html) =>
  html
    .replace(/<!--[\s\S]*?-->|<(head|style|script)\b[\s\S]*?<\/\1>/gi, "")
    .replace(/<\/(p|h\d|div|tr|li)>|<br[^>]*>/gi, "\n")
    .replace(/<[^>]+>/g, "")
    .replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)))
    .replace(/&(\w+);/g, (whole, name) => entities[name] ?? whole)
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean)
    .join("\n");

console.log(`  From:     ${from}`);
console.log(`  To:       ${mail.to}`);
console.log(`  Subject:  ${mail.subject}`);
console.log((mail.is_plaintext ? mail.body : text(mail.body)).replace(/^/gm, "  | "));
