import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "#lib/fault";
import { HostRules } from "#lib/hosts";
import { expectFault } from "#support/faults";
import { needs } from "#support/needs";
import { makeSiteFetch } from "../../../agent/site/site-fetch.ts";
import { SiteFile } from "../../../agent/site/site-file.ts";
import { makeSiteGuard } from "../../../agent/site/site-guard.ts";

setDefaultTimeout(30_000);

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});
async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "mercury-site-"));
  folders.push(made);
  return made;
}

/** A guard whose names resolve as `names` says; addresses resolve to themselves. */
const guard = (allow: string[], names: Record<string, string[]> = {}) =>
  makeSiteGuard(
    () => ({ allow, directories: [] }),
    async (name) => names[name] ?? [name],
  );

/** A site without proxies and authorities of its own. */
const direct = () => ({});

describe("hosts and ports", () => {
  const lines = ["erp.example.com:443", "*.corp.local:8000-8099", "10.1.0.0/16:*", "[fd12::1]:80", "localhost:9000"];
  const names = {
    "erp.example.com": ["192.0.2.7"],
    "a.corp.local": ["192.0.2.8"],
    "corp.local": ["192.0.2.9"],
    "db.example.com": ["10.1.2.3"],
    localhost: ["127.0.0.1"],
  };
  const allowed: [string, number][] = [
    ["erp.example.com", 443],
    ["ERP.example.com.", 443],
    ["a.corp.local", 8050],
    ["10.1.255.1", 1],
    ["[fd12::1]", 80],
    ["localhost", 9000],
    ["127.0.0.1", 9000],
    ["[::1]", 9000],
    ["db.example.com", 5432],
    ["::ffff:10.1.0.1", 22],
  ];
  const refused: [string, number][] = [
    ["erp.example.com", 80],
    ["evil-erp.example.com", 443],
    ["erp.example.com.evil.org", 443],
    ["corp.local", 8000],
    ["a.corp.local", 8100],
    ["10.2.0.1", 80],
    ["127.0.0.2", 9000],
    ["127.0.0.1", 9001],
    ["192.0.2.7", 443],
  ];
  test.each(allowed)("%s port %d may be reached", async (host, port) => {
    const lower = Object.fromEntries(
      Object.entries(names).flatMap(([name, at]) => [
        [name, at],
        [`${name.toUpperCase().slice(0, 3)}${name.slice(3)}.`, at],
      ]),
    );
    expect(await guard(lines, lower).allowConnect(host, port)).not.toBeEmpty();
  });
  test.each(refused)("%s port %d may not", async (host, port) => {
    await expectFault(guard(lines, names).allowConnect(host, port), "not_allowed_here");
  });

  const never = [
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "0:0:0:0:0:FFFF:A9FE:A9FE",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "fe80::1",
    "fe80::1%eth0",
    "100.100.100.200",
    "0.0.0.0",
    "fd00:ec2::254",
  ];
  test.each(never)("%s is never reached, listed, in a range, or resolved to", async (address) => {
    const literal = address.includes(":") ? `[${address}]` : address;
    const everything = [`${literal}:80`, "0.0.0.0/0:*", "[::/0]:*", "sly.example.com:80"].filter(
      (line) => !line.startsWith("[::/0]"),
    );
    const one = guard([...everything, "[::]/0:*"], { "sly.example.com": [address] });
    await expectFault(one.allowConnect(address, 80), "not_allowed_here");
    await expectFault(one.allowConnect("sly.example.com", 80), "not_allowed_here");
  });

  test.each(["2852039166", "0xa9fea9fe", "0xa9.0xfe.43518", "0251.0376.0251.0376", "169.254.43518"])(
    "%s, another spelling of 169.254.169.254, is neither reached by itself nor through a URL",
    async (spelling) => {
      const every = makeSiteGuard(() => ({
        allow: ["0.0.0.0/0:*", "[::]/0:*", "sly.example.com:80"],
        directories: [],
      }));
      const refusal = await every.allowConnect(spelling, 80).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(Fault); // not_allowed_here, or unavailable where the system knows no such name
      const url = new URL(`http://${spelling}/`);
      await expectFault(every.allowConnect(url.hostname, 80), "not_allowed_here");
      const sly = guard(["sly.example.com:80"], { "sly.example.com": [spelling] });
      await expectFault(sly.allowConnect("sly.example.com", 80), "not_allowed_here");
    },
  );

  test("a listed name that suddenly leads to this machine is refused; the good addresses of several are kept", async () => {
    await expectFault(
      guard(["a.example.com:80"], { "a.example.com": ["127.0.0.1"] }).allowConnect("a.example.com", 80),
      "not_allowed_here",
    );
    const both = guard(["a.example.com:80"], { "a.example.com": ["169.254.1.1", "192.0.2.1"] });
    expect(await both.allowConnect("a.example.com", 80)).toEqual(["192.0.2.1"]);
  });

  test("listens on loopback, elsewhere only where the list says so", async () => {
    const one = guard(["0.0.0.0:8080", "192.168.1.5:*"]);
    for (const [host, port] of [
      ["127.0.0.1", 0],
      ["::1", 5],
      ["localhost", 80],
      ["0.0.0.0", 8080],
      ["192.168.1.5", 0],
    ] as const)
      one.allowListen(host, port);
    await expectFault(() => one.allowListen("0.0.0.0", 8081), "not_allowed_here");
    await expectFault(() => one.allowListen("0.0.0.0", 0), "not_allowed_here");
  });

  test.each([
    "erp",
    "erp:",
    ":80",
    "erp:0",
    "erp:70000",
    "a:9-1",
    "erp:80:90",
    "*:80",
    "a b:80",
    "10.0.0.0/33:80",
    "300.1.1.1:80",
  ])("%s can't be a line of the list", async (line) => {
    await expectFault(() => new HostRules([line]), "config");
  });
});

