import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Erp } from "../../support/erp-process.ts";
import { freePort } from "../../support/free-port.ts";
import type { MercurySite } from "../../support/mercury-site.ts";
import type { Stack } from "../../support/stack.ts";
import { seededRandom } from "../seed.ts";
import { CollectedFiles } from "./collected-files.ts";
import type { BothEnds } from "./compare.ts";
import { type HandOver, type Load, startLoad } from "./load.ts";
import { ReceivedLog } from "./received-log.ts";

const patienceMs = 60_000;
const requestTimeoutMs = 12_000;

/** One lane under load: what feeds it, and what is at its two ends. */
export interface Flow {
  readonly name: string;
  /** Undefined where the far system itself makes what is collected. */
  readonly load: Load | undefined;
  ends(): Promise<BothEnds>;
}

/** A site with every connector in both directions, and everybody who uses it. */
export interface Traffic extends AsyncDisposable {
  readonly agentId: string;
  readonly site: MercurySite;
  readonly flows: readonly Flow[];
  readonly erps: readonly Erp[];
}

/** Starts the site and the load on it, whose pauses and sizes are drawn from `seed`. */
export async function startTraffic(stack: Stack, seed: number): Promise<Traffic> {
  await using cleanup = new AsyncDisposableStack();
  const login = { directory: stack.directory, username: "connector", password: "of the ERP" };
  const honouring = cleanup.use(await Erp.start({ ...login, name: "honouring" }));
  const forgetful = cleanup.use(await Erp.start({ ...login, name: "forgetful", honourKeys: false }));
  await forgetful.behave({ delayMs: 8 }); // so that kills come between request and answer
  const allow = [honouring, forgetful].map(({ port }) => `127.0.0.1:${port}`);
  const webhookPort = freePort();
  const agent = await stack.addAgent({ allow: [...allow, `127.0.0.1:${webhookPort}`] });
  const { agentId, site } = agent;
  const [inbound, outbound, beside] = ["in", "out", "beside"].map((name) => join(site.exchange, name)) as [
    string,
    string,
    string,
  ]; // as many as were named
  for (const directory of [inbound, outbound, beside]) mkdirSync(directory);
  const auth = { kind: "basic", username: login.username, password: login.password };
  await configure(stack, agentId, {
    honouring: {
      type: "http",
      config: {
        baseUrl: honouring.url,
        auth,
        checkPath: "/health",
        timeoutMs: 5_000,
        down: { path: "/orders", keepsIdempotencyKeys: true },
        up: { schedule: 100, path: "/stock-changes", cursorParameter: "since", cursor: "/id" },
      },
    },
    forgetful: {
      type: "http",
      config: { baseUrl: forgetful.url, auth, checkPath: "/health", timeoutMs: 5_000, down: { path: "/orders" } },
    },
    hook: { type: "webhook", config: { port: webhookPort, auth: { kind: "none" } } },
    files: {
      type: "file",
      config: {
        down: { directory: inbound, name: "{id}.json" },
        up: { directory: outbound, pattern: "*.json", settleMs: 50, after: "delete" },
      },
    },
  });
  const collected = cleanup.use(new CollectedFiles(inbound, numberIn));
  const received = (plugin: string) =>
    new ReceivedLog(stack.api, { agentId, plugin }, ({ body = "" }) => numberIn(body));
  const random = seededRandom(seed);
  const start = (name: string, handOver: HandOver, together?: () => number): Load =>
    startLoad({
      name,
      handOver,
      patienceMs,
      pauseMs: () => random.integer(5, 40),
      ...(together === undefined ? {} : { together }),
    });
  const few = () => (random.integer(0, 4) === 0 ? random.integer(2, 20) : 1);
  const [posts, files] = [received("hook"), received("files")];
  const changes = new ReceivedLog(
    stack.api,
    { agentId, plugin: "honouring" },
    ({ body = "" }) => (JSON.parse(body) as { id: number }).id, // of our stand-in
  );
  const orders = (erp: Erp) => erp.numbers().then((numbers) => numbers.map(Number));

  const toHonouring = start("push to http", pushing(stack, agentId, "honouring", order), few);
  const toForgetful = start("push to http without keys", pushing(stack, agentId, "forgetful", order));
  const toFiles = start("push to file", pushing(stack, agentId, "files", note), few);
  const fromWebhook = start("webhook", posting(`http://127.0.0.1:${webhookPort}/`));
  const fromFiles = start("file", dropping(beside, outbound), few);
  const flows: Flow[] = [
    {
      name: "push → http, keys honoured",
      load: toHonouring,
      ends: async () => ({ accepted: toHonouring.accepted, arrived: await orders(honouring) }),
    },
    {
      name: "push → http, keys not honoured",
      load: toForgetful,
      ends: async () => ({
        accepted: toForgetful.accepted,
        arrived: await orders(forgetful),
        unknown: await unknownNumbers(stack, agentId, "forgetful"),
      }),
    },
    {
      name: "push → file",
      load: toFiles,
      ends: async () => ({ accepted: toFiles.accepted, arrived: [...collected.numbers] }),
    },
    {
      name: "webhook → received",
      load: fromWebhook,
      ends: async () => ({ accepted: fromWebhook.accepted, arrived: await posts.numbers() }),
    },
    {
      name: "file → received",
      load: fromFiles,
      ends: async () => ({ accepted: fromFiles.accepted, arrived: await files.numbers() }),
    },
    {
      name: "ERP's stock changes → received",
      load: undefined,
      ends: async () => {
        const { stockChanges } = await honouring.summary();
        const accepted = Array.from({ length: stockChanges }, (_, index) => index + 1);
        return { accepted, arrived: await changes.numbers() };
      },
    },
  ];
  const held = cleanup.move();
  return { agentId, site, flows, erps: [honouring, forgetful], [Symbol.asyncDispose]: () => held.disposeAsync() };
}

