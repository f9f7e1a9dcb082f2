# Verifies hand-offs with the official Python library, `standardwebhooks`. Reads one JSON {"secret", "headers", "body"}
# per line, the body as text; writes `ok` or the error for each; exit 1 unless all are ok. verify.mjs does the same in
# JavaScript.
import json
import sys

from standardwebhooks import Webhook

sys.stdin.reconfigure(encoding="utf-8")
status = 0
for line in sys.stdin:
    try:
        given = json.loads(line)
        Webhook(given["secret"]).verify(given["body"], given["headers"])
        print("ok", flush=True)
    except Exception as error:
        print(f"error: {error}", flush=True)
        status = 1
sys.exit(status)
