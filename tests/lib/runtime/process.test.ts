import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { makeLog } from "#lib/log";
import {
  consoleLogSink,
  hashPassword,
  hostFacts,
  monitorLoopLag,
  probeTcp,
  probeTls,
  residentBytes,
  resolveHost,
  runCommand,
  systemClock,
  systemRandom,
  verifyPassword,
} from "#lib/runtime";
import { expectFault } from "../../support/faults.ts";

setDefaultTimeout(30_000);

describe("processes and the machine", () => {
  test("a program gets its input, and its answer and exit code are told", async () => {
    expect(await runCommand(["cat"], { input: "in" })).toEqual({ exitCode: 0, stdout: "in", stderr: "" });
    expect((await runCommand(["sh", "-c", "echo no >&2; exit 3"])).exitCode).toBe(3);
    expect((await runCommand(["sh", "-c", "echo $X"], { env: { X: "set" } })).stdout).toBe("set\n");
    await expectFault(runCommand(["no-such-program-here"]), "not_found");
    await expectFault(runCommand(["sleep", "20"], { timeoutMs: 50 }), "timeout");
  });

  test("a password fits its own hash only, and every hash is another", async () => {
    const hash = await hashPassword("correct horse");
    expect(hash).toStartWith("$argon2id$");
    expect(await verifyPassword("correct horse", hash)).toBe(true);
    expect(await verifyPassword("wrong", hash)).toBe(false);
    expect(await verifyPassword("x", "no hash")).toBe(false);
    expect(await hashPassword("correct horse")).not.toBe(hash);
  });

  test("clock, random source, host", () => {
    const before = systemClock.monotonic();
    expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(1_000);
    expect(systemClock.monotonic()).toBeGreaterThanOrEqual(before);
    expect(() => systemClock.after(-1, () => undefined)).toThrow(RangeError);
    expect(() => systemClock.after(2 ** 31, () => undefined)).toThrow(RangeError);
    expect(systemRandom(32)).not.toEqual(systemRandom(32));
    expect(hostFacts().platform).toMatch(/^[a-z0-9]+-[a-z0-9]+$/);
    expect(residentBytes()).toBeGreaterThan(1_000_000);
  });

  test("the lag of a blocked event loop is seen", async () => {
    using monitor = monitorLoopLag(systemClock, 2);
    await new Promise<void>((resolve) => systemClock.after(10, resolve));
    monitor.read();
    Bun.sleepSync(60);
    await new Promise<void>((resolve) => systemClock.after(10, resolve));
    expect(monitor.read().maxMs).toBeGreaterThan(40);
  });

  test("log lines are one line each, as JSON or for people, from their level on", () => {
    const lines: string[] = [];
    const write = (line: string) => void lines.push(line);
    const log = makeLog(consoleLogSink({ level: "info", format: "json", write })).child("tunnel");
    log.debug("not shown");
    log.warn("a message", { count: 1n as never, password: "hidden", text: "two\nlines" });
    const record = JSON.parse(lines[0] ?? "");
    expect(record).toMatchObject({ level: "warn", category: "tunnel", message: "a message", count: "1" });
    expect(lines.join("")).not.toContain("hidden");
    makeLog(consoleLogSink({ format: "text", write })).info("said", { name: "x", text: "two\nlines" });
    expect(lines.length).toBe(2);
    expect(lines.every((line) => line.endsWith("\n") && !line.slice(0, -1).includes("\n"))).toBe(true);
  });
});

describe("network probes", () => {
  test("a name, a port that listens, one that does not, one that speaks no TLS", async () => {
    using listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: (socket) => void socket.end() } });
    expect((await resolveHost("localhost")).length).toBeGreaterThan(0);
    await expectFault(resolveHost("no-such-host.invalid"), "unavailable");
    expect(await probeTcp("127.0.0.1", listener.port)).toBeGreaterThanOrEqual(0);
    await expectFault(probeTls("127.0.0.1", listener.port), "unavailable");
    listener.stop(true);
    const fault = await expectFault(probeTcp("127.0.0.1", listener.port), "unavailable");
    expect(fault.detail.reason).toBe("ECONNREFUSED");
  });
});
