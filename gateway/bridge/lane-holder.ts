/** The session whose lanes a bridge carries. */
export interface LaneHolder {
  /** A bridge can't go on: the session ends for this reason. */
  failed(error: unknown): void;
}
