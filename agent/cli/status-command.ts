import { Fault } from "#lib/fault";
import { systemClock, writeOut } from "#lib/runtime";
import type { AgentConfig } from "../config.ts";
import { type AgentStatus, askStatus } from "../status.ts";

/** `mercury status`: what the running agent says now. Fault `unavailable` when none runs. */
export async function statusCommand(config: AgentConfig, options: { readonly json: boolean }): Promise<void> {
  const status = await askStatus(config.dataDirectory);
  if (status === undefined) {
    if (options.json) writeOut(`${JSON.stringify({ running: false })}\n`);
    throw new Fault("unavailable", `no Mercury runs on ${config.dataDirectory}; start it with \`mercury run\``);
  }
  writeOut(options.json ? `${JSON.stringify({ running: true, ...status })}\n` : text(status, systemClock.now()));
}

function text(status: AgentStatus, now: number): string {
  const { tunnel } = status;
  const why = tunnel.code === undefined ? "" : `: ${tunnel.reason ?? tunnel.code} (${tunnel.code})`;
  const next = tunnel.nextTryAt === undefined ? "" : `, next try in ${duration(Math.max(0, tunnel.nextTryAt - now))}`;
  const ping = tunnel.rttMs === undefined ? "" : `, ping ${tunnel.rttMs.toFixed(1)} ms`;
  const state = tunnel.state === "online" || tunnel.state === "stopped" ? tunnel.state : "offline";
  const doing = tunnel.state === "connecting" ? ", connecting now" : next;
  const lines = [
    `${state} for ${duration(now - tunnel.since)}${why}${doing}${ping}`,
    `  agent       ${status.agentId ?? "not enrolled"}`,
    `  identity    ${status.identifier ?? "none"}`,
    `  gateway     ${status.gateway ?? "none"}`,
    `  credential  ${status.credentialUntil === null ? "none" : `for ${duration(status.credentialUntil - now)} more`}`,
    `  process     ${status.pid}, version ${status.version}, ${Math.round(status.residentBytes / 1_048_576)} MB, up ${duration(now - status.startedAt)}`,
    `  desired     ${status.desired === 0 ? "nothing yet" : `number ${status.desired}`}`,
  ];
  const plugins = status.plugins.map((plugin) => {
    const reason = plugin.reason === undefined ? "" : `: ${plugin.reason.replace(/^waiting: /, "")}`; // its state says so
    const facts = Object.entries(plugin.facts ?? {}).map(([name, value]) => ` ${name}=${value}`);
    return `  ${plugin.name.padEnd(12)}${plugin.type} v${plugin.version}, ${plugin.state}${reason}, inbox ${plugin.inbox}, outbox ${plugin.outbox}${facts.join("")}`;
  });
  const portals = status.portals.map((portal) => {
    const { name, end, version, state, reason, open, total, refused, last } = portal;
    const why = reason === undefined ? "" : `: ${reason}`;
    const failed = last === undefined ? "" : `, last ${duration(now - last.at)} ago: ${last.reason} (${last.code})`;
    return `  ${name.padEnd(12)}${end} v${version}, ${state}${why}, ${open} open, ${total} in all, ${refused} refused${failed}`;
  });
  return `${[...lines, ...titled("plugins", plugins), ...titled("portals", portals)].join("\n")}\n`;
}

function titled(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [title, ...lines];
}

function duration(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`;
}
