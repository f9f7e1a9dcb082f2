//! Where a setting is found: one table, so that every question and every remedy says it in the same words.

/// The place of each setting that somebody has to look up. `NYLAS_EMAIL` is the account's address.
pub const PLACES: [(&str, &str); 7] = [
    (
        "NYLAS_API_KEY",
        "dashboard.nylas.com: your application, API keys, Generate; shown once",
    ),
    (
        "NYLAS_GRANT_ID",
        "dashboard.nylas.com: your application, Grants",
    ),
    (
        "NYLAS_EMAIL",
        "its domain: dashboard.nylas.com, Agent Accounts, Domains; *.nylas.email to try; a subdomain as mail.acme.com \
         if your domain has mail, because its MX record goes to Nylas",
    ),
    (
        "CLERK_WEBHOOK_SIGNING_SECRET",
        "dashboard.clerk.com: Webhooks, your endpoint, Signing Secret (whsec_...)",
    ),
    (
        "CLERK_SECRET_KEY",
        "dashboard.clerk.com: API keys; sk_test_ is development, sk_live_ production",
    ),
    (
        "ALERT_WEBHOOK_URL",
        "Slack: api.slack.com/apps, Incoming Webhooks; Discord: the channel's settings, Integrations, Webhooks",
    ),
    (
        "ADMIN_TOKEN",
        "in no dashboard: you choose it, and `npx wrangler secret put ADMIN_TOKEN` stores it",
    ),
];

/// Where a setting is found. What is not in the table is in the docs.
pub fn place(name: &str) -> &'static str {
    let known = PLACES.iter().find(|(known, _)| *known == name);
    known.map_or("docs/configuration.md", |(_, place)| place)
}
