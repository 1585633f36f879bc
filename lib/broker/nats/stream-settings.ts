import type { Destination, Source, ValueName } from "../broker.ts";
import { commandLifeMs, dedupWindowMs, eventLifeMs, nodeLifeMs } from "../lifetimes.ts";
import { downShards, shardOf } from "../subjects.ts";

/** Bytes that each kind of stream may hold. */
export interface StreamSizes {
  /** Each of the 64 shards of the down lanes. Default 64 MiB. */
  readonly downShardBytes: number;
  /** Entries of one down lane. Default 20,000. */
  readonly downLaneEntries: number;
  /** Default 1 GiB. */
  readonly upBytes: number;
  /** Default 512 MiB. */
  readonly eventBytes: number;
  /** Default 256 MiB. */
  readonly desiredBytes: number;
}

/** JetStream's stream configuration, the fields that we set. Times are nanoseconds, as NATS has them. */
export interface StreamSettings {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly retention: "workqueue" | "limits";
  readonly storage: "file" | "memory";
  readonly discard: "new" | "old";
  readonly max_bytes: number;
  readonly max_msgs_per_subject: number;
  readonly discard_new_per_subject: boolean;
  readonly max_age: number;
  readonly duplicate_window: number;
  readonly num_replicas: number;
}

const mebibyte = 1024 * 1024;
const nsPerMs = 1_000_000;
const unlimited = -1;

export const defaultSizes: StreamSizes = {
  downShardBytes: 64 * mebibyte,
  downLaneEntries: 20_000,
  upBytes: 1024 * mebibyte,
  eventBytes: 512 * mebibyte,
  desiredBytes: 256 * mebibyte,
};

/** Values of agents and leases in memory, and of small files: what they may take at most. */
const smallBytes = 64 * mebibyte;
const commandsPerAgentMax = 1_000;

function downStream(shard: string): string {
  return `DOWN-${shard}`;
}

/** Stream that an entry is published to. */
export function destinationStream(to: Destination): string {
  if (to.kind === "down") return downStream(shardOf(to.agent));
  return { up: "UP", event: "EVENTS", command: "COMMANDS" }[to.kind];
}

/** Stream that a source is read from. */
export function sourceStream(source: Source): string {
  if (source.kind === "down") return downStream(shardOf(source.agent));
  return { up: "UP", event: "EVENTS" }[source.kind];
}

/** Stream that holds the last values of a kind. */
export function valueStream(kind: ValueName["kind"]): string {
  return { desired: "DESIRED", revocations: "VALUES", node: "NODE", agent: "AGENT" }[kind];
}

/** Every stream there must be, exactly so (DESIGN §5). `replicas`: 1, or 3 in a cluster. */
export function streamSettings(sizes: StreamSizes, replicas: number): StreamSettings[] {
  const base = {
    retention: "limits",
    storage: "file",
    discard: "new",
    max_msgs_per_subject: unlimited,
    discard_new_per_subject: false,
    max_age: 0,
    duplicate_window: dedupWindowMs * nsPerMs,
    num_replicas: replicas,
  } as const;
  const last = { ...base, max_msgs_per_subject: 1 };
  const shards = Array.from({ length: downShards }, (_, index) => String(index).padStart(2, "0"));
  return [
    ...shards.map(
      (shard): StreamSettings => ({
        ...base,
        name: downStream(shard),
        subjects: [`down.${shard}.>`],
        retention: "workqueue",
        max_bytes: sizes.downShardBytes,
        max_msgs_per_subject: sizes.downLaneEntries,
        discard_new_per_subject: true, // a full lane refuses its own agent only
      }),
    ),
    { ...base, name: "UP", subjects: ["up.>"], retention: "workqueue", max_bytes: sizes.upBytes },
    {
      ...base,
      name: "EVENTS",
      subjects: ["event.>"],
      discard: "old", // kept by age and size; whoever reads them late reads from Solaris
      max_age: eventLifeMs * nsPerMs,
      max_bytes: sizes.eventBytes,
    },
    {
      ...base,
      name: "COMMANDS",
      subjects: ["command.*"],
      max_age: commandLifeMs * nsPerMs,
      max_bytes: smallBytes,
      max_msgs_per_subject: commandsPerAgentMax,
      discard_new_per_subject: true,
    },
    { ...last, name: "DESIRED", subjects: ["desired.*"], max_bytes: sizes.desiredBytes },
    { ...last, name: "VALUES", subjects: ["revocations", "lease.*"], max_bytes: smallBytes },
    {
      ...last,
      name: "NODE",
      subjects: ["node.*"],
      storage: "memory",
      max_age: nodeLifeMs * nsPerMs,
      duplicate_window: nodeLifeMs * nsPerMs, // may not exceed the age
      max_bytes: 4 * mebibyte,
    },
    { ...last, name: "AGENT", subjects: ["agent.*.*"], storage: "memory", max_bytes: smallBytes },
  ];
}

/** Names of the settings in which `found` differs. */
export function differences(wanted: StreamSettings, found: Partial<Record<string, unknown>>): string[] {
  return Object.entries(wanted)
    .filter(([name, value]) => JSON.stringify(found[name] ?? absent(name)) !== JSON.stringify(value))
    .map(([name]) => name);
}

/** What a server means by leaving a field out. */
function absent(name: string): unknown {
  return name === "discard_new_per_subject" ? false : name === "max_age" ? 0 : undefined;
}
