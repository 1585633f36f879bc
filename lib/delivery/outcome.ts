import { asFault, type Fault } from "#lib/fault";

/** What the lane does after a call that was not answered with yes (DESIGN §4). Pure. */
export type Judgement =
  /** The lane waits with back-off and spends no try. */
  | { readonly kind: "unavailable"; readonly fault: Fault; readonly retryAfterMs: number | undefined }
  /** A try is spent. */
  | { readonly kind: "refused"; readonly fault: Fault }
  /** A try is spent once a probe of the same system succeeds; until then the lane waits. */
  | { readonly kind: "probe"; readonly fault: Fault }
  /** Nobody can say whether it took effect. */
  | { readonly kind: "unknown"; readonly fault: Fault };

/** Reads what `deliver` rejected with. */
export function judge(error: unknown): Judgement {
  const fault = asFault(error, "plugin_failed", "the plugin failed");
  switch (fault.code) {
    case "refused":
    case "invalid":
    case "too_large":
      return { kind: "refused", fault };
    case "outcome_unknown":
      return { kind: "unknown", fault };
    case "system_unavailable":
    case "unavailable":
    case "timeout":
    case "limited":
    case "closed":
    case "disk_full":
    case "not_allowed_here":
    case "lane_full": {
      const { retryAfterMs } = fault.detail;
      return { kind: "unavailable", fault, retryAfterMs: typeof retryAfterMs === "number" ? retryAfterMs : undefined };
    }
    default:
      return { kind: "probe", fault };
  }
}
