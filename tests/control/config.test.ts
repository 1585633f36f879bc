import { describe, expect, test } from "bun:test";
import { Fault } from "#lib/fault";
import { readConfig, variablesText } from "../../control/config.ts";

const noFile = () => {
  throw new RangeError("no file is to be read");
};
const read = (environment: Record<string, string>) => readConfig(environment, noFile);

function refusal(environment: Record<string, string>): Fault {
  try {
    read(environment);
  } catch (error) {
    if (error instanceof Fault) return error;
  }
  throw new RangeError("it was taken");
}

describe("settings", () => {
  test("an empty environment is a whole configuration: this machine alone, embedded broker, key beside the data", () => {
    const config = read({});
    expect(config).toMatchObject({
      listen: { host: "127.0.0.1", port: 8080 },
      nats: undefined,
      database: undefined,
      dataDirectory: "./solaris-data",
      keyFile: "./solaris-data.key",
      adminKeyFile: "./solaris-data.admin-key",
    });
    expect(config.retention.messagesMs).toBe(30 * 86_400_000);
    expect(config.publishEvents).toBe(false);
    expect(read({ SOLARIS_PUBLISH_EVENTS: "yes" }).publishEvents).toBe(true);
  });

  test("a mistake names its variable, never its value", () => {
    for (const [name, value] of [
      ["SOLARIS_LISTEN", "marker:port"],
      ["SOLARIS_LISTEN", "0.0.0.0:8080"],
      ["SOLARIS_GATEWAY_LISTEN", "0.0.0.0:8443"],
      ["SOLARIS_GATEWAY_ORIGIN", "https://x/secret-path"],
      ["SOLARIS_LOG_LEVEL", "loud"],
      ["SOLARIS_PUBLISH_EVENTS", "maybe"],
      ["SOLARIS_RETENTION_DAYS", "everything=1"],
      ["SOLARIS_RETENTION_DAYS", "messages=much"],
      ["SOLARIS_LISTNE", "127.0.0.1:1"],
    ] as const) {
      const fault = refusal({ [name]: value });
      expect([name, fault.code, fault.detail.variable]).toEqual([name, "config", name]);
      expect(fault.message).not.toContain(value);
    }
  });

  test("other machines are let in with TLS, or when it is said", () => {
    expect(
      read({ SOLARIS_LISTEN: "0.0.0.0:80", SOLARIS_ALLOW_INSECURE: "yes", SOLARIS_GATEWAY_LISTEN: "[::]:443" }).listen
        .port,
    ).toBe(80);
    const files: Record<string, string> = { c: "CERT", k: "KEY" };
    const tls = { SOLARIS_TLS_CERT_FILE: "c", SOLARIS_TLS_KEY_FILE: "k" };
    const config = readConfig({ ...tls, SOLARIS_LISTEN: "0.0.0.0:443" }, (path) => files[path] ?? "");
    expect(config.tls).toEqual({ cert: "CERT", key: "KEY" });
    expect(() => readConfig({ SOLARIS_TLS_CERT_FILE: "c" }, (path) => files[path] ?? "")).toThrow(
      "SOLARIS_TLS_CERT_FILE",
    );
  });

  test("a secret can come from a file, first line only", () => {
    const config = readConfig(
      { SOLARIS_NATS_URL: "wss://a, wss://b", SOLARIS_NATS_PASSWORD_FILE: "p" },
      () => "pass word \nmore",
    );
    expect(config.nats).toEqual({ servers: ["wss://a", "wss://b"], user: undefined, password: "pass word" });
  });

  test("help shows every variable", () => {
    for (const name of ["SOLARIS_DATA", "SOLARIS_KEY", "SOLARIS_GATEWAY_ORIGIN"])
      expect(variablesText()).toContain(name);
  });
});
