// The tour of `make dev`: node scripts/tour.mjs STAND_IN RELAY USER PERSON. Shows the mail to USER, answers it as that
// user, and shows what PERSON, who is in charge, and the user get of it.
const [standIn, relay, user, person] = process.argv.slice(2);
const SECONDS = 20;

async function call(path, body) {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(new URL(path, standIn), options);
  if (!response.ok) throw new Error(`${path.split("?")[0]}: ${response.status}`);
  return response.json();
}

/** Waits for a mail to an address, newer than another if there is one. */
async function mailTo(to, after) {
  const query = new URLSearchParams({ to, timeout_ms: SECONDS * 1000, ...(after && { after }) });
  try {
    return await call(`/inbox/wait?${query}`);
  } catch {
    throw new Error(`no mail to ${to} within ${SECONDS} s`);
  }
}

const entities = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " " };
const text = (html) =>
  html
    .replace(/<!--[\s\S]*?-->|<(head|style|script)\b[\s\S]*?<\/\1>/gi, "")
    .replace(/<\/(p|h\d|div|tr|li)>|<br[^>]*>/gi, "\n")
    .replace(/<[^>]+>/g, "")
    .replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)))
    .replace(/&(\w+);/g, (whole, name) => entities[name] ?? whole);
const lines = (mail) =>
  (mail.is_plaintext ? mail.body : text(mail.body))
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);

function show(title, mail) {
  const from = mail.from_name ? `${mail.from_name} <${mail.from_email}>` : mail.from_email;
  console.log(`\n== ${title}`);
  console.log(`  From:     ${from}\n  To:       ${mail.to}\n  Subject:  ${mail.subject}`);
  for (const line of lines(mail)) console.log(`  | ${line}`);
}

try {
  const mail = await mailTo(user);
  show("The mail, as it arrived", mail);

  const asked = "I did not request this code. Is somebody in my account?";
  console.log(`\n== ${user} answers it\n  | ${asked}`);
  const started = performance.now();
  await call("/control/inbound", {
    grant_id: mail.grant_id,
    from: user,
    subject: `Re: ${mail.subject}`,
    body: `<p>${asked}</p>`,
    in_reply_to_message_id: mail.id,
  });
  const [answer, forward] = await Promise.all([mailTo(user, mail.id), mailTo(person)]);
  const took = ((performance.now() - started) / 1000).toFixed(1);
  show("The person in charge gets it, without the code", forward);
  show(`The example agent answered ${took} s later, in the same thread`, answer);
} catch (error) {
  console.error(`dev: ${error.message}; ${relay}/health may say why`);
  process.exitCode = 1;
}
