import type { Link, MuxStream } from "#lib/link";
import { sessionStreams } from "#lib/session";
import type { Bug } from "./bugs.ts";
import { DownLane } from "./down-lane.ts";
import type { NexusSession } from "./sim-nexus.ts";
import type { SimProcess } from "./sim-process.ts";
import type { SimTime } from "./sim-time.ts";
import { UpLane } from "./up-lane.ts";

/** A lane in each direction between one node and the cloud, over its session. */
export class Lanes {
  readonly #up: UpLane;
  readonly #down: DownLane;

  constructor(time: SimTime, bug: Bug | undefined) {
    this.#up = new UpLane(time, bug);
    this.#down = new DownLane(time, bug);
  }

  check(): string | undefined {
    return this.#up.check() ?? this.#down.check();
  }

  judge(): string[] {
    return [...this.#up.judge(), ...this.#down.judge()];
  }

  node(link: Link, process: SimProcess): void {
    this.#down.node(link, process);
    this.#up.node(link, process);
  }

  nexus(session: NexusSession, process: SimProcess): void {
    session.onStream = (stream: MuxStream) => {
      const isUp = stream.name.every((byte, index) => byte === sessionStreams.up[index]);
      if (isUp) this.#up.nexus(stream, process);
      else this.#down.nexus(stream, process);
    };
  }
}
