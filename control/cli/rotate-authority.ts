import { z } from "zod";
import { Fault } from "#lib/fault";
import type { SolarisConfig } from "../config.ts";
import { makeKey } from "./make-key.ts";
import { fetchOwn } from "./own-origin.ts";

/** The key that asks is of no use to anybody after this. */
const keyLifeMs = 60_000;

const authoritySchema = z.object({ identifier: z.string(), changes: z.array(z.object({ hash: z.string() })).min(1) });
const problemSchema = z.object({ code: z.string(), detail: z.string().optional() });

/**
 * `solaris authority rotate`: new keys for the authority of the Solaris that runs on this machine; says which. Faults: `unavailable` when
 * none answers, `conflict` while the rotation before is not finished.
 */
export async function rotateAuthority(config: SolarisConfig): Promise<string> {
  const key = await makeKey(config, { name: "authority rotate", scopes: "*", lifeMs: keyLifeMs });
  const headers = { authorization: `Bearer ${key}` };
  const answer = await fetchOwn(config, "/api/v1/authority/rotate", { method: "POST", headers }).catch((cause) => {
    throw new Fault("unavailable", "no Solaris answers on this machine: it must run", { cause });
  });
  const value: unknown = await answer.json();
  if (!answer.ok) {
    const { code, detail = "" } = problemSchema.parse(value);
    throw new Fault(code === "conflict" ? "conflict" : "bad_request", `${answer.status} ${code} ${detail}`.trim());
  }
  const { identifier, changes } = authoritySchema.parse(value);
  return `Authority ${identifier} has change ${changes.length}: ${changes.at(-1)?.hash}\nWhat it signed is signed anew within seconds; then the former keys are destroyed.\n`;
}
