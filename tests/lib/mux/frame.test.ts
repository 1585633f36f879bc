import { describe, expect, test } from "bun:test";
import { type Bytes, concat } from "#lib/bytes";
import { decodeFrame, type Frame } from "#lib/mux";
import { frames } from "#support/frames";
import { pattern } from "#support/mux-pair";

const name = pattern(16);
const long = 2 ** 53 - 1;
const samples: { readonly bytes: Bytes; readonly frame: Frame }[] = [
  { bytes: frames.open(1, name, 70_000), frame: { type: "open", stream: 1, name, allowed: 70_000 } },
  { bytes: frames.data(2, pattern(300)), frame: { type: "data", stream: 2, data: pattern(300) } },
  { bytes: frames.credit(3, 10, long), frame: { type: "credit", stream: 3, received: 10, allowed: long } },
  { bytes: frames.fin(4, 99), frame: { type: "fin", stream: 4, length: 99 } },
  { bytes: frames.reset(0xffff_ffff, "not_found"), frame: { type: "reset", stream: 0xffff_ffff, code: "not_found" } },
  { bytes: frames.resume(5, name, 7), frame: { type: "resume", stream: 5, name, next: 7 } },
  { bytes: frames.ping(0), frame: { type: "ping", number: 0 } },
  { bytes: frames.pong(9, 12), frame: { type: "pong", number: 9, received: 12 } },
  { bytes: frames.goaway(true, "revoked"), frame: { type: "goaway", final: true, code: "revoked" } },
  { bytes: frames.goaway(false, "draining"), frame: { type: "goaway", final: false, code: "draining" } },
];

describe("frame decoder", () => {
  test("reads each frame, wherever it stands", () => {
    for (const { bytes, frame } of samples) {
      const placed = concat(pattern(5), bytes, pattern(5));
      expect(decodeFrame(placed, 5)).toEqual({ status: "value", frame, end: 5 + bytes.length });
    }
  });

  test("asks for more at every cut of every frame, and for nothing else", () => {
    for (const { bytes } of samples)
      for (let cut = 0; cut < bytes.length; cut++) expect(decodeFrame(bytes.subarray(0, cut), 0).status).toBe("need");
  });

  test("never asks for more of what can't become a frame", () => {
    const wrong: Bytes[] = [
      ...Array.from({ length: 256 }, (_, type) => new Uint8Array([type])).filter(
        ([type]) => type === 0 || (type ?? 0) > 9,
      ),
      frames.data(0, pattern(1)).subarray(0, 5),
      frames.data(1, new Uint8Array(0)),
      frames.open(0, name).subarray(0, 5),
      frames.reset(1, "").subarray(0, 6),
      frames.reset(1, "a".repeat(65)).subarray(0, 6),
      frames.reset(1, "Forbidden").subarray(0, 7 + 8),
      frames.goaway(false, "x y"),
      new Uint8Array([9, 2]),
      new Uint8Array([9, 0, 0]),
      new Uint8Array([8, 0, 0, 0, 1, 0, 0x20]),
      new Uint8Array([4, 0, 0, 0, 1, 1]),
      new Uint8Array([3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff]),
      new Uint8Array([1, 0, 0, 0, 1, ...name, 0xff]),
      new Uint8Array([6, 0, 0, 0, 1, ...name, 0, 0x40]),
    ];
    for (const bytes of wrong) {
      const reading = decodeFrame(bytes, 0);
      expect(reading.status).toBe("fault");
      if (reading.status === "fault") expect(reading.fault.code).toBe("frame_invalid");
    }
  });

  test("gives data without a copy", () => {
    const bytes = frames.data(2, pattern(10));
    const reading = decodeFrame(bytes, 0);
    if (reading.status !== "value" || reading.frame.type !== "data") throw new TypeError("not data");
    expect(reading.frame.data.buffer).toBe(bytes.buffer);
  });
});
