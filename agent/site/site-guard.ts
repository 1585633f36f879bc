import { Fault } from "#lib/fault";
import { HostRules, isLoopback, parseAddress } from "#lib/hosts";
import { isWithin, paths, realPath, resolveHost } from "#lib/runtime";
import type { SiteList } from "./site-list.ts";

/** Holds every use of the network and of files to the site's own list (PROTOCOL §9). The list is read anew at each use. */
export interface SiteGuard {
  /** Addresses that a connection to `host` may go to, in the resolver's order. Faults: `not_allowed_here`, `unavailable`. */
  allowConnect(host: string, port: number): Promise<readonly string[]>;
  /**
   * What to ask the site's proxy for instead of `host`. Its name where the list names it and nothing that it leads to here is
   * refused; else an address that is allowed. A name that only the proxy can resolve must be on the list itself: behind the
   * proxy it is the proxy, the site's own, that decides where a name leads. Fault `not_allowed_here`.
   */
  allowProxied(host: string, port: number): Promise<string>;
  /** Whether a listener may be opened: on loopback always, else by the list. Port 0 needs `host:*`. Fault `not_allowed_here`. */
  allowListen(host: string, port: number): void;
  /** `path`, which must exist, without symbolic links. Faults: `not_allowed_here`, `not_found`. */
  allowPath(path: string): Promise<string>;
}

/** A guard over `list()`. `resolve` and `real` stand in for the system's in tests. */
export function makeSiteGuard(
  list: () => SiteList,
  resolve: (name: string) => Promise<readonly string[]> = resolveHost,
  real: (path: string) => Promise<string> = realPath,
): SiteGuard {
  return {
    async allowConnect(host, port) {
      const name = host.replace(/^\[|\]$/g, "");
      const rules = new HostRules(list().allow);
      const addresses = await resolve(name);
      const allowed = addresses.filter((address) => rules.allows(name, address, port));
      if (allowed.length > 0) return allowed;
      throw notAllowed(rules, name, port);
    },
    async allowProxied(host, port) {
      const name = host.replace(/^\[|\]$/g, "");
      const rules = new HostRules(list().allow);
      const isNamed = parseAddress(name) === undefined && rules.namesHost(name, port);
      const addresses = await resolve(name).catch((error: unknown) => {
        if (!(error instanceof Fault && error.code === "unavailable")) throw error;
        return undefined; // the site's names may be known to its proxy only
      });
      if (addresses === undefined) {
        if (isNamed) return name;
        throw notAllowed(rules, name, port);
      }
      const allowed = addresses.filter((address) => rules.allows(name, address, port));
      const [first] = allowed;
      if (first === undefined) throw notAllowed(rules, name, port);
      return isNamed && allowed.length === addresses.length ? name : first;
    },
    allowListen(host, port) {
      if (isLoopbackHost(host)) return;
      if (new HostRules(list().allow).namesHost(host, port)) return;
      const needed = port === 0 ? `${hostPort(host, port).replace(/:0$/, "")}:*` : hostPort(host, port);
      throw new Fault("not_allowed_here", `not on the site's list: mercury allow ${needed}`, {
        detail: { host, port },
      });
    },
    async allowPath(path) {
      const own = await real(path);
      for (const allowed of list().directories) {
        if (!paths.isAbsolute(allowed)) continue;
        const folder = await real(allowed).catch(() => undefined); // one that is gone allows nothing
        if (folder !== undefined && isWithin(folder, own)) return own;
      }
      throw new Fault("not_allowed_here", "the directory is not on the site's list: mercury allow --dir", {
        detail: { path },
      });
    },
  };
}

function notAllowed(rules: HostRules, name: string, port: number): Fault {
  const reason = rules.namesHost(name, port)
    ? "the host is on the site's list, the address it has now can't be: loopback, link-local or metadata"
    : `not on the site's list: mercury allow ${hostPort(name, port)}`;
  return new Fault("not_allowed_here", reason, { detail: { host: name, port } });
}

/** A name that only resolves to loopback does not count: what it resolves to can change. */
function isLoopbackHost(host: string): boolean {
  const address = parseAddress(host);
  return address === undefined ? host.toLowerCase() === "localhost" : isLoopback(address);
}

const hostPort = (host: string, port: number) => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`);
