import { equalBytes, utf8 } from "#lib/bytes";
import type { WebhookConfig } from "#lib/session";

type AuthConfig = WebhookConfig["auth"];

/** Whether an `Authorization` header is the configured one, in time that does not depend on where they differ. */
export type CallerAuth = (header: string | undefined) => Promise<boolean>;

export function makeCallerAuth(auth: AuthConfig): CallerAuth {
  if (auth.kind === "none") return async () => true;
  const [scheme, wanted] =
    auth.kind === "bearer" ? ["bearer", auth.token] : ["basic", `${auth.username}:${auth.password}`];
  const wantedDigest = digest(wanted);
  return async (header) => {
    const [, given = "", value = ""] = /^([A-Za-z]+) +(\S+)$/.exec(header ?? "") ?? [];
    const said = scheme === "basic" ? fromBasic(value) : value;
    // Digests have one length whatever was sent.
    const same = equalBytes(await digest(said), await wantedDigest);
    return same && given.toLowerCase() === scheme;
  };
}

/** `WWW-Authenticate` for those who are refused (RFC 9110 §11.6.1). */
export function challengeOf(auth: AuthConfig): string {
  return auth.kind === "basic" ? 'Basic realm="webhook", charset="UTF-8"' : 'Bearer realm="webhook"';
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(text)));
}

function fromBasic(value: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(value), (letter) => letter.charCodeAt(0)));
  } catch {
    return ""; // no base64: the same as a wrong password, and no configured one is empty
  }
}
