import { describe, expect, test } from "bun:test";
import { expectFault } from "#support/faults";
import { gatewayOrigin } from "../../../agent/network/network.ts";
import { proxyFor } from "../../../agent/network/proxy.ts";

const proxies = { https: "http://user:pw@proxy.site:3128", http: undefined, none: undefined };
const cloud = new URL("https://nexus.example.com");

describe("proxy of a site", () => {
  test("https and wss go through HTTPS_PROXY, with user and password kept", () => {
    expect(proxyFor(cloud, proxies)).toBe("http://user:pw@proxy.site:3128");
    expect(proxyFor(new URL("wss://nexus.example.com/tunnel"), proxies)).toBe("http://user:pw@proxy.site:3128");
  });

  test("an address without a scheme is one of http", () => {
    expect(proxyFor(cloud, { ...proxies, https: "proxy.site:3128" })).toBe("http://proxy.site:3128");
  });

  test("http goes its own way", () => {
    expect(proxyFor(new URL("http://nexus.example.com"), proxies)).toBeUndefined();
  });

  test.each(["http://localhost:1", "https://127.0.0.1:9", "https://[::1]:9"])("%s is always direct", (url) => {
    expect(proxyFor(new URL(url), { ...proxies, http: "http://proxy.site:1" })).toBeUndefined();
  });

  test.each([
    ["nexus.example.com", true],
    ["example.com", true],
    [".example.com", true],
    ["*.example.com", true],
    ["ample.com", false],
    ["nexus.example.com:443", true],
    ["nexus.example.com:8443", false],
    ["*", true],
    ["other.com, example.com", true],
    ["", false],
  ])("NO_PROXY=%s: direct %p", (none, direct) => {
    expect(proxyFor(cloud, { ...proxies, none }) === undefined).toBe(direct);
  });

  test.each([
    ["10.1.0.0/16", "https://10.1.2.3", true],
    ["10.1.0.0/16", "https://10.2.2.3", false],
    ["0.0.0.0/0", "https://10.2.2.3", true],
    ["10.1.2.3/32", "https://10.1.2.4", false],
  ])("NO_PROXY=%s for %s: direct %p", (none, url, direct) => {
    expect(proxyFor(new URL(url), { ...proxies, none }) === undefined).toBe(direct);
  });
});

describe("address of a gateway", () => {
  test("wss is https", () => expect(gatewayOrigin("wss://nexus.example.com", false)).toBe("https://nexus.example.com"));

  test("without TLS only on this machine", async () => {
    expect(gatewayOrigin("ws://127.0.0.1:8080", false)).toBe("http://127.0.0.1:8080");
    expect(gatewayOrigin("http://nexus.example.com", true)).toBe("http://nexus.example.com");
    await expectFault(async () => gatewayOrigin("ws://nexus.example.com", false), "config");
    await expectFault(async () => gatewayOrigin("http://127.0.0.1.example.com", false), "config");
  });
});
