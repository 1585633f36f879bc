import { describe, expect, test } from "bun:test";
import { base64url } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { Fault, type FaultCode } from "#lib/fault";
import { silentLog } from "#lib/log";
import { makeAnswer } from "#lib/statement";
import { DrivenClock } from "#support/driven-clock";
import { CorrectedClock } from "../../../agent/tunnel/corrected-clock.ts";
import { RefusedOpening } from "../../../agent/tunnel/open-tunnel.ts";
import { readRefusal } from "../../../agent/tunnel/refusal.ts";
import { retryDelayMs } from "../../../agent/tunnel/retry.ts";
import { Tunnel } from "../../../agent/tunnel/tunnel.ts";

const minute = 60_000;
const keys = { answer: new Uint8Array(32).fill(7) };
const jti = "AAAAAAAAAAAAAAAAAAAAAA";

/** A refusal as Nexus shows it, with Solaris' word under its MAC or without. */
async function refusal(code: FaultCode, by: "cloud" | "gateway", retryAfterMs?: number) {
  const told = retryAfterMs === undefined ? {} : { retryAfterMs };
  if (by === "gateway") return await readRefusal(webSuite, keys, jti, { code, ...told });
  const answer = base64url(await makeAnswer(webSuite, keys, { code, jti, timeMs: 5_000, retryAfterMs: null }));
  return await readRefusal(webSuite, keys, jti, { code, answer });
}

/** A tunnel whose openings are all refused so, on a clock that the test moves; `random` is all zeros or all ones. */
async function refused(read: Awaited<ReturnType<typeof refusal>>, random: 0 | 255) {
  const machine = new DrivenClock();
  const tries: number[] = [];
  const unused = () => {
    throw new TypeError("not before a session is open");
  };
  const tunnel = new Tunnel({
    clock: new CorrectedClock(machine),
    random: (length) => new Uint8Array(length).fill(random),
    log: silentLog,
    openLink: async () => {
      tries.push(machine.monotonic());
      throw new RefusedOpening(read);
    },
    store: {} as never,
    trust: {} as never,
    host: { version: "1", platform: "test", hostname: "site" },
    downLanes: unused,
    sealOf: unused,
    waiting: unused,
    health: unused,
    desired: unused,
    command: unused,
    relayOffered: unused,
    warn: unused,
  });
  tunnel.start();
  await machine.advance(0);
  return { machine, tries, tunnel };
}

const longest = (tries: readonly number[]) =>
  Math.max(...tries.slice(1).map((time, index) => time - (tries[index] ?? 0)));

describe("who is refused comes again", () => {
  test("rarely, when the cloud itself has revoked it: minutes, then an hour at most", async () => {
    const { machine, tries, tunnel } = await refused(await refusal("revoked", "cloud"), 255);
    await machine.advance(30 * minute);
    expect(tries.length).toBeLessThan(12);
    await machine.advance(24 * 60 * minute);
    expect(tries.length).toBeLessThan(40);
    expect(longest(tries)).toBeGreaterThan(55 * minute);
    expect(longest(tries)).toBeLessThanOrEqual(60 * minute);
    expect(tunnel.status).toMatchObject({ state: "waiting", code: "revoked", nextTryAt: expect.any(Number) });
    expect(tunnel.status.reason).toContain("revoked in the cloud");
    await tunnel[Symbol.asyncDispose]();
  });

  for (const code of ["suspended", "licence_expired", "held", "copied"] as const)
    test(`within 5 minutes, when a person in the cloud may lift it: ${code}`, async () => {
      for (const random of [0, 255] as const) {
        const { machine, tries, tunnel } = await refused(await refusal(code, "cloud"), random);
        await machine.advance(10 * minute);
        expect(tries.length).toBeLessThan(16);
        await machine.advance(10 * 60 * minute);
        expect(tries.length).toBeLessThan(300);
        expect(longest(tries)).toBeGreaterThan(2 * minute);
        expect(longest(tries)).toBeLessThanOrEqual(5 * minute);
        await tunnel[Symbol.asyncDispose]();
      }
    });

  test("within 5 minutes, whatever a gateway alone says", async () => {
    for (const read of [await refusal("revoked", "gateway"), await refusal("revoked", "gateway", 24 * 60 * minute)]) {
      const { machine, tries, tunnel } = await refused(read, 255);
      await machine.advance(3 * 60 * minute);
      expect(longest(tries)).toBeLessThanOrEqual(5 * minute);
      expect(tries.length).toBeGreaterThan(30);
      await tunnel[Symbol.asyncDispose]();
    }
  });

  test("says since when it is offline, not since its last try", async () => {
    const { machine, tunnel } = await refused(await refusal("suspended", "cloud"), 255);
    const { since } = tunnel.status;
    await machine.advance(60 * minute);
    expect(tunnel.status.since).toBe(since);
    await tunnel[Symbol.asyncDispose]();
  });
});

test("a lost way is tried soon and anywhere in its range: many agents do not come at once", () => {
  expect(retryDelayMs(0, undefined, 0.5)).toBe(500);
  expect(retryDelayMs(30, undefined, 0)).toBe(0);
  expect(retryDelayMs(30, undefined, 0.999)).toBeLessThan(minute);
  const lost = { fault: new Fault("revoked"), answer: undefined, retryAfterMs: undefined };
  expect(retryDelayMs(30, lost, 0.999)).toBeLessThan(minute);
});
