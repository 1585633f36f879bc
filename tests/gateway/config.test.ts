import { describe, expect, test } from "bun:test";
import { readConfig, variables, variablesText } from "../../gateway/config.ts";
import { expectFault } from "../support/faults.ts";

const least = {
  NEXUS_SOLARIS_URL: "https://solaris.example.com",
  NEXUS_GATEWAY_KEY: "nexus_key",
  NEXUS_NATS_URL: "wss://nats.example.com",
};
const noFile = () => {
  throw new RangeError("no such file");
};
const read = (more: Record<string, string>, readText: (path: string) => string = noFile) =>
  readConfig({ ...least, ...more }, readText, "host");

describe("settings of Nexus", () => {
  test("three variables are enough", () => {
    const config = read({});
    expect(config.listen).toEqual({ host: "127.0.0.1", port: 8443 });
    expect(config.gateway.solarisUrl).toBe("https://solaris.example.com");
    expect(config.gateway.allowInsecure).toBe(false);
    expect(config.gateway.hostname).toBe("host");
    expect(config.gateway.publicMetrics).toBe(true);
  });

  test("every variable has its line in the help, with its default", () => {
    const text = variablesText();
    for (const { name } of variables) expect(text).toContain(name);
    expect(text).toContain("[127.0.0.1:8443]");
  });

  test("secrets come from files as well", () => {
    const files: Record<string, string> = { "/k": "from-file\n", "/p": "pw" };
    const { NEXUS_GATEWAY_KEY: _, ...rest } = least;
    const environment = { ...rest, NEXUS_GATEWAY_KEY_FILE: "/k", NEXUS_NATS_PASSWORD_FILE: "/p" };
    const config = readConfig(environment, (path) => files[path] ?? noFile(), "host");
    expect(config.gateway.gatewayKey).toBe("from-file");
    expect(config.broker.password).toBe("pw");
  });

  test("what is missing, unknown or out of range is named, and its value is not shown", async () => {
    const cases: [Record<string, string>, string][] = [
      [{ NEXUS_SOLARIS_URL: "" }, "NEXUS_SOLARIS_URL"],
      [{ NEXUS_SOLARIS_URL: "http://solaris.example.com" }, "NEXUS_SOLARIS_URL"],
      [{ NEXUS_SOLARIS_URL: "https://user:secret@solaris.example.com" }, "NEXUS_SOLARIS_URL"],
      [{ NEXUS_GATEWAY_KEY: "" }, "NEXUS_GATEWAY_KEY"],
      [{ NEXUS_LISTEN: "8443" }, "NEXUS_LISTEN"],
      [{ NEXUS_LISTEN: "127.0.0.1:99999" }, "NEXUS_LISTEN"],
      [{ NEXUS_SESSIONS_MAX: "0" }, "NEXUS_SESSIONS_MAX"],
      [{ NEXUS_SESSIONS_MAX: "many" }, "NEXUS_SESSIONS_MAX"],
      [{ NEXUS_ALLOW_INSECURE: "true" }, "NEXUS_ALLOW_INSECURE"],
      [{ NEXUS_TLS_CERT_FILE: "/missing" }, "NEXUS_TLS_CERT_FILE"],
      [{ NEXUS_GATEWAYKEY: "typo" }, "NEXUS_GATEWAYKEY"],
    ];
    for (const [more, name] of cases) {
      const fault = await expectFault(() => read(more), "config");
      expect(fault.message).toContain(name);
      expect(fault.message).not.toContain("secret");
    }
  });

  test("open to other machines only with TLS, behind named proxies, or when told", async () => {
    await expectFault(() => read({ NEXUS_LISTEN: "0.0.0.0:80" }), "config");
    expect(read({ NEXUS_LISTEN: "0.0.0.0:80", NEXUS_TRUSTED_PROXIES: "10.0.0.0/8" }).listen.port).toBe(80);
    expect(read({ NEXUS_LISTEN: "[::]:80", NEXUS_ALLOW_INSECURE: "yes" }).listen.host).toBe("::");
    const tls = read(
      { NEXUS_LISTEN: "0.0.0.0:443", NEXUS_TLS_CERT_FILE: "/c", NEXUS_TLS_KEY_FILE: "/k" },
      (path) => path,
    );
    expect(tls.tls).toEqual({ cert: "/c", key: "/k" });
    expect(tls.gateway.ownTls).toBe(true);
  });
});
