import { type Bytes, concat } from "#lib/bytes";
import { type IpAddress, parseAddress } from "#lib/hosts";

/** An end of a connection, as an address and a port. */
export interface ProxiedEnd {
  readonly host: string;
  readonly port: number;
}

const signature = new Uint8Array([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
const [versionLocal, versionProxy] = [0x20, 0x21];
const [unspecified, tcp4, tcp6] = [0x00, 0x11, 0x21];

/**
 * What goes to a service in front of a connection's bytes: a PROXY protocol version 2 header (HAProxy's specification, §2.2) that
 * says whose connection it is; `LOCAL` where that is not known (a Unix socket at the inlet).
 */
export function proxyHeader(from: ProxiedEnd | undefined, to: ProxiedEnd | undefined): Bytes {
  const source = parseAddress(from?.host ?? "");
  const target = parseAddress(to?.host ?? "");
  if (from === undefined || to === undefined || source === undefined || target === undefined)
    return concat(signature, new Uint8Array([versionLocal, unspecified, 0, 0]));
  const bits = source.bits === 32 && target.bits === 32 ? 32 : 128;
  const addresses = concat(octets(source, bits), octets(target, bits), port(from.port), port(to.port));
  const family = bits === 32 ? tcp4 : tcp6;
  return concat(signature, new Uint8Array([versionProxy, family]), port(addresses.length), addresses);
}

/** Big-endian; IPv4 beside IPv6 becomes `::ffff:a.b.c.d`. */
function octets({ bits, value }: IpAddress, wanted: 32 | 128): Bytes {
  const number = bits < wanted ? value | (0xffffn << 32n) : value;
  return Uint8Array.from({ length: wanted / 8 }, (_, index) =>
    Number((number >> BigInt(wanted - 8 * (index + 1))) & 0xffn),
  );
}

const port = (value: number) => new Uint8Array([value >> 8, value & 0xff]);
