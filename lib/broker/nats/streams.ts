import { Fault } from "#lib/fault";
import { isNatsError, natsError } from "./nats-faults.ts";
import type { NatsLink } from "./nats-link.ts";
import { differences, type StreamSettings } from "./stream-settings.ts";

interface StreamInfo {
  readonly config: Partial<Record<string, unknown>> & { readonly name: string };
  readonly state: { readonly bytes: number; readonly last_seq: number };
}

/** What is known of one stream. */
export interface Stream {
  /**
   * The life that cursors count in: a text that was put into the stream's description when it was made. The server's own creation time
   * won't do: 2.9.10 writes the time of its restart into the stream's file, and shows it after the next one.
   */
  readonly created: string;
  /** At least this many sequences were given out. */
  readonly lastSeq: number;
  readonly bytes: number;
  readonly bytesMax: number;
  readonly refuses: boolean;
}

/** The streams of the broker: checked or made to be exactly what they must be. */
export class Streams {
  readonly #link: NatsLink;
  readonly #wanted: readonly StreamSettings[];
  readonly #newLife: () => string;
  #known = new Map<string, Stream>();

  constructor(link: NatsLink, wanted: readonly StreamSettings[], newLife: () => string) {
    this.#link = link;
    this.#wanted = wanted;
    this.#newLife = newLife;
  }

  /**
   * Makes missing streams, and differing settings right. `memory`: only the missing ones in memory, which are gone after every restart of a
   * server and which every program may make. Fault `broker_settings` when the server refuses that.
   */
  async provision(which: "all" | "memory"): Promise<void> {
    const found = await this.#list();
    for (const wanted of this.#wanted) {
      if (which === "memory" && (wanted.storage !== "memory" || found.has(wanted.name))) continue;
      const stream = found.get(wanted.name);
      const life = stream === undefined ? undefined : lifeOf(stream);
      if (stream !== undefined && life !== undefined && differences(wanted, stream.config).length === 0) continue;
      const verb = stream === undefined ? "CREATE" : "UPDATE";
      await this.#set(`STREAM.${verb}.${wanted.name}`, { ...wanted, description: life ?? this.#newLife() });
    }
  }

  /** Reads all streams anew. Fault `broker_settings` unless each is exactly what it must be (detail: which, and what differs). */
  async check(): Promise<void> {
    const found = await this.#list();
    const known = new Map<string, Stream>();
    for (const wanted of this.#wanted) {
      const stream = found.get(wanted.name);
      if (stream === undefined) throw unsuited(wanted.name, "missing");
      const differing = differences(wanted, stream.config);
      if (differing.length > 0) throw unsuited(wanted.name, differing.join(","));
      const { state } = stream;
      const created = lifeOf(stream);
      if (created === undefined) throw unsuited(wanted.name, "description");
      known.set(wanted.name, {
        created,
        lastSeq: state.last_seq,
        bytes: state.bytes,
        bytesMax: wanted.max_bytes,
        refuses: wanted.discard === "new",
      });
    }
    this.#known = known;
  }

  /** What the last check found. */
  get(name: string): Stream {
    const stream = this.#known.get(name);
    if (stream === undefined) throw new Fault("broker_settings", "a stream is missing", { detail: { stream: name } });
    return stream;
  }

  all(): ReadonlyMap<string, Stream> {
    return this.#known;
  }

  /** Last sequence that the stream has given out, asked now. */
  async lastSeq(name: string): Promise<number> {
    const { state } = await this.#link.api<StreamInfo>(`STREAM.INFO.${name}`);
    return state.last_seq;
  }

  async #list(): Promise<Map<string, StreamInfo>> {
    const found = new Map<string, StreamInfo>();
    for (;;) {
      const page = await this.#link.api<{ total: number; streams: StreamInfo[] | null }>("STREAM.LIST", {
        offset: found.size,
      });
      const before = found.size;
      for (const stream of page.streams ?? []) found.set(stream.config.name, stream);
      if (found.size >= page.total || found.size === before) return found;
    }
  }

  async #exists(name: string): Promise<boolean> {
    try {
      await this.#link.api(`STREAM.INFO.${name}`);
      return true;
    } catch (error) {
      if (isNatsError(error, natsError.streamNotFound)) return false;
      throw error;
    }
  }

  async #set(subject: string, settings: StreamSettings & { readonly description: string }): Promise<void> {
    try {
      await this.#link.api(subject, settings);
    } catch (error) {
      // Another program made it in the same moment, under another life: what it made is looked at by the check.
      if (isNatsError(error, natsError.streamNameInUse)) return;
      // nats-server may say instead that the subjects are taken: by that very stream, or by one that is none of ours.
      if (isNatsError(error, natsError.subjectsOverlap) && (await this.#exists(settings.name))) return;
      const refused = error instanceof Fault && error.detail.nats !== undefined;
      if (!refused) throw error;
      throw new Fault("broker_settings", `stream ${settings.name} can't be made: ${error.message}`, {
        detail: { stream: settings.name, nats: error.detail.nats ?? natsError.streamNotFound },
      });
    }
  }
}

function lifeOf({ config }: StreamInfo): string | undefined {
  const { description } = config;
  return typeof description === "string" && /^[0-9A-Za-z:.-]{1,40}$/.test(description) ? description : undefined;
}

function unsuited(stream: string, what: string): Fault {
  return new Fault("broker_settings", `stream ${stream} is not as it must be: ${what}`, { detail: { stream, what } });
}
