import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Fault } from "#lib/fault";
import { type ConnectProxy, connectProxy } from "#support/connect-proxy";
import { expectFault } from "#support/faults";
import { needs } from "#support/needs";
import { temporaryFolder } from "#support/temporary-folder";
import { makeNetwork } from "../../../agent/network/network.ts";
import { makeSiteFetch } from "../../../agent/site/site-fetch.ts";
import { makeSiteGuard } from "../../../agent/site/site-guard.ts";
import { testCertificate } from "../../support/certificate.ts";

setDefaultTimeout(30_000);

const account = "agent:pass word";

/** Names as this machine resolves them; the proxy alone knows the others. */
const known: Readonly<Record<string, readonly string[]>> = {
  "range.test": ["10.1.2.3"],
  "metadata.test": ["169.254.169.254"],
  "both.test": ["192.0.2.7", "169.254.169.254"],
  "here.test": ["192.0.2.7"],
  "192.0.2.7": ["192.0.2.7"],
  "10.1.2.3": ["10.1.2.3"],
  "169.254.169.254": ["169.254.169.254"],
};

const guard = (allow: readonly string[]) =>
  makeSiteGuard(
    () => ({ allow: [...allow], directories: [] }),
    async (name) => known[name] ?? Promise.reject(new Fault("unavailable")),
  );

describe("a system behind the site's proxy", () => {
  let proxy: ConnectProxy;
  let server: Bun.Server<undefined>;
  beforeAll(async () => {
    server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: async (request) =>
        Response.json({
          host: request.headers.get("host"),
          body: await request.text(),
          proxy: [...request.headers.keys()],
        }),
    });
    const port = server.port ?? 0;
    proxy = await connectProxy(account, {
      ...{ "erp.test": port, "here.test": port, "10.1.2.3": port, "192.0.2.7": port },
      ...{ "169.254.169.254": port, "metadata.test": port, "both.test": port, "other.test": port },
    });
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await server.stop(true);
  });

  const call = (
    url: string,
    allow: readonly string[],
    { none, user = account }: { none?: string; user?: string } = {},
  ) => {
    const http = `http://${encodeURIComponent(user).replace("%3A", ":")}@127.0.0.1:${proxy.port}`;
    const network = makeNetwork({ proxies: { https: http, http, none }, authorities: [] });
    const request = { url: new URL(url), headers: {}, signal: AbortSignal.timeout(5_000) };
    return makeSiteFetch(guard(allow), (to) => network.wayTo(to))({
      ...request,
      method: "POST",
      body: new Uint8Array([65]),
    });
  };

  test("is called by its name, with what was sent, and never sees the proxy's password", async () => {
    const answer = await (await call("http://erp.test/orders?a=1", ["erp.test:80"])).json();
    expect(answer).toMatchObject({ host: "erp.test", body: "A" });
    expect(answer.proxy).not.toContain("proxy-authorization");
    expect(proxy.passed.at(-1)).toBe("erp.test");
    expect(await (await call("http://here.test/", ["here.test:80"])).json()).toMatchObject({ host: "here.test" });
  });

  test("is called by the address that a range of the list allows, where only that does", async () => {
    await call("http://range.test/", ["10.1.0.0/16:80"]);
    expect(proxy.passed.at(-1)).toBe("10.1.2.3");
  });

  test("is refused as without a proxy, before the proxy hears of it: name, port, address, link-local, metadata", async () => {
    const before = proxy.passed.length + proxy.refused;
    const refused: [string, string[]][] = [
      ["http://erp.test/", ["other.test:80"]],
      ["http://erp.test:81/", ["erp.test:80"]],
      ["https://erp.test/", ["erp.test:80"]],
      ["http://erp.test/", ["0.0.0.0/0:*", "[::]/0:*"]], // who knows where it leads
      ["http://10.1.2.3/", ["10.2.0.0/16:*"]],
      ["http://169.254.169.254/latest", ["169.254.0.0/16:*", "0.0.0.0/0:*", "169.254.169.254:*"]],
      ["http://metadata.test/", ["metadata.test:*", "0.0.0.0/0:*"]],
      ["http://[::ffff:169.254.169.254]/", ["[::]/0:*", "0.0.0.0/0:*"]],
    ];
    for (const [url, allow] of refused) await expectFault(call(url, allow), "not_allowed_here");
    expect(proxy.passed.length + proxy.refused).toBe(before);
  });

  test("a name that leads to link-local among others goes by the address that is allowed", async () => {
    await call("http://both.test/", ["both.test:80"]);
    expect(proxy.passed.at(-1)).toBe("192.0.2.7");
  });

  test("a proxy that lets nobody through is the system being unavailable: no message is refused by it", async () => {
    for (const url of ["http://erp.test/", "https://erp.test/"]) {
      const fault = await expectFault(call(url, ["erp.test:*"], { user: "agent:wrong" }), "system_unavailable");
      expect(fault.message).toContain("407");
      expect(fault.message).not.toContain("wrong");
    }
    const unknown = await expectFault(call("https://unknown.test/", ["unknown.test:*"]), "system_unavailable");
    expect(unknown.message).toContain("502");
  });

  test("NO_PROXY takes the direct way, with its own checks", async () => {
    const before = proxy.passed.length;
    const fault = await expectFault(call("http://erp.test/", ["erp.test:80"], { none: ".test" }), "system_unavailable");
    expect(fault.message).toContain("no address");
    expect(proxy.passed.length).toBe(before);
  });
});

needs("openssl", "apt-get install openssl")("a system with TLS behind the site's proxy", () => {
  test("shows a certificate of the site's own authority for its name, through CONNECT", async () => {
    await using folder = await temporaryFolder();
    const { certFile, keyFile } = testCertificate(folder.path, "erp", ["erp.test", "range.test"]);
    const ca = await Bun.file(certFile).text();
    await using server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert: Bun.file(certFile), key: Bun.file(keyFile) },
      fetch: (request) => new Response(request.headers.get("host")),
    });
    const port = server.port ?? 0;
    await using proxy = await connectProxy(account, { "erp.test": port, "10.1.2.3": port, "other.test": port });
    const call = (host: string, authorities: readonly string[]) => {
      const https = `http://agent:pass%20word@127.0.0.1:${proxy.port}`;
      const network = makeNetwork({ proxies: { https, http: undefined, none: undefined }, authorities });
      const allow = ["erp.test:443", "other.test:443", "10.1.0.0/16:443"];
      const request = { url: new URL(`https://${host}/`), headers: {}, signal: AbortSignal.timeout(5_000) };
      return makeSiteFetch(guard(allow), (to) => network.wayTo(to))({ ...request, method: "GET" });
    };
    expect(await (await call("erp.test", [ca])).text()).toBe("erp.test");
    expect(await (await call("range.test", [ca])).text()).toBe("range.test");
    expect(proxy.passed).toEqual(["erp.test:443", "10.1.2.3:443"]);
    await expectFault(call("other.test", [ca]), "system_unavailable"); // not its name
    await expectFault(call("erp.test", []), "system_unavailable"); // nobody vouches for it
  });
});
