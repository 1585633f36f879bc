import { describe, expect, test } from "bun:test";
import { base64url } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { makeAnswer } from "#lib/statement";
import { DrivenClock } from "#support/driven-clock";
import { CorrectedClock } from "../../../agent/tunnel/corrected-clock.ts";
import { refreshDelayMs } from "../../../agent/tunnel/refresh-time.ts";
import { readRefusal, unverifiedDelayMsMax } from "../../../agent/tunnel/refusal.ts";
import { type TunnelEvent, type TunnelState, tunnelTransitions } from "../../../agent/tunnel/tunnel-state.ts";

describe("the life of a tunnel", () => {
  const states = Object.keys(tunnelTransitions) as TunnelState[]; // keys of a literal table
  const reachable = (from: TunnelState): Set<TunnelState> => {
    const seen = new Set<TunnelState>([from]);
    for (const state of seen) for (const next of Object.values(tunnelTransitions[state])) seen.add(next);
    return seen;
  };

  test("every state is reached from the first, and every one but stopped leads online", () => {
    expect([...reachable("waiting")].sort()).toEqual([...states].sort());
    for (const state of states.filter((one) => one !== "stopped"))
      expect({ state, online: reachable(state).has("online") }).toEqual({ state, online: true });
  });

  test("it can be stopped everywhere, and stays so", () => {
    for (const state of states.filter((one) => one !== "stopped"))
      expect(tunnelTransitions[state].stop).toBe("stopped");
    expect(tunnelTransitions.stopped).toEqual({});
  });

  test("no loss, no failure and no goaway leaves it without a next try", () => {
    for (const [state, events] of Object.entries(tunnelTransitions))
      for (const event of ["failed", "lost"] satisfies TunnelEvent[])
        if (events[event] !== undefined) expect(["waiting", "online", "connecting"], state).toContain(events[event]);
  });
});

describe("a corrected clock", () => {
  test("moves by an authenticated time, never behind what the authority has vouched for", () => {
    const machine = new DrivenClock(1_700_000_000_000);
    const clock = new CorrectedClock(machine);
    expect(clock.correct(1_700_000_005_000, 0)).toBe(false);
    expect(clock.now()).toBe(1_700_000_000_000);
    expect(clock.correct(1_700_086_400_000, 0)).toBe(true);
    expect(clock.now()).toBe(1_700_086_400_000);
    expect(clock.correct(1_600_000_000_000, 1_699_000_000_000)).toBe(true);
    expect(clock.now()).toBe(1_699_000_000_000);
  });
});

test("a credential is refreshed around half its life, at once when that is over or it can't be read", () => {
  const claims = { iat: 1_000, exp: 4_600 };
  expect(refreshDelayMs(claims, 1_000_000, 0)).toBe(1_440_000);
  expect(refreshDelayMs(claims, 1_000_000, 0.999)).toBeCloseTo(2_160_000, -4);
  expect(refreshDelayMs(claims, 4_000_000, 0.5)).toBe(0);
  expect(refreshDelayMs(undefined, 0, 0.5)).toBe(0);
});

describe("a refusal", () => {
  const keys = { answer: new Uint8Array(32).fill(7) };
  const jti = "AAAAAAAAAAAAAAAAAAAAAA";
  const word = async (code: "clock" | "revoked", retryAfterMs: number | null, of = jti, key = keys) =>
    base64url(await makeAnswer(webSuite, key, { code, jti: of, timeMs: 5_000, retryAfterMs }));

  test("is Solaris' word where its MAC holds, whatever Nexus wrote beside it", async () => {
    const read = await readRefusal(webSuite, keys, jti, { code: "revoked", answer: await word("clock", 3_600_000) });
    expect(read.fault.code).toBe("clock");
    expect(read.fault.detail.verified).toBe(true);
    expect(read.answer?.timeMs).toBe(5_000);
    expect(read.retryAfterMs).toBe(3_600_000);
  });

  test("that nobody authenticated delays by 5 minutes at most, and brings no time", async () => {
    const forged = await word("revoked", 86_400_000, jti, { answer: new Uint8Array(32) });
    const ofAnother = await word("revoked", 86_400_000, "BBBBBBBBBBBBBBBBBBBBBB");
    for (const answer of [undefined, forged, ofAnother, "!", ""]) {
      const refusal = { code: "revoked", retryAfterMs: 86_400_000, ...(answer === undefined ? {} : { answer }) };
      const read = await readRefusal(webSuite, keys, jti, refusal);
      expect(read.answer).toBeUndefined();
      expect(read.retryAfterMs).toBe(unverifiedDelayMsMax);
      expect(read.fault.detail.verified).toBe(false);
    }
    const noWord = await readRefusal(webSuite, keys, jti, {
      code: "limited",
      retryAfterMs: 600_000,
      answer: await word("clock", null),
    });
    expect(noWord.retryAfterMs).toBe(unverifiedDelayMsMax);
  });

  test("of a code that this version does not know is told as forbidden", async () => {
    expect((await readRefusal(webSuite, keys, jti, { code: "of_the_future" })).fault.code).toBe("forbidden");
  });
});
