import { Fault } from "#lib/fault";
import {
  type IpAddress,
  isInRange,
  isLocalhost,
  isLoopback,
  isNeverAllowed,
  parseAddress,
  parseRange,
} from "./addresses.ts";

/** A parsed line of the list. */
interface HostRule {
  matchesName(name: string): boolean;
  matchesAddress(address: IpAddress): boolean;
  /** Whether the rule names loopback itself: a name that merely resolves there is refused. */
  readonly namesLoopback: boolean;
  readonly portMin: number;
  readonly portMax: number;
}

/**
 * Decides over host names, addresses and ports by lines `host:port`: a name, `*.domain`, an address or a range like `10.1.0.0/16`, IPv6 in
 * brackets; the port a number, `from-to` or `*`. Link-local and metadata addresses never. Resolving names is the caller's.
 */
export class HostRules {
  readonly #rules: readonly HostRule[];

  /** Fault `config` naming the line that can't be read. */
  constructor(lines: readonly string[]) {
    this.#rules = lines.map(parseRule);
  }

  /** Whether some rule names `host` itself (name or literal address) with this port. */
  namesHost(host: string, port: number): boolean {
    return this.#rules.some((rule) => hasPort(rule, port) && ruleNames(rule, host));
  }

  /** Whether a connection meant for `host` may go to `address`, to which it resolved. */
  allows(host: string, address: string, port: number): boolean {
    const ip = parseAddress(address);
    if (ip === undefined || isNeverAllowed(ip)) return false;
    return this.#rules.some(
      (rule) =>
        hasPort(rule, port) &&
        (rule.matchesAddress(ip) || (ruleNames(rule, host) && (rule.namesLoopback || !isLoopback(ip)))),
    );
  }
}

/** Whether a line of the list can be read: for checking what a person typed. Fault `config`. */
export function checkHostRule(line: string): void {
  parseRule(line);
}

const hasPort = (rule: HostRule, port: number) => port >= rule.portMin && port <= rule.portMax;

function ruleNames(rule: HostRule, host: string): boolean {
  const address = parseAddress(host);
  return address === undefined ? rule.matchesName(host.toLowerCase().replace(/\.$/, "")) : rule.matchesAddress(address);
}

function parseRule(line: string): HostRule {
  const parts = /^(?<host>\[[^\]]+\](?:\/\d+)?|[^:[\]\s]+):(?<port>\*|\d{1,5}(?:-\d{1,5})?)$/.exec(line.trim())?.groups;
  const [portMin, portMax] = portsOf(parts?.port);
  const host = (parts?.host ?? "").toLowerCase();
  if (host === "" || portMin === undefined || portMax === undefined) throw unreadable(line);
  const range = parseRange(host.replace(/[[\]]/g, ""));
  if (range !== undefined) {
    return {
      matchesName: () => false,
      matchesAddress: (address) => isInRange(address, range),
      namesLoopback: isLoopback(range.address),
      portMin,
      portMax,
    };
  }
  if (!/^(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/.test(host) || /^[\d.]+$/.test(host)) throw unreadable(line);
  const suffix = host.startsWith("*.") ? host.slice(1) : undefined;
  return {
    matchesName: (name) =>
      suffix === undefined ? name === host : name.endsWith(suffix) && name.length > suffix.length,
    matchesAddress: (address) => host === "localhost" && isLocalhost(address), // the same under its other names
    namesLoopback: host === "localhost" || host.endsWith(".localhost"),
    portMin,
    portMax,
  };
}

function portsOf(text: string | undefined): [number, number] | [undefined, undefined] {
  if (text === undefined) return [undefined, undefined];
  if (text === "*") return [0, 65_535];
  const [from = "", to = from] = text.split("-");
  const [portMin, portMax] = [Number(from), Number(to)];
  return portMin >= 1 && portMin <= portMax && portMax <= 65_535 ? [portMin, portMax] : [undefined, undefined];
}

function unreadable(line: string): Fault {
  return new Fault(
    "config",
    "not of the form host:port (such as erp.example.com:443, 10.1.0.0/16:8000-8099, [::1]:80)",
    {
      detail: { line: line.slice(0, 120) },
    },
  );
}
