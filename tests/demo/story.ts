import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Erp } from "../support/erp-process.ts";
import { eventually } from "../support/eventually.ts";
import type { MercurySite } from "../support/mercury-site.ts";
import { Stack } from "../support/stack.ts";
import type { Narrator } from "./narrator.ts";
import { ownPrivateKeys } from "./private-keys.ts";
import { searchSecrets, secretFile, secretText } from "./secrets.ts";

const orderCount = 1_000;

export interface StoryOptions {
  readonly directory: string;
  readonly broker: "embedded" | "nats";
}

/** The one agent of the demo: its id and token in Solaris, its Mercury at the site. */
export interface DemoAgent {
  readonly id: string;
  readonly token: string;
  readonly site: MercurySite;
}

/** What plays on after the story: the caller ends it. */
export interface Stage extends AsyncDisposable {
  readonly stack: Stack;
  readonly erp: Erp;
  readonly agent: DemoAgent;
  readonly erpPassword: string;
}

/** Tells the whole story, checks included, and hands the stage over. */
export async function tell(narrator: Narrator, options: StoryOptions): Promise<Stage> {
  await using cleanup = new AsyncDisposableStack();
  const { directory, broker } = options;
  await mkdir(directory, { recursive: true });

  narrator.step("The cloud: Solaris and Nexus");
  narrator.say(
    broker === "nats"
      ? "Solaris, Nexus and a nats-server (JetStream) start, each its own process."
      : "One process: Solaris, Nexus and the embedded broker. It makes its authority and a first admin key.",
  );
  const stack = cleanup.use(await Stack.start({ directory, broker, cuttable: true }));
  const gateway = stack.nexuses[0]?.origin ?? stack.gatewayOrigin;
  narrator.say(`API ${stack.origin}, gateway ${gateway}`);

  narrator.step("The site: an ERP that nobody can reach from outside");
  const erpPassword = `erp-${Buffer.from(crypto.getRandomValues(new Uint8Array(18))).toString("base64url")}`;
  const erp = cleanup.use(await Erp.start({ directory, username: "connector", password: erpPassword }));
  narrator.say(`${erp.url}, its own process and database, with user and password`);

  narrator.step("One token, one binary");
  const { customerId } = await stack.api.createCustomer("ACME Manufacturing");
  const { agentId, token } = await stack.api.createAgent(customerId, { name: "berlin" });
  narrator.say("Through the API: a customer, its licence, an agent, and a token for it.");
  const site = stack.addSite({ name: "berlin", allow: [`127.0.0.1:${erp.port}`] });
  const agent = { id: agentId, token, site };
  narrator.say(`\`mercury enroll\`: ${(await site.enroll(token)).split("\n", 1)[0]}`);
  site.start();
  await stack.online(agent.id);
  narrator.say("`mercury run`: its tunnel is open, outbound only.");

  narrator.step("Configuration: the ERP's password goes to the site, sealed");
  await configure(stack, agent, erp, erpPassword, 100);
  narrator.say("Solaris signed the desired state and sealed it to this one Mercury; broker and Nexus can't read it.");

  await pushOrders(narrator, stack, erp, agent);
  await pullStock(narrator, stack, erp, agent);
  await changeOffline(narrator, stack, erp, agent, erpPassword);

  narrator.step("Looking for secrets where they must not be");
  const secrets = await searchSecrets(stack, [
    secretText("ERP password", erpPassword),
    secretText("enrollment token", agent.token),
    ...secretFile("admin key", join(directory, "solaris.admin-key")),
    ...secretFile("Solaris' key-encryption key", join(directory, "solaris.key")),
    ...secretFile("key of Mercury's store", join(directory, "berlin", "store.key")),
    ...(await ownPrivateKeys(agent.site)),
  ]);
  narrator.say(
    "Passwords, token, API key, store keys, private keys: raw, hex, base64; in all data, logs and arguments.",
  );
  narrator.check(
    "the search finds what it planted",
    secrets.controlFound,
    "control marker, in a file and in arguments",
  );
  const places = secrets.found.map(({ name, place, spelling }) => `${name} (${spelling}) in ${place}`);
  narrator.check(
    "no secret in plaintext",
    places.length === 0,
    places.join("; ") || `none of ${secrets.sought.length}`,
  );

  const held = cleanup.move();
  return { stack, erp, agent, erpPassword, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** The http plugin: orders down, stock changes up. */
async function configure(
  stack: Stack,
  agent: DemoAgent,
  erp: Erp,
  password: string,
  scheduleMs: number,
): Promise<void> {
  await stack.api.putPlugin(agent.id, "erp", { type: "http", config: erpConfig(erp, password, scheduleMs) });
  await stack.applied(agent.id, "erp");
}

function erpConfig(erp: Erp, password: string, scheduleMs: number): object {
  return {
    baseUrl: erp.url,
    auth: { kind: "basic", username: "connector", password },
    checkPath: "/health",
    down: { path: "/orders", keepsIdempotencyKeys: true },
    up: { schedule: scheduleMs, path: "/stock-changes", cursorParameter: "since", cursor: "/id" },
  };
}

const orderNumber = (index: number) => `SO-${String(index).padStart(5, "0")}`;

async function pushOrders(narrator: Narrator, stack: Stack, erp: Erp, agent: DemoAgent): Promise<void> {
  narrator.step(`Push: ${orderCount} orders to the ERP; the tunnel is cut and Nexus is killed on the way`);
  const progress = narrator.progress("booked in the ERP", orderCount);
  const watching = new AbortController();
  const watched = watch(erp, progress, watching.signal);
  let repeated = 0;
  let restarted: Promise<void> | undefined;
  for (let index = 0; index < orderCount; index++) {
    if (index === 300) {
      stack.network.cut();
      narrator.say("the tunnel was cut");
    }
    if (index === 600) {
      await stack.gateway.kill();
      narrator.say(
        `${stack.gateway.settings.name} was killed (SIGKILL); it starts again while the cloud goes on pushing`,
      );
      restarted = stack.startGateway();
    }
    repeated += await pushUntilTaken(stack, agent, index);
  }
  await restarted;
  await eventually("all orders are booked", async () => (await erp.summary()).distinctOrders >= orderCount, {
    timeoutMs: 45_000,
    everyMs: 100,
  });
  watching.abort();
  await watched;
  progress(orderCount);
  const { orders, distinctOrders } = await erp.summary();
  const numbers = await erp.numbers();
  const inOrder = numbers.every((number, index) => number === orderNumber(index));
  narrator.say(`The cloud had to repeat ${repeated} pushes, with the same Idempotency-Key.`);
  narrator.check("no order is missing", distinctOrders === orderCount, `${distinctOrders} of ${orderCount} in the ERP`);
  narrator.check("no order is there twice", orders === distinctOrders, `${orders} booked, ${distinctOrders} different`);
  narrator.check("orders came in order", inOrder, `${numbers[0]} … ${numbers.at(-1)}`);
  const shown = async () => {
    const applied = await appliedCount(stack, agent);
    return applied === orderCount ? { applied } : false;
  };
  const counted = await eventually("Solaris shows all as applied", shown, { everyMs: 250 }).catch(async () => ({
    applied: await appliedCount(stack, agent),
  }));
  narrator.check("Solaris shows each as applied", counted.applied === orderCount, `${counted.applied} applied`);
}

async function appliedCount(stack: Stack, agent: DemoAgent): Promise<number> {
  const states = await stack.api.all<{ state: string }>(`/messages?agentId=${agent.id}&limit=200`);
  return states.filter(({ state }) => state === "applied").length;
}

/** Pushes one order until it is taken, as a careful client does: same key, again. Answers how often it had to repeat. */
async function pushUntilTaken(stack: Stack, agent: DemoAgent, index: number): Promise<number> {
  const order = JSON.stringify({ number: orderNumber(index), sku: `SKU-${index % 40}`, quantity: 1 + (index % 5) });
  for (let tries = 0; ; tries++) {
    try {
      await stack.api.push(agent.id, "erp", order, { key: orderNumber(index) });
      return tries;
    } catch (error) {
      if (tries >= 200) throw error;
      await Bun.sleep(50);
    }
  }
}

/** Shows how far the ERP has come until `signal` aborts. */
async function watch(erp: Erp, progress: (count: number) => void, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const { distinctOrders } = await erp.summary();
    if (distinctOrders < orderCount) progress(distinctOrders);
    await Bun.sleep(100);
  }
}

async function pullStock(narrator: Narrator, stack: Stack, erp: Erp, agent: DemoAgent): Promise<void> {
  narrator.step("Pull: every stock change of the ERP, in the cloud");
  const { stockChanges } = await erp.summary();
  const query = { agentId: agent.id, plugin: "erp" };
  const received = await eventually(
    "all stock changes came",
    async () => {
      const items = await stack.api.allReceived(query);
      return items.length >= stockChanges ? items : false;
    },
    { timeoutMs: 30_000, everyMs: 200 },
  ).catch(() => stack.api.allReceived(query));
  const ids = received.map(({ body }) => (JSON.parse(body ?? "{}") as { id: number }).id); // the ERP's own items
  const distinct = new Set(ids).size;
  const inOrder = ids.every((id, index) => index === 0 || id > (ids[index - 1] ?? 0));
  narrator.check("no stock change is missing", distinct === stockChanges, `${distinct} of ${stockChanges} in Solaris`);
  narrator.check(
    "no stock change is there twice",
    ids.length === distinct,
    `${ids.length} received, ${distinct} different`,
  );
  narrator.check("stock changes came in order", inOrder, `${ids[0]} … ${ids.at(-1)}`);
}

async function changeOffline(
  narrator: Narrator,
  stack: Stack,
  erp: Erp,
  agent: DemoAgent,
  password: string,
): Promise<void> {
  narrator.step("Configuration is changed twice while the site is offline");
  await agent.site.program.stop();
  await stack.api.putPlugin(agent.id, "erp", { type: "http", config: erpConfig(erp, password, 400) });
  const newest = { type: "http", config: erpConfig(erp, password, 250) };
  const { version } = await stack.api.putPlugin(agent.id, "erp", newest);
  narrator.say(`Mercury is stopped; versions ${version - 1} and ${version} are saved; Mercury starts again.`);
  agent.site.start();
  await stack.applied(agent.id, "erp");
  interface Desired {
    number: number;
    report: { number: number; skipped: number | null } | null;
  }
  const { number, report } = await eventually("the report came", async () => {
    const desired = await stack.api.call<Desired>("GET", `/agents/${agent.id}/desired`);
    return desired.report?.number === desired.number ? desired : false;
  });
  narrator.check(
    "only the newest configuration was applied",
    report?.number === number && report.skipped === 1,
    `desired state ${report?.number}, ${report?.skipped} passed over, version ${version} runs`,
  );
}

/** The end of an agent: its tunnel closes, and it is told why when it comes back. */
export async function revoke(narrator: Narrator, { stack, agent }: Stage): Promise<void> {
  narrator.step("The agent is revoked");
  const since = performance.now();
  await stack.api.revoke(agent.id, "the demo ends");
  await agent.site.program.until(/"code":"revoked"/, 15_000);
  const seconds = (performance.now() - since) / 1_000;
  narrator.check(
    "the session of a revoked agent ends",
    seconds < 5,
    `after ${seconds.toFixed(2)} s, and Mercury says why`,
  );
  const refused = await stack.api.push(agent.id, "erp", "{}").then(
    () => "taken",
    (error: unknown) => (error instanceof Error ? error.message.slice(0, 80) : "refused"),
  );
  narrator.check("nothing can be pushed to it", refused !== "taken", refused);
}
