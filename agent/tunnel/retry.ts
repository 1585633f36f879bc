import { type BackOffRange, backOffMs } from "#lib/delivery";
import { type ReadRefusal, unverifiedDelayMsMax } from "./refusal.ts";

/** What may pass at any moment: a lost way, a full or restarting gateway, and all that nobody has authenticated. */
const passing: BackOffRange = { firstMs: 1_000, maxMs: 60_000 };
/** A person in the cloud has to act first, and does: a licence is renewed, a held agent released. Noticed within 5 minutes. */
const operator: BackOffRange = { firstMs: 2_000, maxMs: 5 * 60_000 };
/** Nobody can lift it from this identity (PROTOCOL §4): it is only asked whether that still holds. */
const final: BackOffRange = { firstMs: 2_000, maxMs: 3_600_000 };

/**
 * ms until the next opening. `attempt` counts failures from 0, `fraction` is random, 0 up to 1. Only a refusal under Solaris'
 * MAC waits longer than what passes by itself does, with half of the delay sure; nothing unauthenticated delays by more than 5 minutes (PROTOCOL §5).
 */
export function retryDelayMs(attempt: number, refusal: ReadRefusal | undefined, fraction: number): number {
  const entry = refusal?.answer === undefined ? undefined : refusal.fault.entry;
  if (entry?.scope !== "operator") return Math.min(unverifiedDelayMsMax, backOffMs(attempt, passing, fraction));
  return backOffMs(attempt, entry.retry ? operator : final, 0.5 + fraction / 2);
}
