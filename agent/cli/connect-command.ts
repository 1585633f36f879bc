import { Fault } from "#lib/fault";
import { onSignal, writeOut } from "#lib/runtime";
import type { AgentConfig } from "../config.ts";
import { connectTerminal } from "../portals/terminal-portals.ts";

/** `mercury connect`: a portal for this terminal, until Ctrl-C. Faults: `unavailable` when no Mercury runs, `not_found`, `not_allowed_here`. */
export async function connectCommand(
  config: AgentConfig,
  options: { readonly to: string; readonly listen: string | undefined },
): Promise<void> {
  const ending = new AbortController();
  onSignal(["SIGTERM", "SIGINT"], () => ending.abort());
  const parts = options.to.split("/");
  const outlet = parts.at(-1) ?? "";
  const node = parts.length === 2 ? parts[0] : undefined;
  if (parts.length > 2 || outlet === "" || node === "")
    throw new Fault("bad_request", "name what to connect to as NODE/OUTLET, or OUTLET");
  const listen = listenOf(options.listen ?? "127.0.0.1:0");
  let ended = true;
  for await (const event of connectTerminal(config.dataDirectory, { outlet, node, listen }, ending.signal)) {
    ended = false;
    if (event.type === "listening") {
      const at = `${event.host.includes(":") ? `[${event.host}]` : event.host}:${event.port}`;
      const where = event.protocol === "http" ? `http://${at}` : at;
      writeOut(`${where} leads to ${outlet} at ${event.agentIds.join(" or ")}. Ctrl-C ends it.\n`);
    } else writeOut(`mercury: ${event.reason} (${event.code})\n`, "stderr");
  }
  if (ending.signal.aborted) return;
  throw new Fault("unavailable", ended ? "the running Mercury did not answer" : "the running Mercury has ended");
}

/** `PORT`, `HOST:PORT` or `[ADDRESS]:PORT`; port 0 is any free one. Fault `bad_request`. */
function listenOf(text: string): { host: string; port: number } {
  const match = /^(?:(?:\[([0-9A-Fa-f:.]+)\]|([^:]+)):)?(\d{1,5})$/.exec(text);
  const [, address, host = address ?? "127.0.0.1", port] = match ?? [];
  if (port === undefined || Number(port) > 65_535)
    throw new Fault("bad_request", `--listen ${text}: not a port, or an address and a port`);
  return { host, port: Number(port) };
}
