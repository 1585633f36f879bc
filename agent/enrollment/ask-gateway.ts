import { z } from "zod";
import { Fault, isFaultCode } from "#lib/fault";
import { sealedBytesMax } from "#lib/limits";
import type { Network } from "../network/network.ts";

const timeoutMs = 20_000;
const problemSchema = z.object({ code: z.string(), detail: z.string().max(2_000).optional() });

/** A gateway's answer, and what its `Date` header said (unauthenticated: for messages to people only). */
export interface AskedGateway<T> {
  readonly value: T;
  readonly dateMs: number | undefined;
}

/**
 * GETs, or POSTs `body` as JSON. Faults: `unavailable` when nobody answers or what answers is no gateway, `timeout`, `too_large`, `malformed`,
 * else the code of the gateway's own problem (RFC 9457).
 */
export async function askGateway<T>(
  network: Network,
  url: string,
  { body, schema }: { readonly body?: unknown; readonly schema: z.ZodType<T> },
): Promise<AskedGateway<T>> {
  const posted = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await answerOf(
    network.fetch(url, {
      ...(body === undefined ? {} : posted),
      redirect: "error",
      signal: AbortSignal.timeout(timeoutMs),
    }),
    url,
  );
  const text = await boundedText(response, 2 * sealedBytesMax);
  if (!response.ok) throw problemOf(response.status, text);
  const parsed = schema.safeParse(jsonOf(text));
  if (!parsed.success) throw new Fault("malformed", `${new URL(url).host} does not answer as a gateway does`);
  const dateMs = Date.parse(response.headers.get("date") ?? "");
  return { value: parsed.data, dateMs: Number.isNaN(dateMs) ? undefined : dateMs };
}

async function answerOf(answer: Promise<Response>, url: string): Promise<Response> {
  try {
    return await answer;
  } catch (cause) {
    const { host } = new URL(url);
    if (cause instanceof Error && cause.name === "TimeoutError")
      throw new Fault("timeout", `${host} did not answer in ${timeoutMs / 1_000} s`, { cause });
    const { reason, message } = failureOf(cause);
    throw new Fault(
      "unavailable",
      `${host} can't be reached (${message}); \`mercury doctor\` names the hop that failed`,
      {
        cause,
        detail: { host, reason, saw: message },
      },
    );
  }
}

/** The runtime's code of what went wrong, and what people may see of it: a proxy's status is part of its text only. */
function failureOf(cause: unknown): { reason: string; message: string } {
  const reason = cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "no answer";
  const status = cause instanceof Error ? /open a tunnel: (\d{3}[\w ]{0,60})/.exec(cause.message)?.[1] : undefined;
  return { reason, message: status === undefined ? reason : `the proxy answers ${status}` };
}

/** Reads at most `lengthMax` characters: the one who answers is not known yet. */
async function boundedText(response: Response, lengthMax: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > lengthMax) throw new Fault("too_large", "a gateway's answer above its limit");
  }
  return text + decoder.decode();
}

function problemOf(status: number, text: string): Fault {
  const problem = problemSchema.safeParse(jsonOf(text));
  if (problem.success && isFaultCode(problem.data.code)) return new Fault(problem.data.code, problem.data.detail);
  return new Fault(status === 429 ? "limited" : "unavailable", `the gateway answered ${status}`, {
    detail: { status },
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // no JSON fits no schema
  }
}
