/** One row of the code table. */
export interface FaultEntry {
  /** Who has to act: the one who asked, the far end, the operator of this program, or nobody (it passes). */
  readonly scope: "caller" | "peer" | "operator" | "passing";
  /** Whether the same request may succeed later without a change. */
  readonly retry: boolean;
  /** HTTP status where the fault leaves through an HTTP surface (RFC 9110). */
  readonly status: number;
  /** Text that anyone may see. */
  readonly text: string;
}

const rows = {
  // Input
  bad_request: { scope: "caller", retry: false, status: 400, text: "The request is not well formed." },
  invalid: { scope: "caller", retry: false, status: 422, text: "A field does not fit its schema." },
  too_large: { scope: "caller", retry: false, status: 413, text: "Larger than the limit." },
  unauthenticated: { scope: "caller", retry: false, status: 401, text: "Not authenticated." },
  forbidden: { scope: "caller", retry: false, status: 403, text: "Not allowed." },
  not_found: { scope: "caller", retry: false, status: 404, text: "No such thing." },
  conflict: { scope: "caller", retry: false, status: 409, text: "Conflicts with what is stored." },
  idempotency_conflict: { scope: "caller", retry: false, status: 409, text: "This key was used with another body." },
  limited: { scope: "caller", retry: true, status: 429, text: "Too many requests." },
  // State of the system
  unavailable: { scope: "passing", retry: true, status: 503, text: "Not available now." },
  timeout: { scope: "passing", retry: true, status: 504, text: "No answer in time." },
  lane_full: { scope: "passing", retry: true, status: 503, text: "The queue of this plugin is full." },
  offline: { scope: "passing", retry: true, status: 503, text: "The node is not connected." },
  draining: { scope: "passing", retry: true, status: 503, text: "Shutting down." },
  disk_full: { scope: "operator", retry: true, status: 507, text: "The disk is full." },
  database: { scope: "operator", retry: true, status: 503, text: "The database did not answer as it should." },
  database_key: { scope: "operator", retry: false, status: 500, text: "The store does not open with this key." },
  schema_newer: { scope: "operator", retry: false, status: 500, text: "The database was written by a newer version." },
  broker: { scope: "passing", retry: true, status: 503, text: "The broker did not answer as it should." },
  broker_settings: { scope: "operator", retry: false, status: 503, text: "The broker is not set as it must be." },
  kms: { scope: "passing", retry: true, status: 503, text: "The key management did not answer as it should." },
  config: { scope: "operator", retry: false, status: 500, text: "The configuration is not usable." },
  internal: { scope: "operator", retry: false, status: 500, text: "Something went wrong on our side." },
  // Formats and cryptography
  malformed: { scope: "peer", retry: false, status: 400, text: "Not decodable." },
  crypto: { scope: "peer", retry: false, status: 400, text: "A cryptographic check failed." },
  handshake: { scope: "peer", retry: true, status: 400, text: "The handshake failed." },
  identity_invalid: { scope: "peer", retry: false, status: 400, text: "The identity chain is not valid." },
  identity_expired: { scope: "peer", retry: false, status: 400, text: "The identity is out of date." },
  identity_unexpected: { scope: "peer", retry: false, status: 403, text: "Not the identity that was expected." },
  statement_invalid: { scope: "peer", retry: false, status: 400, text: "The statement is not valid." },
  statement_expired: { scope: "peer", retry: false, status: 400, text: "The statement is out of date." },
  statement_stale: { scope: "peer", retry: false, status: 409, text: "Older than what is known." },
  credential_invalid: { scope: "peer", retry: false, status: 403, text: "The credential is not valid." },
  credential_expired: { scope: "peer", retry: true, status: 403, text: "The credential is out of date." },
  revoked: { scope: "operator", retry: false, status: 403, text: "This identity was revoked." },
  clock: { scope: "operator", retry: true, status: 400, text: "The clock of one side is wrong." },
  // Channel and streams
  record_order: { scope: "peer", retry: true, status: 400, text: "Records came repeated, reordered or with a gap." },
  frame_invalid: { scope: "peer", retry: true, status: 400, text: "A frame is not valid." },
  credit_exceeded: { scope: "peer", retry: true, status: 400, text: "More was sent than was allowed." },
  stream_reset: { scope: "peer", retry: true, status: 502, text: "The stream was reset." },
  wire_lost: { scope: "passing", retry: true, status: 502, text: "The connection was lost." },
  closed: { scope: "passing", retry: true, status: 503, text: "Closed." },
  // Enrollment and opening
  token_invalid: { scope: "caller", retry: false, status: 401, text: "This enrollment token is not valid." },
  token_damaged: {
    scope: "caller",
    retry: false,
    status: 400,
    text: "This enrollment token was edited or cut off: copy it again.",
  },
  token_expired: { scope: "caller", retry: false, status: 401, text: "This enrollment token is out of date." },
  token_used: {
    scope: "caller",
    retry: false,
    status: 409,
    text: "This enrollment token was used by another identity.",
  },
  other_cloud: { scope: "caller", retry: false, status: 409, text: "This token is of another cloud." },
  enrolled: { scope: "caller", retry: false, status: 409, text: "Already enrolled." },
  authorization_invalid: { scope: "peer", retry: false, status: 401, text: "The authorization is not valid." },
  authorization_replayed: { scope: "peer", retry: true, status: 401, text: "This authorization was used before." },
  audience: { scope: "peer", retry: false, status: 403, text: "Meant for another gateway." },
  copied: { scope: "operator", retry: true, status: 409, text: "Another copy of this agent was seen." },
  held: { scope: "operator", retry: true, status: 409, text: "Waits for a person to decide." },
  suspended: { scope: "operator", retry: true, status: 403, text: "The licence is suspended." },
  licence_expired: { scope: "operator", retry: true, status: 403, text: "The licence is not valid now." },
  displaced: { scope: "passing", retry: true, status: 409, text: "A newer session took this slot." },
  // Delivery
  unknown_plugin: { scope: "peer", retry: false, status: 404, text: "No such plugin." },
  not_sealed: { scope: "peer", retry: false, status: 422, text: "This plugin takes sealed messages only." },
  wrong_agent: { scope: "peer", retry: false, status: 403, text: "Names another agent." },
  refused: { scope: "caller", retry: false, status: 422, text: "The system refused it." },
  gap: { scope: "peer", retry: false, status: 409, text: "A number is missing." },
  dead: { scope: "operator", retry: false, status: 422, text: "Given up after its tries." },
  outcome_unknown: { scope: "operator", retry: false, status: 409, text: "Cannot be known whether it took effect." },
  not_allowed_here: { scope: "operator", retry: false, status: 403, text: "The site's own list does not allow it." },
  // Plugins and systems
  system_unavailable: { scope: "passing", retry: true, status: 502, text: "The on-premise system is not available." },
  plugin_failed: { scope: "operator", retry: true, status: 500, text: "The plugin failed." },
} as const satisfies Record<string, FaultEntry>;

/** Every code that a peer, a user or a log can meet. */
export type FaultCode = keyof typeof rows;

/** Code → who acts, retry, status, public text. */
export const FAULT_TABLE: Readonly<Record<FaultCode, FaultEntry>> = rows;

/** Whether `text` is a code of the table: what came from a peer is not. */
export function isFaultCode(text: string): text is FaultCode {
  return Object.hasOwn(rows, text);
}
