import { Fault } from "#lib/fault";

/** A range of IP addresses: the first `prefixBits` bits of `address` count. */
interface AddressRange {
  readonly address: readonly number[];
  readonly prefixBits: number;
}

/** Whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed. */
export interface TrustedProxies {
  includes(address: string): boolean;
}

/** Ranges such as `10.0.0.0/8`, `::1` or `192.0.2.7`. Fault `config` on anything else. */
export function trustedProxies(ranges: readonly string[]): TrustedProxies {
  const parsed = ranges.map(parseRange);
  return {
    includes: (address) => {
      const bytes = parseAddress(address);
      return bytes !== undefined && parsed.some((range) => contains(range, bytes));
    },
  };
}

/**
 * The address that a request truly came from: that of the socket, or, behind trusted proxies, the last entry of
 * `X-Forwarded-For` that none of them added for another of them. An entry that is no address ends the walk.
 */
export function clientAddress(socketAddress: string, forwardedFor: string | null, proxies: TrustedProxies): string {
  let address = canonicalAddress(socketAddress);
  const hops = forwardedFor === null ? [] : forwardedFor.slice(-1_024).split(",");
  while (proxies.includes(address)) {
    const hop = hops.pop()?.trim();
    if (hop === undefined || parseAddress(hop) === undefined) break;
    address = canonicalAddress(hop);
  }
  return address;
}

/** Whether `address` is the machine itself. */
export function isLoopback(address: string): boolean {
  return loopback.includes(address);
}

/** `::ffff:192.0.2.7` is `192.0.2.7`: one client must not have two names. */
function canonicalAddress(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped?.[1] ?? address.toLowerCase();
}

function parseRange(text: string): AddressRange {
  const [host = "", bits, ...more] = text.trim().split("/");
  const address = parseAddress(host);
  const whole = (address?.length ?? 0) * 8;
  const prefixBits = bits === undefined ? whole : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
  if (address === undefined || more.length > 0 || !(prefixBits <= whole))
    throw new Fault("config", "a trusted proxy must be an IP address or a range such as 10.0.0.0/8");
  return { address, prefixBits };
}

function contains(range: AddressRange, address: readonly number[]): boolean {
  if (range.address.length !== address.length) return false;
  return range.address.every((byte, index) => {
    const bits = Math.min(8, Math.max(0, range.prefixBits - index * 8));
    const mask = (0xff << (8 - bits)) & 0xff;
    return (byte & mask) === ((address[index] ?? 0) & mask);
  });
}

/** 4 or 16 bytes; undefined for what is no IP address. */
function parseAddress(text: string): number[] | undefined {
  const host = canonicalAddress(text);
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(host)) {
    const bytes = host.split(".").map(Number);
    return bytes.every((byte) => byte <= 255) ? bytes : undefined;
  }
  return parseIpv6(host);
}

function parseIpv6(text: string): number[] | undefined {
  if (!/^[0-9a-f:]{2,39}$/.test(text)) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head = [], tail = []] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => "0"), ...tail];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/.test(group))) return undefined;
  return groups.flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

const loopback = trustedProxies(["127.0.0.0/8", "::1"]);
