import { describe, expect, test } from "bun:test";
import { type BrokerConfigOptions, brokerConfig } from "#lib/broker";
import { expectFault } from "../../support/faults.ts";

const options: BrokerConfigOptions = {
  version: "nats-server: v2.9.10",
  listen: { host: "127.0.0.1", port: 4222 },
  websocket: { host: "127.0.0.1", port: 8080 },
  storeDir: "/var/lib/nats",
  storeKey: { env: "NATS_STORE_KEY" },
  passwords: { solaris: { env: "A" }, nexus: { env: "B" } },
};

describe("broker configuration", () => {
  test("from 2.10 on every write is synced; 2.9 would not start with that setting", () => {
    expect(brokerConfig(options)).not.toContain("sync_interval:");
    expect(brokerConfig({ ...options, version: "2.10.0" })).toContain("sync_interval: always");
    expect(brokerConfig({ ...options, version: "3.0.1" })).toContain("sync_interval: always");
  });

  test("the WebSocket listens on one address, without TLS on loopback only", async () => {
    expect(brokerConfig(options)).toContain('listen: "127.0.0.1:8080"');
    const everywhere = { host: "0.0.0.0", port: 8080 };
    await expectFault(() => brokerConfig({ ...options, websocket: everywhere }), "config");
    const tls = { certFile: "/etc/nats/cert.pem", keyFile: "/etc/nats/key.pem" };
    const text = brokerConfig({ ...options, websocket: { ...everywhere, tls } });
    expect(text).toContain('cert_file: "/etc/nats/cert.pem"');
    expect(text).not.toContain("no_tls");
  });

  test("files are encrypted and messages may be 4 MB", () => {
    expect(brokerConfig(options)).toContain("cipher: aes");
    expect(brokerConfig(options)).toContain("max_payload: 4MB");
  });

  test("nothing that a value holds becomes a setting, and an old server is refused", async () => {
    await expectFault(() => brokerConfig({ ...options, storeDir: '/x"\nuser: evil' }), "config");
    await expectFault(() => brokerConfig({ ...options, storeKey: { env: "A B" } }), "config");
    await expectFault(() => brokerConfig({ ...options, version: "2.8.4" }), "config");
    await expectFault(() => brokerConfig({ ...options, version: "new" }), "config");
  });
});
