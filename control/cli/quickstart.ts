import { z } from "zod";
import { sleep } from "#lib/clock";
import { Fault } from "#lib/fault";
import { systemClock } from "#lib/runtime";
import type { SolarisConfig } from "../config.ts";
import { makeKey } from "./make-key.ts";
import { fetchOwn } from "./own-origin.ts";

/** How long a Solaris that was just started may take. */
const startMs = 10_000;

const customersSchema = z.object({ id: z.string() });
const licencesSchema = z.object({ licence: z.object({ id: z.string() }) });
const agentsSchema = z.object({ agent: z.object({ id: z.string() }), token: z.string() });
const problemSchema = z.object({ code: z.string(), detail: z.string().optional() });

/**
 * An API key, a customer with a licence, and an agent that waits for its enrollment, as assignments for a shell. The Solaris of
 * this machine must run, or be about to: it is waited for; Fault `unavailable` when it does not answer.
 */
export async function quickstart(
  config: SolarisConfig,
  names: { readonly customer: string; readonly agent: string },
): Promise<string> {
  await running(config);
  const key = await makeKey(config, { name: `quickstart ${names.customer}`.slice(0, 100), scopes: "*" });
  const post = poster(config, key);
  const customer = await post("/customers", { name: names.customer }, customersSchema);
  await post(`/customers/${customer.id}/licences`, { name: "quickstart", tier: "trial" }, licencesSchema);
  const { agent, token } = await post("/agents", { customerId: customer.id, name: names.agent }, agentsSchema);
  // None of these values holds a character that a shell would see.
  return [`export KEY=${key}`, `export AGENT=${agent.id}`, `export MERCURY_TOKEN=${token}`, ""].join("\n");
}

/** Resolves when Solaris answers here: it may have been started a moment ago. */
async function running(config: SolarisConfig): Promise<void> {
  for (const deadline = systemClock.monotonic() + startMs; ; await sleep(systemClock, 200)) {
    try {
      const { ok, status } = await fetchOwn(config, "/healthz");
      if (ok) return;
      throw new Fault("unavailable", `the Solaris of this machine answered ${status}`);
    } catch (cause) {
      if (systemClock.monotonic() < deadline) continue;
      if (cause instanceof Fault) throw cause;
      throw new Fault("unavailable", "no Solaris answers on this machine: start `solaris serve --with-gateway` first", {
        cause,
      });
    }
  }
}

function poster(config: SolarisConfig, key: string) {
  return async <T>(path: string, body: unknown, schema: z.ZodType<T>): Promise<T> => {
    const answer = await fetchOwn(config, `/api/v1${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const value: unknown = await answer.json();
    if (answer.ok) return schema.parse(value);
    const { code, detail = "" } = problemSchema.parse(value);
    throw new Fault("bad_request", `POST ${path} was answered with ${answer.status} ${code} ${detail}`.trim());
  };
}
