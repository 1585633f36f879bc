import { type CompiledPolicy, compilePolicy } from "#lib/policy";
import type { OutletAnswer } from "#lib/session";

const heldMax = 256;

/** Policies of portals that end here, compiled; those used last are held. */
export class OutletPolicies {
  readonly #held = new Map<string, CompiledPolicy>();

  /** Undefined for a portal without one. Fault `invalid` for one that can't be compiled: nobody may then. */
  of({ policy }: OutletAnswer): CompiledPolicy | undefined {
    if (policy === null) return undefined;
    const key = JSON.stringify(policy.rules);
    const compiled = this.#held.get(key) ?? compilePolicy(policy.rules);
    this.#held.delete(key);
    const [oldest] = this.#held.keys();
    if (oldest !== undefined && this.#held.size >= heldMax) this.#held.delete(oldest);
    this.#held.set(key, compiled);
    return compiled;
  }
}
