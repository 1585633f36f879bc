import { fromBase64url } from "#lib/bytes";
import { type CryptoSuite, chooseSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { verifyIdentity } from "#lib/identity";
import { probeTcp, probeTls, resolveHost, systemClock, systemRandom, writeOut } from "#lib/runtime";
import { authorityAnswerSchema } from "#lib/session";
import { decodeEnrollmentToken } from "#lib/statement";
import { openAgentStore, openNetwork } from "../agent-store.ts";
import type { AgentConfig } from "../config.ts";
import { askGateway } from "../enrollment/ask-gateway.ts";
import { gatewayOrigin } from "../network/network.ts";
import { proxyFor } from "../network/proxy.ts";
import { askStatus } from "../status.ts";
import { givenToken } from "./token.ts";

/** One thing that was tried. */
interface Finding {
  readonly hop: string;
  readonly ok: boolean;
  readonly saw: string;
  /** What to do; only where something is wrong. */
  readonly todo?: string;
}

/** What leads to the cloud: from the store, or before enrolling from a token or the command line. */
interface Way {
  readonly gateway: string;
  /** Identifier that the gateway's authority must have; undefined when nothing names it. */
  readonly authority: string | undefined;
}

/**
 * `mercury doctor`: takes the way of the tunnel hop by hop and stops at the first that fails: store, name, proxy or
 * connection, TLS, gateway, authority, clock, the running agent. Fault `unavailable` when one failed.
 */
export async function doctorCommand(
  config: AgentConfig,
  options: { readonly json: boolean; readonly gateway?: string | undefined },
): Promise<void> {
  const findings: Finding[] = [];
  for await (const finding of examine(config, options.gateway)) {
    findings.push(finding);
    if (!options.json) writeOut(line(finding));
  }
  const failed = findings.find(({ ok }) => !ok);
  if (options.json) writeOut(`${JSON.stringify({ ok: failed === undefined, findings })}\n`);
  if (failed !== undefined) throw new Fault("unavailable", `the hop that failed: ${failed.hop}`);
}

function line({ hop, ok, saw, todo }: Finding): string {
  return `${ok ? "ok  " : "FAIL"}  ${hop.padEnd(11)} ${saw}\n${todo === undefined ? "" : `                  → ${todo}\n`}`;
}

async function* examine(config: AgentConfig, gatewayOption: string | undefined): AsyncGenerator<Finding> {
  const suite = await chooseSuite();
  let way: Way | undefined;
  try {
    way = await wayOf(config, suite, gatewayOption);
  } catch (error) {
    if (error instanceof Fault && error.code.startsWith("token_"))
      yield bad("enrollment", error, "copy the token again");
    else
      yield bad(
        "store",
        error,
        "give the key that the store was made with, or --gateway ADDRESS to test the way alone",
      );
    return;
  }
  if (way === undefined) {
    yield {
      hop: "enrollment",
      ok: false,
      saw: "not enrolled, and no token given",
      todo: "mercury enroll, or --gateway ADDRESS",
    };
    return;
  }
  const origin = gatewayOrigin(way.gateway, config.allowInsecure);
  yield { hop: "gateway", ok: true, saw: origin };
  if (!(yield* reach(config, new URL(origin)))) return;
  yield* judge(config, suite, way, origin);
  const status = await askStatus(config.dataDirectory);
  if (status === undefined) yield { hop: "agent", ok: true, saw: "not running now" };
  else {
    const { state, reason, code } = status.tunnel;
    const saw = `process ${status.pid}, tunnel ${state}${code === undefined ? "" : `: ${reason ?? code}`}`;
    yield { hop: "agent", ok: state === "online" || state === "connecting", saw };
  }
}

async function wayOf(config: AgentConfig, suite: CryptoSuite, gateway: string | undefined): Promise<Way | undefined> {
  if (gateway !== undefined) return { gateway, authority: undefined };
  const opened = await openAgentStore(config, { suite, random: systemRandom, clock: systemClock }, { create: false });
  if (opened !== undefined) {
    await using store = opened.store;
    const enrollment = await store.cloud.enrollment();
    if (enrollment !== undefined) return { gateway: enrollment.gateway, authority: enrollment.authority };
  }
  const token = await givenToken(config);
  return token === undefined ? undefined : await decodeEnrollmentToken(suite, token);
}

/** Name, proxy or connection, TLS. Answers whether the gateway can be reached. */
async function* reach(config: AgentConfig, url: URL): AsyncGenerator<Finding, boolean> {
  const proxy = proxyFor(url, config.proxies);
  const secure = url.protocol === "https:";
  const target = proxy === undefined ? url : new URL(proxy);
  const host = target.hostname.replace(/^\[|\]$/g, "");
  const port = Number(target.port || (target.protocol === "https:" ? 443 : 80));
  try {
    const addresses = await resolveHost(host);
    yield { hop: "DNS", ok: true, saw: `${host} is ${addresses.join(", ")}` };
  } catch (error) {
    yield bad(
      "DNS",
      error,
      proxy === undefined ? "the name server of this site must know the gateway" : "check HTTPS_PROXY",
    );
    return false;
  }
  const hop = proxy === undefined ? "connection" : "proxy";
  try {
    const ms = await probeTcp(host, port);
    yield { hop, ok: true, saw: `${host}:${port} in ${ms.toFixed(0)} ms` };
  } catch (error) {
    const todo =
      proxy === undefined ? `let this machine out to ${host}:${port}, or set HTTPS_PROXY` : "check HTTPS_PROXY";
    yield bad(hop, error, todo);
    return false;
  }
  if (!secure || proxy !== undefined) return true;
  try {
    const network = await openNetwork(config);
    const ca = network.wayTo(url).tls?.ca;
    const ms = await probeTls(host, port, ca === undefined ? {} : { ca });
    yield { hop: "TLS", ok: true, saw: `certificate valid for ${host}, ${ms.toFixed(0)} ms` };
    return true;
  } catch (error) {
    yield bad("TLS", error, tlsTodo);
    return false;
  }
}

/** The gateway itself, its authority, and this machine's clock beside the gateway's. */
async function* judge(config: AgentConfig, suite: CryptoSuite, way: Way, origin: string): AsyncGenerator<Finding> {
  const before = systemClock.now();
  let asked: Awaited<ReturnType<typeof askAuthority>>;
  try {
    asked = await askAuthority(config, origin);
    yield { hop: "Nexus", ok: true, saw: `answers in ${systemClock.now() - before} ms` };
  } catch (error) {
    yield unanswered(error);
    return;
  }
  const ahead = asked.dateMs === undefined ? 0 : systemClock.now() - asked.dateMs;
  if (Math.abs(ahead) > 60_000) {
    const saw = `${Math.round(Math.abs(ahead) / 1_000)} s ${ahead > 0 ? "ahead of" : "behind"} the gateway's`;
    yield { hop: "clock", ok: false, saw, todo: "set this machine's clock (NTP)" };
  } else
    yield {
      hop: "clock",
      ok: true,
      saw: `within ${Math.max(1, Math.ceil(Math.abs(ahead) / 1_000))} s of the gateway's`,
    };
  try {
    const chain = fromBase64url(asked.value.authority) ?? new Uint8Array();
    const { identifier } = await verifyIdentity(suite, chain, { now: "any time" });
    const right = way.authority === undefined || way.authority === identifier;
    yield right
      ? { hop: "authority", ok: true, saw: identifier }
      : {
          hop: "authority",
          ok: false,
          saw: `${identifier} is another cloud's`,
          todo: "a token of this cloud, or the right gateway",
        };
  } catch (error) {
    yield bad("authority", error, "the gateway shows no valid authority: ask who runs it");
  }
}

async function askAuthority(config: AgentConfig, origin: string) {
  return await askGateway(await openNetwork(config), `${origin}/enroll`, { schema: authorityAnswerSchema });
}

const proxyTodo =
  "the proxy must know this machine (http://USER:PASSWORD@HOST:PORT in HTTPS_PROXY) and allow the gateway";
const tlsTodo = "where TLS is inspected, name the inspecting authority in MERCURY_CA_FILE";

/** Behind a proxy its refusal, and the gateway's certificate, show up only when the gateway is asked. */
function unanswered(error: unknown): Finding {
  const { reason = null, saw = "" } = error instanceof Fault ? error.detail : {};
  if (reason === "ERR_PROXY_TUNNEL") return { hop: "proxy", ok: false, saw: String(saw), todo: proxyTodo };
  if (/CERT|SIGNATURE|TLS/.test(String(reason))) return { hop: "TLS", ok: false, saw: String(saw), todo: tlsTodo };
  return bad("Nexus", error, "what answers is no gateway, or one that is not ready: ask who runs it");
}

function bad(hop: string, error: unknown, todo: string): Finding {
  const text = error instanceof Fault ? `${error.message} (${error.code}${detailOf(error)})` : String(error);
  return { hop, ok: false, saw: text, todo };
}

function detailOf(fault: Fault): string {
  const { reason } = fault.detail;
  return reason === undefined ? "" : `, ${reason}`;
}
