import { setDefaultTimeout } from "bun:test";

/** For machines that do other things too: what a test promises about time it measures itself. */
setDefaultTimeout(30_000);
