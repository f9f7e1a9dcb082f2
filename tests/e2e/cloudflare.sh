#!/usr/bin/env bash
# Plays Cloudflare for `relayctl setup` as relayctl's own tests do, but that what is deployed runs: the folder's wrangler.toml,
# in workerd, with the secrets that are stored. A secret that comes later is a new deployment, as there.
#   FAKE_CLOUD  a folder: what exists is its files; `port` is the Worker's, `group` the process group of the one that runs
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
cloud=$FAKE_CLOUD
sh "$root/relayctl/tests/fixtures/wrangler.sh" "$@"

case "$1 ${2:-}" in
    "deploy "*) ;;
    "secret put" | "secret bulk") [ -e "$cloud/tag" ] || exit 0 ;;
    *) exit 0 ;;
esac
[ ! -e "$cloud/group" ] || kill -KILL -- "-$(cat "$cloud/group")" || true
variables=()
: >"$cloud/secrets"
for file in "$cloud"/secret-*; do
    name=${file#"$cloud/secret-"}
    printf '%s="%s"\n' "$name" "$(cat "$file")" >>"$cloud/secrets"
    # `wrangler dev` takes only the required ones from a file.
    case $name in CLERK_WEBHOOK_SIGNING_SECRET | NYLAS_API_KEY) ;; *) variables+=(--var "$name:$(cat "$file")") ;; esac
done
port=$(cat "$cloud/port")
# A group of its own, and nothing of the caller's open: the caller waits for the end of its output.
set -m
NO_COLOR=1 WRANGLER_REGISTRY_PATH=$cloud/registry WRANGLER_LOG_PATH=$cloud/wrangler-debug.log \
    "$root/scripts/with-tools" wrangler dev --ip 127.0.0.1 --port "$port" --inspector-port 0 --show-interactive-dev-session=false \
    --persist-to "$cloud/state" --env-file "$cloud/secrets" "${variables[@]}" >>"$cloud/worker.log" 2>&1 </dev/null &
echo $! >"$cloud/group"
set +m
"$root/scripts/with-tools" node -e '
const until = Date.now() + 90_000;
while (!(await fetch(process.argv[1]).then((answer) => answer.ok, () => false))) {
  if (Date.now() > until) process.exit(1);
  await new Promise((resolve) => setTimeout(resolve, 200));
}' --input-type=module "http://127.0.0.1:$port/health" || { tail -n 20 "$cloud/worker.log" >&2; echo "X [ERROR] the Worker did not start" >&2; exit 1; }
