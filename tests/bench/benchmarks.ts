import type { BenchSettings } from "./bench-settings.ts";
import type { Figure } from "./figure.ts";
import { lag } from "./suites/lag.ts";
import { latency } from "./suites/latency.ts";
import { mercuryStart } from "./suites/mercury-start.ts";
import { portalMemory } from "./suites/portal/memory.ts";
import { portal } from "./suites/portal/portal.ts";
import { pull } from "./suites/pull.ts";
import { pushEmbedded, pushNats } from "./suites/push.ts";
import { sessions } from "./suites/sessions.ts";

/** One thing that is measured. */
export interface Benchmark {
  readonly name: string;
  readonly what: string;
  /** Program that must be on the PATH. */
  readonly needs?: "nats-server";
  /** Runs only when it is named: without names all others end within 5 minutes. */
  readonly asked?: true;
  /** Measures; `note` tells people how it goes. */
  readonly run: (note: (text: string) => void, settings: BenchSettings) => Promise<readonly Figure[]>;
}

const nats = { needs: "nats-server" } as const;

/** In the order in which they run. */
export const benchmarks: readonly Benchmark[] = [
  { name: "push", what: "1 KiB, API to applied, NATS, beside a bare JetStream handler", ...nats, run: pushNats },
  { name: "push-embedded", what: "the same with the embedded broker", run: pushEmbedded },
  { name: "pull", what: "1 KiB, plugin to stored in Solaris, NATS", ...nats, run: pull },
  { name: "lag", what: "event loops during these, embedded, also with slow commits", run: lag },
  { name: "latency", what: "202 at 200 messages a second, over the bare handler", ...nats, run: latency },
  {
    name: "sessions",
    what: "tunnels opened a second by distinct agents; memory of each after a minute",
    ...nats,
    run: sessions,
  },
  {
    name: "portal",
    what: "TCP through a portal, beside ssh -L through a jump host",
    ...nats,
    asked: true,
    run: portal,
  },
  {
    name: "portal-memory",
    what: "a Nexus with 1,000 relayed pairs over an idle one",
    ...nats,
    asked: true,
    run: portalMemory,
  },
  { name: "mercury", what: "start to online, resident memory", run: mercuryStart },
];
