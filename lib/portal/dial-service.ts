import { asFault, Fault } from "#lib/fault";
import { connectTcp, type TcpSocket } from "#lib/runtime";

/**
 * Connects to the service of a portal at the very addresses that `allowed` gives, one after the other. What `allowed` refuses stays what
 * it is; else Fault `system_unavailable`, or `timeout`.
 */
export async function dialService(
  { host, port }: { readonly host: string; readonly port: number },
  timeoutMs: number,
  allowed: (host: string, port: number) => Promise<readonly string[]>,
): Promise<TcpSocket> {
  const addresses = await allowed(host, port).catch((error: unknown) => {
    const fault = asFault(error, "internal");
    if (fault.code !== "unavailable") throw fault;
    throw new Fault("system_unavailable", `${host} has no address`, { cause: fault });
  });
  let refused: unknown;
  for (const address of addresses) {
    try {
      return await connectTcp({ host: address, port }, { timeoutMs });
    } catch (error) {
      refused = error;
    }
  }
  const { code, message } = asFault(refused, "unavailable");
  throw new Fault(code === "timeout" ? "timeout" : "system_unavailable", `${host}:${port}: ${message}`, {
    cause: refused,
  });
}
