import { Fault } from "#lib/fault";
import { HostRules } from "#lib/hosts";
import { resolveHost } from "#lib/runtime";

/**
 * The platform operator's own list of what this Nexus connects to for portals of mode `terminated`: Nexus stands in the platform's network,
 * and what no line names it never reaches, whatever Solaris says. Link-local and metadata addresses never.
 */
export class OutletGuard {
  /** Whether no line names anything. */
  readonly allowsNothing: boolean;
  readonly #rules: HostRules;
  readonly #resolve: typeof resolveHost;

  /** Fault `config` naming the line that can't be read. `resolve` stands in for the system's in tests. */
  constructor(lines: readonly string[], resolve: typeof resolveHost = resolveHost) {
    this.#rules = new HostRules(lines);
    this.allowsNothing = lines.length === 0;
    this.#resolve = resolve;
  }

  /** The addresses that a connection to `host` may go to, in the resolver's order. Faults: `not_allowed_here`, `unavailable`. */
  async addressesOf(host: string, port: number): Promise<readonly string[]> {
    const addresses = await this.#resolve(host);
    const allowed = addresses.filter((address) => this.#rules.allows(host, address, port));
    if (allowed.length > 0) return allowed;
    throw new Fault("not_allowed_here", `${host}:${port} is not on the list of this Nexus (NEXUS_OUTLETS)`);
  }
}
