import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isExtension } from "#lib/identity";
import {
  canUseOwn,
  checkNotBelow,
  createAuthorityView,
  type Freshness,
  mustWaitForList,
  noFreshness,
  raiseFreshness,
  revokedIdentifiers,
} from "#lib/statement";
import { expectFault } from "#support/faults";
import { agent, authority, begin, day, now, revocation, rotated, stranger, suite } from "./world.ts";

describe("the highest numbers", () => {
  const number = fc.nat(1_000);
  const partial = fc.record({ revocations: number, desired: number, authorityIat: number }, { requiredKeys: [] });

  test("never go down, whatever is shown and in whatever order", () => {
    fc.assert(
      fc.property(fc.array(partial), (shown) => {
        let seen: Freshness = noFreshness;
        for (const one of shown) {
          const next = raiseFreshness(seen, one);
          for (const name of ["revocations", "desired", "authorityIat"] as const)
            expect(next[name]).toBe(Math.max(seen[name], one[name] ?? 0));
          seen = next;
        }
        const reversed = shown.toReversed().reduce<Freshness>(raiseFreshness, noFreshness);
        expect(reversed).toEqual(seen);
      }),
    );
  });

  const seen = { revocations: 5, desired: 3, authorityIat: 0 };

  test("a lower one is stale, the same and a higher one are not", async () => {
    for (const of of ["revocations", "desired"] as const) {
      await expectFault(() => checkNotBelow(seen, of, seen[of] - 1), "statement_stale");
      checkNotBelow(seen, of, seen[of]);
      checkNotBelow(seen, of, seen[of] + 1);
    }
  });

  test("an own credential is of use once what it names is there", () => {
    expect(canUseOwn(seen, { revocations: 5, desired: 3 })).toBe(true);
    expect(canUseOwn(seen, { revocations: 4, desired: 2 })).toBe(true);
    expect(canUseOwn(seen, { revocations: 6, desired: 3 })).toBe(false);
    expect(canUseOwn(seen, { revocations: 5, desired: 4 })).toBe(false);
  });

  test("a peer that knows a newer list waits for it", () => {
    expect(mustWaitForList(seen, { revocations: 5 })).toBe(false);
    expect(mustWaitForList(seen, { revocations: 6 })).toBe(true);
  });
});

test("a list names whom it revokes", () => {
  const revoked = revokedIdentifiers(revocation());
  expect(revoked.has(stranger.identity.identifier)).toBe(true);
  expect(revoked.has(agent.identity.identifier)).toBe(false);
});

describe("the authority as a node knows it", () => {
  test("grows with extensions and forgets nothing", async () => {
    const second = await rotated(authority, begin + 1_000);
    const third = await rotated(second, begin + 2_000);
    const view = createAuthorityView(suite, authority.identity);
    expect(await view.offer(authority.chain, now)).toBe("known");
    expect(await view.offer(third.chain, now)).toBe("extended");
    expect(await view.offer(second.chain, now)).toBe("known"); // an old chain is no way back
    expect(await view.offer(authority.chain, now)).toBe("known");
    expect(view.identity.changes).toHaveLength(3);
  });

  test("takes no fork and no other authority", async () => {
    const [second, fork] = [await rotated(authority, begin + 1_000), await rotated(authority, begin + 1_000)];
    const longerFork = await rotated(fork, begin + 2_000);
    const view = createAuthorityView(suite, second.identity);
    await expectFault(view.offer(fork.chain, now), "identity_invalid");
    await expectFault(view.offer(longerFork.chain, now), "identity_invalid");
    await expectFault(view.offer(stranger.chain, now), "identity_unexpected");
    await expectFault(view.offer(new Uint8Array(10), now), "identity_invalid");
    expect(view.identity).toBe(second.identity);
  });

  test("takes an extension only in date", async () => {
    const view = createAuthorityView(suite, authority.identity);
    const second = await rotated(authority, now + day);
    await expectFault(view.offer(second.chain, now), "clock");
    await expectFault(view.offer(second.chain, now + 400 * day), "identity_expired");
    expect(await view.offer(second.chain, now + day)).toBe("extended");
  });

  test("ends with the longest, in whatever order chains arrive at once", async () => {
    const second = await rotated(authority, begin + 1_000);
    const third = await rotated(second, begin + 2_000);
    const chains = [third, second, authority, third, second].map(({ chain }) => chain);
    const view = createAuthorityView(suite, authority.identity);
    await Promise.all(chains.map((chain) => view.offer(chain, now)));
    expect(isExtension(view.identity, third.identity)).toBe(true);
  });
});
