import { describe, expect, test } from "bun:test";
import { clientAddress, isLoopback, trustedProxies } from "../../gateway/tunnel/client-address.ts";
import { expectFault } from "../support/faults.ts";

const none = trustedProxies([]);
const inner = trustedProxies(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]);

describe("client address", () => {
  test("without trusted proxies a forwarded address is not believed", () => {
    expect(clientAddress("198.51.100.4", "203.0.113.9", none)).toBe("198.51.100.4");
  });

  test("behind a trusted proxy it is what the proxy saw, not what the client claimed", () => {
    expect(clientAddress("10.1.2.3", "1.1.1.1, 203.0.113.9", inner)).toBe("203.0.113.9");
  });

  test("several trusted proxies in a row are passed", () => {
    expect(clientAddress("10.1.2.3", "1.1.1.1, 203.0.113.9, 192.0.2.7, 10.9.9.9", inner)).toBe("203.0.113.9");
  });

  test("what is no address ends the walk", () => {
    expect(clientAddress("10.1.2.3", "203.0.113.9, unknown", inner)).toBe("10.1.2.3");
    expect(clientAddress("10.1.2.3", "", inner)).toBe("10.1.2.3");
    expect(clientAddress("10.1.2.3", "300.1.1.1", inner)).toBe("10.1.2.3");
  });

  test("a mapped address has one name", () => {
    expect(clientAddress("::ffff:198.51.100.4", null, none)).toBe("198.51.100.4");
    expect(clientAddress("::ffff:10.0.0.1", "203.0.113.9", inner)).toBe("203.0.113.9");
  });

  test("IPv6 ranges hold", () => {
    expect(inner.includes("2001:db8:1::1")).toBe(true);
    expect(inner.includes("2001:db9::1")).toBe(false);
    expect(inner.includes("::ffff:192.0.2.7")).toBe(true);
    expect(inner.includes("192.0.2.8")).toBe(false);
  });

  test("loopback is the machine itself", () => {
    expect(["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"].map(isLoopback)).toEqual([true, true, true, true]);
    expect(["128.0.0.1", "::2", "0.0.0.0", "localhost"].map(isLoopback)).toEqual([false, false, false, false]);
  });

  test("a range that is none is refused", async () => {
    for (const range of ["10.0.0.0/33", "proxy.example", "10.0.0", "1::2::3", "10.0.0.0/8/8", "::1/129", "10.0.0.0/"])
      await expectFault(() => trustedProxies([range]), "config");
  });
});