async function configure(stack: Stack, agentId: string, plugins: Readonly<Record<string, object>>): Promise<void> {
  for (const [name, plugin] of Object.entries(plugins)) await stack.api.putPlugin(agentId, name, { ...plugin });
  for (const name of Object.keys(plugins)) await stack.applied(agentId, name);
}

const order = (number: number) => ({ number: String(number), sku: `SKU-${number % 40}`, quantity: 1 });
const note = (number: number) => ({ number });

function numberIn(body: string): number {
  return (JSON.parse(body) as { number: number }).number; // of `note`
}

/** A caller of the API who repeats with the same key until 202; two and more go as one batch. */
function pushing(stack: Stack, agentId: string, plugin: string, bodyOf: (number: number) => object): HandOver {
  const path = `/agents/${agentId}/plugins/${plugin}/messages`;
  const key = (number: number) => `${plugin}-${number}`;
  return async (first, count) => {
    const signal = AbortSignal.timeout(requestTimeoutMs);
    const headers = { "content-type": "application/json" };
    const one = { headers: { ...headers, "idempotency-key": key(first) }, body: JSON.stringify(bodyOf(first)), signal };
    const items = Array.from({ length: count }, (_, index) => ({
      json: bodyOf(first + index),
      idempotencyKey: key(first + index),
    }));
    const answer =
      count === 1
        ? await stack.api.request("POST", path, one)
        : await stack.api.request("POST", `${path}:batch`, { headers, body: JSON.stringify(items), signal });
    const text = await answer.text();
    // 200: it was pushed before and is applied already.
    if (answer.status !== 202 && answer.status !== 200) throw new RangeError(`${answer.status} ${text.slice(0, 300)}`);
  };
}

/** A system that posts to the webhook, and again with the same key until 202. */
function posting(url: string): HandOver {
  return async (number) => {
    const answer = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": `post-${number}` },
      body: JSON.stringify(note(number)),
      signal: AbortSignal.timeout(requestTimeoutMs),
    });
    await answer.arrayBuffer();
    if (answer.status !== 202) throw new RangeError(`the webhook answered ${answer.status}`);
  };
}

/** A system that puts whole files into the directory. */
function dropping(beside: string, outbound: string): HandOver {
  return async (first, count) => {
    for (let number = first; number < first + count; number++) {
      const name = `${String(number).padStart(6, "0")}.json`;
      writeFileSync(join(beside, name), JSON.stringify(note(number)));
      renameSync(join(beside, name), join(outbound, name));
    }
  };
}

/** Numbers of pushed messages of which the API says `unknown`. */
async function unknownNumbers(stack: Stack, agentId: string, plugin: string): Promise<number[]> {
  const letters = await stack.api.all<{ id: number }>(
    `/dead-letters?agentId=${agentId}&plugin=${plugin}&kind=unknown&limit=100`,
  );
  return Promise.all(
    letters.map(async ({ id }) => {
      const payload = await stack.api.request("GET", `/dead-letters/${id}/payload`);
      const { number } = (await payload.json()) as { number: string }; // of `order`
      return Number(number);
    }),
  );
}
