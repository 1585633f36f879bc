/** What may be asked for smaller than the targets say. */
export interface BenchSettings {
  /** Agents of `sessions`. Default 5,000. */
  readonly agents: number;
  /** Enrolling thousands takes long: there are as many agents as this allows. Less when the whole set must end in 5 minutes. */
  readonly enrollMsMax: number;
}
