/** IP addresses as numbers, and ranges of them (RFC 4632, RFC 4291). Pure. */

export interface IpAddress {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

export interface IpRange {
  readonly address: IpAddress;
  /** Leading bits that count. */
  readonly length: number;
}

/** The address of a text, or undefined when it is a name. IPv4 in IPv6 (`::ffff:a.b.c.d`) counts as IPv4. */
export function parseAddress(text: string): IpAddress | undefined {
  const plain = text.replace(/^\[|\]$/g, "").replace(/%.*$/, "");
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(plain)) return parseV4(plain);
  return plain.includes(":") ? parseV6(plain) : undefined;
}

/** The range of `address/length`; a bare address is a range of one. */
export function parseRange(text: string): IpRange | undefined {
  const [first = "", length, more] = text.split("/");
  const address = parseAddress(first);
  if (address === undefined || more !== undefined) return undefined;
  if (length === undefined) return { address, length: address.bits };
  const bits = /^\d{1,3}$/.test(length) ? Number(length) : -1;
  return bits >= 0 && bits <= address.bits ? { address, length: bits } : undefined;
}

export function isInRange({ bits, value }: IpAddress, { address, length }: IpRange): boolean {
  const shift = BigInt(bits - length);
  return bits === address.bits && value >> shift === address.value >> shift;
}

const ranges = (...texts: readonly string[]): readonly IpRange[] =>
  texts.map((text) => {
    const range = parseRange(text);
    if (range === undefined) throw new TypeError(`not a range: ${text}`);
    return range;
  });

/**
 * Never reached whatever a list says: this network, link-local (RFC 3927, RFC 4291 §2.5.6) with the metadata service
 * of clouds, other metadata addresses (AWS, Alibaba, Azure, Oracle), multicast and reserved.
 */
const never = ranges(
  "0.0.0.0/8",
  "169.254.0.0/16",
  "100.100.100.200/32",
  "168.63.129.16/32",
  "192.0.0.192/32",
  "224.0.0.0/3",
  "::/128",
  "fe80::/10",
  "fec0::/10",
  "fd00:ec2::254/128",
  "ff00::/8",
);
const loopback = ranges("127.0.0.0/8", "::1/128");
const localhost = ranges("127.0.0.1/32", "::1/128");

export const isNeverAllowed = (address: IpAddress): boolean =>
  [address, ...carriedV4(address)].some((one) => never.some((range) => isInRange(one, range)));
/** What `localhost` stands for (RFC 6761 §6.3). */
export const isLocalhost = (address: IpAddress): boolean => localhost.some((range) => isInRange(address, range));
export const isLoopback = (address: IpAddress): boolean => loopback.some((range) => isInRange(address, range));

/** IPv4 addresses that an IPv6 address leads on to: NAT64 (RFC 6052), 6to4 (RFC 3056), IPv4-compatible (RFC 4291 §2.5.5.1). */
function carriedV4({ bits, value }: IpAddress): IpAddress[] {
  if (bits === 32) return [];
  const v4 = (shift: bigint): IpAddress[] => [{ bits: 32, value: (value >> shift) & 0xffff_ffffn }];
  if (value >> 32n === 0x64_ff9bn << 64n) return v4(0n);
  if (value >> 112n === 0x2002n) return v4(80n);
  return value >> 32n === 0n && value > 1n ? v4(0n) : [];
}

function parseV4(text: string): IpAddress | undefined {
  let value = 0n;
  for (const part of text.split(".")) {
    if (Number(part) > 255 || (part.length > 1 && part.startsWith("0"))) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return { bits: 32, value };
}

function parseV6(text: string): IpAddress | undefined {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  let hexOnly = text;
  if (dotted !== null) {
    const v4 = parseV4(dotted[2] ?? "");
    if (v4 === undefined) return undefined;
    hexOnly = `${dotted[1]}${(v4.value >> 16n).toString(16)}:${(v4.value & 0xffffn).toString(16)}`;
  }
  const halves = hexOnly.split("::");
  if (halves.length > 2) return undefined;
  const groupsOf = (half: string | undefined) => (half === undefined || half === "" ? [] : half.split(":"));
  const [head, tail] = [groupsOf(halves[0]), groupsOf(halves[1])];
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  let value = 0n;
  for (const group of [...head, ...Array.from({ length: missing }, () => "0"), ...tail]) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
    value = (value << 16n) | BigInt(`0x${group}`);
  }
  return value >> 32n === 0xffffn ? { bits: 32, value: value & 0xffff_ffffn } : { bits: 128, value };
}
