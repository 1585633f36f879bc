import { describe, expect, test } from "bun:test";
import { utf8 } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { systemClock, systemRandom } from "#lib/runtime";
import { messageIdOfKey } from "#lib/session";
import { checkReceiveSchema, compileReceiveSchema } from "../../../control/messages/ingest/receive-schema.ts";
import { checkedIdempotencyKey, newMessageId } from "../../../control/messages/message-id.ts";
import { preferredWaitMs } from "../../../control/messages/push/prefer.ts";
import { beginning, cursorText, parseCursor } from "../../../control/messages/received/cursor.ts";

describe("message ids", () => {
  const lane = { customerId: "c", agentId: "a", plugin: "p" };

  test("a key stands for one message of one lane", async () => {
    const id = await messageIdOfKey(webSuite, lane, "k");
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(await messageIdOfKey(webSuite, { ...lane }, "k")).toBe(id);
    const others = [{ customerId: "d" }, { agentId: "b" }, { plugin: "q" }].map((change) =>
      messageIdOfKey(webSuite, { ...lane, ...change }, "k"),
    );
    expect(new Set([id, await messageIdOfKey(webSuite, lane, "l"), ...(await Promise.all(others))]).size).toBe(5);
  });

  test("without a key they rise with time and never meet", () => {
    const at = (now: number) => newMessageId({ ...systemClock, now: () => now }, systemRandom);
    const times = [1, 255, 256, 1_700_000_000_000, 1_700_000_000_001];
    expect(times.map(at).toSorted()).toEqual(
      times.map((time) => expect.stringContaining(time.toString(16).padStart(12, "0"))),
    );
    expect(new Set(Array.from({ length: 1_000 }, () => at(1))).size).toBe(1_000);
  });

  test("a key is printable and not longer than 255", () => {
    for (const bad of ["", "ä", "a\n", "\u0001replay", "x".repeat(256)])
      expect(() => checkedIdempotencyKey(bad)).toThrow(Fault);
    expect(checkedIdempotencyKey("order 1/2")).toBe("order 1/2");
  });
});

test("Prefer: wait in its forms (RFC 7240), at most a minute", () => {
  expect(preferredWaitMs("wait=5")).toBe(5_000);
  expect(preferredWaitMs('respond-async, wait="10"')).toBe(10_000);
  expect(preferredWaitMs("Wait = 999")).toBe(60_000);
  for (const none of [undefined, "", "respond-async", "wait=-1", "wait=x", "await=5", "wait=5x"])
    expect(preferredWaitMs(none)).toBe(0);
});

test("a cursor is one of ours or refused", () => {
  expect(parseCursor(cursorText(beginning)).seq).toBe(0);
  expect(parseCursor(cursorText({ seq: 12, index: 3 }))).toEqual({ seq: 12, index: 3 });
  expect(parseCursor("12.3")).toEqual({ seq: 12, index: 3 });
  for (const bad of ["1", "-1.2", "1.2.3", "x", "1.99999", "1e3.1"]) expect(() => parseCursor(bad)).toThrow(Fault);
});

describe("what a plugin's messages must fit", () => {
  test("says where it does not fit, never what was there", () => {
    const check = compileReceiveSchema({
      type: "object",
      required: ["id"],
      properties: { id: { type: "integer" }, lines: { type: "array", items: { $ref: "#/$defs/line" } } },
      $defs: { line: { type: "object", required: ["sku"] } },
    });
    expect(check(utf8('{"id":1,"lines":[{"sku":"x"}]}'))).toBeUndefined();
    expect(check(utf8('{"id":"hidden"}'))).toContain("#/id");
    expect(check(utf8('{"id":"hidden"}'))).not.toContain("hidden");
    expect(check(utf8('{"id":1,"lines":[{}]}'))).toContain("#/lines/0");
    expect(check(utf8("{"))).toBe("not JSON");
    expect(check(Uint8Array.of(0xff))).toBe("not JSON");
  });

  test("a schema is bounded: size, depth, references, expressions that run for long", () => {
    const deep = (depth: number): unknown => (depth === 0 ? {} : { items: deep(depth - 1) });
    const bad: unknown[] = [
      null,
      [],
      "x",
      deep(40),
      { description: "x".repeat(40_000) },
      { $ref: "other.json" },
      { $dynamicRef: "http://x/#a" },
      ...["(a+)+", "(a|a)*", "((a)b)*c", "(a*){5}", "\\1", "(?=x)", "["].map((pattern) => ({ pattern })),
    ];
    for (const schema of bad) expect(() => checkReceiveSchema(schema)).toThrow(Fault);
    for (const pattern of ["^[A-Z]{2}\\d+$", "^(EUR|USD)$", "a*b+c?"])
      checkReceiveSchema({ properties: { a: { pattern } } });
  });
});
