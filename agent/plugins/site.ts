import { Fault } from "#lib/fault";
import { isWithin, realPath, resolveHost } from "#lib/runtime";

/** The site's own list: what plugins and outlets may touch at all. The cloud can't widen it (PROTOCOL §9). */
export interface SiteList {
  /** `host:port`; `*` as port allows all of a host. Host names without case. */
  readonly hosts: readonly string[];
  /** Absolute paths; what lies below is allowed too. */
  readonly directories: readonly string[];
}

/** Answers for one use each time it is asked; Fault `not_allowed_here` names what the list lacks. */
export interface Site {
  /** Whether a connection to this host and port may be made: by the list, and by where the name leads now. */
  allowConnect(host: string, port: number): Promise<void>;
  /** Whether a listener may be opened: loopback always, else by the list. */
  allowListen(host: string, port: number): void;
  /** `path` without symbolic links when it lies in an allowed directory; `path` itself must exist. */
  allowPath(path: string): Promise<string>;
}

export function makeSite(list: SiteList): Site {
  const hosts = new Set(list.hosts.map((entry) => entry.toLowerCase()));
  const listed = (host: string, port: number) => hosts.has(`${host}:${port}`) || hosts.has(`${host}:*`);
  return {
    async allowConnect(host, port) {
      const name = bare(host);
      if (!listed(name, port)) throw notListed(`${name}:${port}`);
      for (const address of await resolveHost(name))
        if (isLinkLocal(address)) throw new Fault("not_allowed_here", `${name} leads to a link-local address`);
    },
    allowListen(host, port) {
      const name = bare(host);
      if (!isLoopback(name) && !listed(name, port)) throw notListed(`${name}:${port}`);
    },
    async allowPath(path) {
      const real = await realPath(path);
      for (const directory of list.directories) {
        const allowed = await realPath(directory).catch(() => undefined); // a listed directory that is gone allows nothing
        if (allowed !== undefined && isWithin(allowed, real)) return real;
      }
      throw notListed(path);
    },
  };
}

function notListed(what: string): Fault {
  return new Fault("not_allowed_here", `the site's own list does not name ${what}`, { detail: { what } });
}

function bare(host: string): string {
  return host.toLowerCase().replace(/^\[|\]$/g, "").replace(/\.$/, "");
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Link-local addresses and the metadata services of clouds, which live there or beside (RFC 3927, RFC 4291 §2.5.6). */
export function isLinkLocal(address: string): boolean {
  const text = address.toLowerCase();
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(text)?.[1] ?? hexMapped(text);
  const four = mapped ?? text;
  return (
    /^169\.254\./.test(four) ||
    /^0\./.test(four) ||
    four === "100.100.100.200" ||
    /^fe[89ab][0-9a-f]:/.test(text) ||
    text === "fd00:ec2::254"
  );
}

/** `::ffff:a9fe:a9fe` as dotted quad. */
function hexMapped(text: string): string | undefined {
  const parts = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(text);
  if (parts === null) return undefined;
  const [high, low] = [Number.parseInt(parts[1] ?? "", 16), Number.parseInt(parts[2] ?? "", 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}
