import { eventually } from "../../support/eventually.ts";
import type { MercurySite } from "../../support/mercury-site.ts";
import { Stack } from "../../support/stack.ts";

/** A system with one agent whose plugin takes everything. */
export interface BenchStack extends AsyncDisposable {
  readonly stack: Stack;
  readonly agentId: string;
  readonly site: MercurySite;
  /** Where single messages of the plugin are posted. */
  readonly messagesUrl: string;
  readonly headers: Readonly<Record<string, string>>;
}

interface LaneDepth {
  readonly queued: number;
  readonly stored: number;
}

/** Name and type of that plugin. */
export const noop = "noop";

export async function benchStack(
  broker: "embedded" | "nats",
  environment: { readonly solaris?: Record<string, string>; readonly mercury?: Record<string, string> } = {},
): Promise<BenchStack> {
  const stack = await Stack.start({
    broker,
    environment: {
      solaris: { SOLARIS_TEST_CONNECTORS: "yes", SOLARIS_LOG_LEVEL: "warn", ...environment.solaris },
      mercury: { MERCURY_TEST_CONNECTORS: "yes", ...environment.mercury },
    },
  });
  try {
    const { agentId, site } = await stack.addAgent({ name: "bench" });
    await stack.api.putPlugin(agentId, noop, { type: noop, config: { down: {} } });
    await stack.applied(agentId, noop);
    return {
      stack,
      agentId,
      site,
      messagesUrl: `${stack.origin}/api/v1/agents/${agentId}/plugins/${noop}/messages`,
      headers: { authorization: `Bearer ${stack.adminKey}` },
      [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
    };
  } catch (error) {
    await stack[Symbol.asyncDispose]();
    throw error;
  }
}

/** A number that Mercury's plugin counts: `delivered` or `emitted`. */
export async function counted(site: MercurySite, what: "delivered" | "emitted"): Promise<number> {
  const { plugins } = await site.status();
  return Number(plugins.find(({ name }) => name === noop)?.facts?.[what] ?? 0);
}

/** Resolves when Solaris knows of every message pushed that it was applied: nothing is left in the lanes. */
export async function allApplied({ stack, agentId }: BenchStack): Promise<void> {
  const open = async () => {
    const { items } = await stack.api.call<{ items: LaneDepth[] }>("GET", `/agents/${agentId}/lanes`);
    return items.reduce((sum, { queued, stored }) => sum + queued + stored, 0);
  };
  await eventually("all are applied", async () => (await open()) === 0, { everyMs: 20, timeoutMs: 60_000 });
}

/** One sample of a program's Prometheus page: the first whose line begins with `series`; RangeError when there is none. */
export async function metric(origin: string, series: string): Promise<number> {
  const text = await (await fetch(`${origin}/metrics`)).text();
  const line = text.split("\n").find((line) => line.startsWith(series));
  if (line === undefined) throw new RangeError(`no ${series} at ${origin}/metrics`);
  return Number(line.slice(line.lastIndexOf(" ") + 1));
}