describe("directories", () => {
  test("what lies below a listed one is allowed; beside it, above it and through a link out of it is not", async () => {
    const root = await folder();
    for (const name of ["share/in", "shared", "secret"]) await mkdir(join(root, name), { recursive: true });
    await symlink(join(root, "secret"), join(root, "share/way-out"));
    await symlink(join(root, "share"), join(root, "way-in"));
    const one = makeSiteGuard(() => ({ allow: [], directories: [join(root, "way-in"), "relative"] }));
    expect(await one.allowPath(join(root, "share/in"))).toEndWith("share/in");
    expect(await one.allowPath(join(root, "way-in"))).toEndWith("/share");
    for (const path of ["share/way-out", "shared", "secret", ".", "share/../secret"])
      await expectFault(one.allowPath(join(root, path)), "not_allowed_here");
    await expectFault(one.allowPath(join(root, "share/none")), "not_found");
  });
});

describe("the file of the list", () => {
  test("is read again when it changed; a bad one leaves the last list", async () => {
    const file = new SiteFile(join(await folder(), "site.json"));
    expect(await file.read()).toEqual({ allow: [], directories: [] });
    await file.add(["erp:80"], ["/srv/x"]);
    await file.add(["erp:80", "crm:81"], []);
    expect(await new SiteFile(file.path).read()).toEqual({ allow: ["erp:80", "crm:81"], directories: ["/srv/x"] });
    await expectFault(file.add(["no port"], []), "config");
    await expectFault(file.add([], ["relative"]), "config");
    await writeFile(file.path, "{ not json");
    await expectFault(file.read(), "config");
    expect(file.list.allow).toEqual(["erp:80", "crm:81"]);
  });
});

describe("fetch", () => {
  test("goes to the address that was checked, keeps the name, follows no redirect", async () => {
    await using server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request) =>
        new URL(request.url).pathname === "/away"
          ? Response.redirect("http://127.0.0.1:1/", 302)
          : new Response(request.headers.get("host")),
    });
    const one = guard([`[::1]:${server.port}`, `127.0.0.1:${server.port}`, `erp.example.com:${server.port}`], {
      "erp.example.com": ["::1", "127.0.0.1"],
    });
    const call = makeSiteFetch(one, direct);
    const signal = AbortSignal.timeout(5_000);
    const url = (path: string) => new URL(`http://erp.example.com:${server.port}${path}`);
    const answer = await call({ url: url("/"), method: "GET", headers: {}, signal });
    expect(await answer.text()).toBe(`erp.example.com:${server.port}`);
    expect((await call({ url: url("/away"), method: "GET", headers: {}, signal })).status).toBe(302);
    await expectFault(
      call({ url: new URL("http://127.0.0.1:1/"), method: "GET", headers: {}, signal }),
      "not_allowed_here",
    );
  });

  test("tells that nobody answers as the system being unavailable", async () => {
    const call = makeSiteFetch(guard(["127.0.0.1:1"]), direct);
    const url = new URL("http://127.0.0.1:1/");
    const fault = await expectFault(
      call({ url, method: "GET", headers: {}, signal: AbortSignal.timeout(5_000) }),
      "system_unavailable",
    );
    expect(fault.detail.reason).toBe("ECONNREFUSED");
  });
});

needs("openssl", "Debian's package openssl")("fetch over TLS", () => {
  test("checks the certificate against the name, although it connects to the address", async () => {
    const folderPath = await folder();
    const [key, cert] = [join(folderPath, "key.pem"), join(folderPath, "cert.pem")];
    const made = Bun.spawnSync([
      ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...[
        "-keyout",
        key,
        "-out",
        cert,
        "-days",
        "2",
        "-subj",
        "/CN=erp",
        "-addext",
        "subjectAltName=DNS:erp.example.com",
      ],
    ]);
    expect(made.exitCode).toBe(0);
    const ca = await Bun.file(cert).text();
    await using server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { key: Bun.file(key), cert: Bun.file(cert) },
      fetch: (request) => new Response(request.headers.get("host")),
    });
    const names = { "erp.example.com": ["127.0.0.1"], "other.example.com": ["127.0.0.1"] };
    const one = guard([`127.0.0.1:${server.port}`], names);
    const signal = AbortSignal.timeout(5_000);
    const call = (trusted: readonly string[] | undefined, host: string) =>
      makeSiteFetch(one, () => (trusted === undefined ? {} : { tls: { ca: [...trusted] } }))({
        url: new URL(`https://${host}:${server.port}/`),
        method: "GET",
        headers: {},
        signal,
      });
    expect(await (await call([ca], "erp.example.com")).text()).toBe(`erp.example.com:${server.port}`);
    expect((await expectFault(call([ca], "other.example.com"), "system_unavailable")).detail.reason).toContain(
      "ALTNAME",
    );
    await expectFault(call(undefined, "erp.example.com"), "system_unavailable");
  });
});
