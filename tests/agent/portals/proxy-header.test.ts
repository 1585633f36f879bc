import { expect, test } from "bun:test";
import { proxyHeader } from "../../../agent/portals/proxy-header.ts";

/** What a receiver of PROXY protocol version 2 reads (HAProxy's specification, §2.2), written from its text. */
function parse(header: Uint8Array) {
  const signature = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
  expect([...header.subarray(0, 12)]).toEqual(signature);
  const view = new DataView(header.buffer, header.byteOffset, header.length);
  const [versionAndCommand, familyAndTransport] = [view.getUint8(12), view.getUint8(13)];
  expect(versionAndCommand >> 4).toBe(2);
  const length = view.getUint16(14);
  expect(header.length).toBe(16 + length);
  const command = { 0: "LOCAL", 1: "PROXY" }[versionAndCommand & 0x0f];
  const family = { 0: "UNSPEC", 1: "INET", 2: "INET6" }[familyAndTransport >> 4];
  const transport = { 0: "UNSPEC", 1: "STREAM" }[familyAndTransport & 0x0f];
  if (family === "UNSPEC") return { command, family, transport };
  const size = family === "INET" ? 4 : 16;
  expect(length).toBe(2 * size + 4);
  const address = (at: number) =>
    family === "INET"
      ? [...header.subarray(at, at + 4)].join(".")
      : Array.from({ length: 8 }, (_, group) => view.getUint16(at + 2 * group).toString(16)).join(":");
  return {
    command,
    family,
    transport,
    source: `${address(16)} ${view.getUint16(16 + 2 * size)}`,
    destination: `${address(16 + size)} ${view.getUint16(18 + 2 * size)}`,
  };
}

test("says whose connection it is, byte for byte as the specification has it", () => {
  expect(parse(proxyHeader({ host: "192.0.2.7", port: 56_324 }, { host: "10.1.2.3", port: 443 }))).toEqual({
    command: "PROXY",
    family: "INET",
    transport: "STREAM",
    source: "192.0.2.7 56324",
    destination: "10.1.2.3 443",
  });
  expect(parse(proxyHeader({ host: "2001:db8::1", port: 1 }, { host: "::1", port: 65_535 }))).toEqual({
    command: "PROXY",
    family: "INET6",
    transport: "STREAM",
    source: "2001:db8:0:0:0:0:0:1 1",
    destination: "0:0:0:0:0:0:0:1 65535",
  });
});

test("an IPv4 address in IPv6 counts as IPv4; beside an IPv6 address it is mapped", () => {
  const mapped = parse(proxyHeader({ host: "::ffff:192.0.2.7", port: 1 }, { host: "10.1.2.3", port: 2 }));
  expect(mapped).toMatchObject({ family: "INET", source: "192.0.2.7 1" });
  const mixed = parse(proxyHeader({ host: "192.0.2.7", port: 1 }, { host: "::1", port: 2 }));
  expect(mixed).toMatchObject({ family: "INET6", source: "0:0:0:0:0:ffff:c000:207 1" });
});

test("what is not known, or is no address, is LOCAL: nothing that a far end says becomes another address", () => {
  const local = { command: "LOCAL", family: "UNSPEC", transport: "UNSPEC" };
  const to = { host: "10.1.2.3", port: 2 };
  expect(parse(proxyHeader(undefined, undefined))).toEqual(local);
  for (const host of ["", "localhost", "1.2.3", "1.2.3.999", "1.2.3.4\r\nx"])
    expect(parse(proxyHeader({ host, port: 1 }, to))).toEqual(local);
});
