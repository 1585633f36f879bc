import { type Broker, natsBroker } from "#lib/broker";
import { silentLog } from "#lib/log";
import { systemClock, systemRandom } from "#lib/runtime";
import type { Stack } from "./stack.ts";

/** Somebody in a NATS stack's broker, who can write whatever Solaris can. */
export function intruder({ nats }: Stack): Promise<Broker> {
  if (nats === undefined) throw new TypeError("this stack has no NATS");
  return natsBroker({
    servers: [nats.url],
    user: "solaris",
    password: nats.passwords.solaris,
    name: "intruder",
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
}
