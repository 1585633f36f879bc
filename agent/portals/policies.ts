import { asFault, Fault } from "#lib/fault";
import { type CompiledPolicy, compilePolicy } from "#lib/policy";
import type { DesiredPolicy, DesiredReport } from "#lib/session";

type Item = DesiredReport["items"][number];

/** A policy that can be asked. */
export interface UsablePolicy {
  readonly name: string;
  readonly compiled: CompiledPolicy;
}

interface Held {
  readonly desired: DesiredPolicy;
  readonly compiled: CompiledPolicy | Fault;
}

/** The policies that the desired state gives this node, compiled. One that can't be compiled allows nothing to anybody. */
export class Policies {
  #held: ReadonlyMap<string, Held> = new Map();

  /** Takes those that are wanted, in place of all before; answers what to report of each, those that went included. */
  apply(wanted: readonly DesiredPolicy[]): Item[] {
    const before = this.#held;
    this.#held = new Map(wanted.map((desired) => [desired.id, { desired, compiled: this.#compiled(desired) }]));
    const names = new Set(wanted.map(({ name }) => name));
    const gone = [...before.values()].map(({ desired }) => desired.name).filter((name) => !names.has(name));
    return [
      ...[...this.#held.values()].map(itemOf),
      ...gone.map((name) => ({ kind: "policy" as const, name, actual: 0, wanted: 0, state: "removed" as const })),
    ];
  }

  /** The policy that an outlet names; undefined when it names none. Fault `invalid` when it is not there or can't be compiled. */
  of(id: string | undefined): UsablePolicy | undefined {
    if (id === undefined) return undefined;
    const held = this.#held.get(id);
    if (held === undefined) throw new Fault("invalid", "the policy that it names is not there");
    const { desired, compiled } = held;
    if (compiled instanceof Fault) throw new Fault("invalid", `policy ${desired.name}: ${compiled.message}`);
    return { name: desired.name, compiled };
  }

  #compiled(desired: DesiredPolicy): CompiledPolicy | Fault {
    const held = this.#held.get(desired.id);
    if (held !== undefined && JSON.stringify(held.desired) === JSON.stringify(desired)) return held.compiled;
    try {
      return compilePolicy(desired.rules);
    } catch (error) {
      return asFault(error, "internal");
    }
  }
}

function itemOf({ desired: { name, version }, compiled }: Held): Item {
  const common = { kind: "policy" as const, name, wanted: version };
  if (!(compiled instanceof Fault)) return { ...common, actual: version, state: "applied" };
  return { ...common, actual: 0, state: "failed", code: compiled.code, reason: compiled.message.slice(0, 500) };
}
