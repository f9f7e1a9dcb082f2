// Connects several versions of the relay that share a ledger. A request goes to the version that its path begins with.
// A queue message of a version goes to its own consumer, or to the one that a test chose for messages with a certain
// text. Nylas' notifications go to the version that a test chose, or to the present one.
const routes = [];
const listeners = [];
const seen = [];

const chosen = (choices, text) => choices.findLast((choice) => text.includes(choice.text))?.to;

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const [, first, ...rest] = url.pathname.split("/");
    if (env.VERSIONS.includes(first)) {
      url.pathname = `/${rest.join("/")}`;
      return env[first].fetch(new Request(url, request));
    }
    const [name] = rest;
    switch (first) {
      case "health": {
        const answers = await Promise.all(env.VERSIONS.map((version) => env[version].fetch("http://relay/health")));
        return Response.json(await Promise.all(answers.map((answer) => answer.json())));
      }
      case "route":
        routes.push({ text: await request.text(), to: name });
        return new Response();
      case "listen":
        listeners.push({ text: await request.text(), to: name });
        return new Response();
      case "nylas": {
        const body = await request.text();
        const version = chosen(listeners, body) ?? env.VERSIONS.at(-1);
        const headers = request.headers;
        return env[version].fetch("http://relay/api/webhooks/nylas", { method: "POST", headers, body });
      }
      case "put": {
        const contentType = url.searchParams.get("type") ?? "text";
        const text = await request.text();
        const body = { text, json: contentType === "json" && JSON.parse(text), bytes: new TextEncoder().encode(text) };
        await env[name].send(body[contentType], { contentType });
        return new Response();
      }
      case "messages": {
        const text = await request.text();
        return Response.json(seen.filter((message) => message.includes(text)));
      }
      case "ledger": {
        const key = decodeURIComponent(name);
        if (request.method === "DELETE") await env.LEDGER.delete(key);
        if (request.method === "PUT") await env.LEDGER.put(key, await request.text());
        return new Response(request.method === "GET" ? await env.LEDGER.get(key) : null);
      }
    }
    return new Response(null, { status: 404 });
  },

  async queue(batch, env) {
    for (const message of batch.messages) {
      const text = message.body;
      seen.push(text);
      const own = batch.queue.replace("-sent", "_work").replaceAll("-", "_");
      await env[chosen(routes, text) ?? own].send(text, { contentType: "text" });
      message.ack();
    }
  },
};
