import { concat, hex, utf8 } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { asFault, Fault } from "#lib/fault";
import { pushWaitingBytesMax } from "#lib/limits";
import { messageIdOfKey } from "#lib/session";
import type { Lane } from "../../lanes/index.ts";
import { newMessageId } from "../message-id.ts";
import { type EntryStepDeps, makeEntrySteps } from "./entry-steps.ts";
import { LanePublisher, type PushResult, type Queued } from "./lane-publisher.ts";
import type { PushItem } from "./push-item.ts";

export type PusherDeps = Omit<EntryStepDeps, "track"> & { readonly suite: CryptoSuite };

/** Takes messages for lanes. */
export interface Pusher extends AsyncDisposable {
  /**
   * What became of each item, in order: its id once row and broker have it, or a Fault (`idempotency_conflict`,
   * `lane_full`, `unavailable`, `revoked`). Never rejects for one item's sake.
   */
  push(lane: Lane, items: readonly PushItem[]): Promise<PushResult[]>;
}

/** Disposing refuses new messages and waits for those that are under way. */
export function makePusher(deps: PusherDeps): Pusher {
  const publishers = new Map<number, LanePublisher>();
  const tracked = new Set<Promise<unknown>>();
  let waitingBytes = 0;
  let closed = false;

  const steps = makeEntrySteps({
    ...deps,
    track(work) {
      const settled = work
        .catch((error: unknown) => deps.log.error("where an entry lies was not written", { error })) // taken up again later
        .finally(() => tracked.delete(settled));
      tracked.add(settled);
    },
  });

  function publisherOf(lane: Lane): LanePublisher {
    const known = publishers.get(lane.id);
    if (known !== undefined) return known;
    const made = new LanePublisher(lane, steps, () => {
      if (publishers.get(lane.id) === made) publishers.delete(lane.id);
    });
    publishers.set(lane.id, made);
    return made;
  }

  async function identify(lane: Lane, item: PushItem): Promise<Omit<Queued, "settle">> {
    if (item.key === undefined) return { id: newMessageId(deps.clock, deps.random), bodyHash: undefined, item };
    const id = await messageIdOfKey(deps.suite, lane, item.key);
    const hash = await deps.suite.sha256(concat(utf8(`${item.contentType ?? ""}\0`), item.body));
    return { id, bodyHash: hex(hash), item };
  }

  return {
    async push(lane, items) {
      if (closed) throw new Fault("draining");
      const bytes = items.reduce((sum, { body }) => sum + body.length, 0);
      if (waitingBytes > 0 && waitingBytes + bytes > pushWaitingBytesMax)
        throw new Fault("unavailable", "too much waits to be published", { detail: { retryAfterMs: 1_000 } });
      waitingBytes += bytes;
      try {
        const identified = await Promise.all(items.map((item) => identify(lane, item)));
        return await settleAll(publisherOf(lane), identified);
      } finally {
        waitingBytes -= bytes;
      }
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      while (publishers.size > 0 || tracked.size > 0) {
        await Promise.all([...publishers.values()].map((publisher) => publisher.drained()));
        await Promise.all(tracked);
      }
    },
  };
}

/** One promise for all items of a request: some thousand a second come this way. */
function settleAll(publisher: LanePublisher, identified: readonly Omit<Queued, "settle">[]): Promise<PushResult[]> {
  return new Promise((resolve, reject) => {
    const results = new Array<PushResult | undefined>(identified.length);
    let left = identified.length;
    const settleAt = (index: number) => (result: PushResult) => {
      if (results[index] !== undefined) return;
      results[index] = result;
      left -= 1;
      if (left === 0) resolve(results.map((each) => each ?? new Fault("internal")));
    };
    try {
      publisher.push(identified.map((waiting, index) => ({ ...waiting, settle: settleAt(index) })));
    } catch (error) {
      reject(asFault(error, "internal"));
    }
  });
}
