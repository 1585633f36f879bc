import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hex } from "#lib/bytes";
import { ReferenceHandshake } from "../reference/noise-xx.ts";

setDefaultTimeout(30_000);

const fixtures = join(import.meta.dir, "fixtures");
let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "vectors-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

/** Runs the command as a person does. */
async function vectors(...args: string[]): Promise<{ exitCode: number; out: string; err: string }> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "main.ts"), ...args], {
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { exitCode, out, err };
}

async function written(name: string, content: unknown): Promise<string> {
  const path = join(scratch, name);
  await writeFile(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

/** A fixture's text with the first match of each pattern replaced: what a wrong file, or wrong code, looks like. */
async function edited(fixture: string, name: string, ...edits: readonly [RegExp, string][]): Promise<string> {
  let text = await readFile(join(fixtures, fixture), "utf8");
  for (const [pattern, replacement] of edits) {
    expect(text).toMatch(pattern);
    text = text.replace(pattern, replacement);
  }
  return written(name, text);
}

const counts = (run: number, passed: number, failed: number, other: number) =>
  `run ${run}, passed ${passed}, failed ${failed}, not applicable ${other}`;

describe("what passes", () => {
  test.each([
    ["noise", "noise-xx.json", counts(3, 3, 0, 2)],
    ["wycheproof", "x25519.json", counts(5, 5, 0, 2)],
    ["wycheproof", "ed25519.json", counts(6, 6, 0, 1)],
    ["wycheproof", "aes-gcm.json", counts(4, 4, 0, 3)],
    ["wycheproof", "hkdf-sha256.json", counts(4, 4, 0, 0)],
    ["wycheproof", "hmac-sha256.json", counts(5, 5, 0, 0)],
  ])("%s %s", async (kind, file, expected) => {
    const path = join(fixtures, file);
    const { exitCode, out } = await vectors(kind, path);
    expect(out).toStartWith(`${path}: ${expected}\n`);
    expect(exitCode).toBe(0);
  });

  test.each(["web", "noble"])("with %s alone", async (suite) => {
    const { exitCode } = await vectors("noise", "--suite", suite, join(fixtures, "noise-xx.json"));
    expect(exitCode).toBe(0);
  });

  test("a vector made by the specification's text, optional fields absent or null", async () => {
    const secret = (byte: number) => new Uint8Array(32).fill(byte);
    const none = new Uint8Array(0);
    const initiator = new ReferenceHandshake(true, none, secret(1), secret(2));
    const responder = new ReferenceHandshake(false, none, secret(3), secret(4));
    const messages = [initiator, responder, initiator].map((writer) => {
      const message = writer.WriteMessage(none);
      (writer === initiator ? responder : initiator).ReadMessage(message);
      return { payload: "", ciphertext: hex(message).toUpperCase() };
    });
    const [, fromResponder] = responder.symmetric.Split();
    messages.push({ payload: "07", ciphertext: hex(fromResponder.EncryptWithAd(none, Uint8Array.of(7))) });
    const vector = {
      protocol_name: "Noise_XX_25519_AESGCM_SHA256",
      init_static: hex(secret(1)),
      init_ephemeral: hex(secret(2)),
      resp_static: hex(secret(3)),
      resp_ephemeral: hex(secret(4)),
      init_psks: null,
      handshake_hash: null,
      messages,
    };
    const { exitCode, out } = await vectors("noise", await written("reference.json", { vectors: [vector] }));
    expect(out).toContain(counts(1, 1, 0, 0));
    expect(exitCode).toBe(0);
  });
});

describe("what fails, each with exit code 1 and the reason", () => {
  const cases: readonly [string, string, string, [RegExp, string], string][] = [
    [
      "noise",
      "noise-xx.json",
      "a changed handshake message",
      [/"ciphertext": "../, '"ciphertext": "00'],
      "message 1 is",
    ],
    ["noise", "noise-xx.json", "a changed payload", [/"payload": "6f6e65"/, '"payload": "6f6e64"'], "message 1 is"],
    ["noise", "noise-xx.json", "another hash", [/"handshake_hash": "../, '"handshake_hash": "00'], "handshake hash"],
    ["noise", "noise-xx.json", "a missing key", [/"init_static"/, '"nothing"'], "init_static"],
    ["noise", "noise-xx.json", "no hexadecimal", [/"init_static": "../, '"init_static": "zz'], "not hexadecimal"],
    [
      "noise",
      "noise-xx.json",
      "the other side first",
      [/"transport_first_sender": "initiator"/, '"transport_first_sender": "responder"'],
      "message 4 is",
    ],
    [
      "noise",
      "noise-xx.json",
      "nobody first",
      [/"transport_first_sender": "initiator"/, '"transport_first_sender": "relay"'],
      "neither initiator nor responder",
    ],
    ["wycheproof", "x25519.json", "another secret", [/"shared": "4a/, '"shared": "4b'], "shared secret is"],
    ["wycheproof", "x25519.json", "a good key called invalid", [/"valid"/, '"invalid"'], "accepted what is invalid"],
    ["wycheproof", "ed25519.json", "a forgery called valid", [/"invalid"/, '"valid"'], "refused what is valid"],
    ["wycheproof", "ed25519.json", "a good one called invalid", [/"valid"/, '"invalid"'], "accepted what is invalid"],
    ["wycheproof", "ed25519.json", "a missing field", [/"sig"/, '"signature"'], "sig"],
    ["wycheproof", "aes-gcm.json", "a changed text", [/"msg": "../, '"msg": "00'], "plaintext is"],
    ["wycheproof", "aes-gcm.json", "a changed tag called valid", [/"invalid"/, '"valid"'], "refused what is valid"],
    ["wycheproof", "hkdf-sha256.json", "another output", [/"okm": "3c/, '"okm": "3d'], "output is"],
    ["wycheproof", "hkdf-sha256.json", "too much called valid", [/"invalid"/, '"valid"'], "refused what is valid"],
    ["wycheproof", "hmac-sha256.json", "another tag", [/"tag": "b0/, '"tag": "b2'], "refused what is valid"],
    ["wycheproof", "hmac-sha256.json", "an unknown result", [/"valid"/, '"good"'], "result"],
  ];
  test.each(cases)("%s %s with %s", async (kind, fixture, what, edit, reason) => {
    const path = await edited(fixture, `${what.replaceAll(" ", "-")}-${fixture}`, edit);
    const { exitCode, out } = await vectors(kind, path);
    expect(out).toContain("failed 1,");
    expect(out).toContain(reason);
    expect(exitCode).toBe(1);
  });

  test("one bad file among good ones, which still run", async () => {
    const bad = await edited("x25519.json", "bad.json", [/"shared": "4a/, '"shared": "4b']);
    const { exitCode, out } = await vectors("wycheproof", bad, join(fixtures, "hkdf-sha256.json"));
    expect(out).toContain(counts(5, 4, 1, 2));
    expect(out).toContain(counts(4, 4, 0, 0));
    expect(exitCode).toBe(1);
  });

  test("too few messages for a handshake", async () => {
    const { vectors: all } = JSON.parse(await readFile(join(fixtures, "noise-xx.json"), "utf8"));
    all[0].messages.length = 2;
    const { exitCode, out } = await vectors("noise", await written("short.json", { vectors: [all[0]] }));
    expect(out).toContain(counts(1, 0, 1, 0));
    expect(exitCode).toBe(1);
  });
});

describe("a file that proves nothing, each with exit code 1", () => {
  test.each([
    ["noise", { vectors: [{ protocol_name: "Noise_XX_25519_ChaChaPoly_SHA256" }] }, counts(0, 0, 0, 1)],
    ["noise", { vectors: [] }, counts(0, 0, 0, 0)],
    ["wycheproof", { algorithm: "AES-CCM", testGroups: [{ type: "AeadTest", tests: [{}, {}] }] }, counts(0, 0, 0, 2)],
    ["wycheproof", { algorithm: "HMACSHA1", testGroups: [{ type: "MacTest", tests: [{}] }] }, counts(0, 0, 0, 1)],
    ["wycheproof", { algorithm: "HKDF-SHA-512", testGroups: [{ type: "HkdfTest", tests: [{}] }] }, counts(0, 0, 0, 1)],
    ["wycheproof", { algorithm: "ECDSA", testGroups: [{ type: "EcdsaVerify", tests: [{}] }] }, counts(0, 0, 0, 1)],
    ["wycheproof", { testGroups: [] }, counts(0, 0, 0, 0)],
  ])("%s, no case of ours: %#", async (kind, content, expected) => {
    const { exitCode, out } = await vectors(kind, await written("none.json", content));
    expect(out).toContain(expected);
    expect(out).toContain("no case ran");
    expect(exitCode).toBe(1);
  });

  test.each([
    ["noise", "{", "is not JSON"],
    ["noise", "", "is not JSON"],
    ["noise", "[]", "is no Noise vector file"],
    ["noise", '{"testGroups": []}', "vectors wycheproof"],
    ["wycheproof", '{"vectors": []}', "vectors noise"],
    ["wycheproof", '{"testGroups": 5}', "is no Wycheproof file"],
    ["wycheproof", "null", "is no Wycheproof file"],
  ])("%s on %p", async (kind, content, reason) => {
    const path = await written("bad.json", content);
    const { exitCode, err } = await vectors(kind, path);
    expect(err).toContain(`${path}: `);
    expect(err).toContain(reason);
    expect(exitCode).toBe(1);
  });

  test("one that is not there, or a directory", async () => {
    const { exitCode, err } = await vectors("noise", join(scratch, "nowhere.json"), scratch);
    expect(err).toContain("no such file");
    expect(err).toContain("is a directory");
    expect(exitCode).toBe(1);
  });
});

test("how it is asked for", async () => {
  for (const args of [["--help"], ["noise", "--help"], ["wycheproof", "--help"]]) {
    const { exitCode, out } = await vectors(...args);
    expect(out).toContain("Usage:");
    expect(exitCode).toBe(0);
  }
  for (const args of [[], ["noise"], ["speed", "x"], ["noise", "--suite", "none", "x"]])
    expect((await vectors(...args)).exitCode).toBe(1);
});
