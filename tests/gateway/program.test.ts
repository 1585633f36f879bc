import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { variables } from "../../gateway/config.ts";

setDefaultTimeout(30_000);

const main = join(import.meta.dir, "../../gateway/main.ts");

/** Runs `nexus` to its end with nothing but these variables. */
async function nexus(words: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const env = { PATH: process.env.PATH ?? "", ...environment };
  const child = Bun.spawn([process.execPath, main, ...words], { env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, out, err };
}

const usable = {
  NEXUS_SOLARIS_URL: "https://solaris.example.com",
  NEXUS_GATEWAY_KEY: "nexus_0123456789abcdef0123",
  NEXUS_NATS_URL: "wss://nats.example.com",
};

describe("nexus, the program", () => {
  test("--help lists every variable", async () => {
    const { code, out } = await nexus(["--help"]);
    expect(code).toBe(0);
    for (const { name } of variables) expect(out).toContain(name);
    expect((await nexus(["serve", "--help"])).out).toContain("NEXUS_SOLARIS_URL");
  });

  test("--check-config says yes, or what is wrong, and never shows a secret", async () => {
    expect(await nexus(["serve", "--check-config"], usable)).toMatchObject({ code: 0, err: "" });
    const { code, err } = await nexus(["serve", "--check-config"], { ...usable, NEXUS_LISTEN: "0.0.0.0:80" });
    expect(code).toBe(78);
    expect(err).toContain("NEXUS_LISTEN");
    expect(err).not.toContain(usable.NEXUS_GATEWAY_KEY);
    expect((await nexus(["serve"])).err).toContain("NEXUS_SOLARIS_URL must be set");
  });

  test("health fails where nobody lives", async () => {
    const { code, err } = await nexus(["health"], { ...usable, NEXUS_LISTEN: "127.0.0.1:1" });
    expect(code).toBe(1);
    expect(err).toStartWith("nexus: ");
  });

  test("a broker that nobody answers at ends it with its code, the password not shown", async () => {
    const environment = { ...usable, NEXUS_NATS_URL: "ws://127.0.0.1:1", NEXUS_NATS_PASSWORD: "pw-never-shown" };
    const { code, err } = await nexus(["serve"], environment);
    expect(code).toBe(1);
    expect(err).toContain("(broker)");
    expect(err).not.toContain("pw-never-shown");
  });
});
