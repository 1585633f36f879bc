import { expect } from "bun:test";
import { eventually } from "./eventually.ts";
import { connectTo, type TestConnection } from "./tcp-peers.ts";

const chunkBytes = 64 * 1_024;

/** A connection to an echo through which numbered chunks flow until it is stopped. */
export interface SteadyFlow {
  readonly connection: TestConnection;
  /** The longest time without a byte so far. */
  longestPauseMs(): number;
  /** Resolves when much more has come back than had when it was called. */
  goesOn(): Promise<void>;
  /** Ends it, and checks that all came back, whole and in order. */
  stop(): Promise<void>;
}

/** Begins to send through `port`; resolves when bytes flow. */
export async function steadyFlow(port: number): Promise<SteadyFlow> {
  const connection = await connectTo(port);
  let sentChunks = 0;
  let going = true;
  const chunk = new Uint8Array(chunkBytes);
  const send = async () => {
    while (going) {
      new DataView(chunk.buffer).setUint32(0, sentChunks);
      await connection.write(chunk.slice());
      sentChunks++;
      await Bun.sleep(1); // a steady stream, not a race for the processors
    }
    connection.end();
  };
  const sending = send();
  let longest = 0;
  let [lastBytes, lastMs] = [0, performance.now()];
  const watch = setInterval(() => {
    if (connection.receivedBytes === lastBytes) longest = Math.max(longest, performance.now() - lastMs);
    else [lastBytes, lastMs] = [connection.receivedBytes, performance.now()];
  }, 5);
  await eventually("bytes flow", () => connection.receivedBytes > 10 * chunkBytes);
  return {
    connection,
    longestPauseMs: () => longest,
    async goesOn() {
      const before = connection.receivedBytes;
      await eventually("bytes flow again", () => connection.receivedBytes > before + 20 * chunkBytes, {
        timeoutMs: 30_000,
      });
    },
    async stop() {
      going = false;
      await sending;
      clearInterval(watch);
      expect(await connection.ended).toBe("fin");
      const all = Buffer.concat(connection.received);
      expect(all.length).toBe(sentChunks * chunkBytes);
      for (let at = 0; at < sentChunks; at++) expect(all.readUInt32BE(at * chunkBytes)).toBe(at);
    },
  };
}
