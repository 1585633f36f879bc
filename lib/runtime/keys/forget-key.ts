import { Fault } from "#lib/fault";
import { fileFacts, removeFile } from "../files/files.ts";
import type { KeySources, KeySurroundings } from "./find-key.ts";
import { systemKeyStore } from "./key-store.ts";

/** Where a program's own key lay, and whether it is gone. What others put there (systemd, the environment) is theirs to remove. */
export interface ForgottenKey {
  readonly file: "none" | "removed";
  /** `refused`: it may still be there (a locked key store, a program that does not answer). */
  readonly keyStore: "none" | "removed" | "refused";
}

/** Removes the key that `findKey` made from the file and the OS key store. Faults: those of files. */
export async function forgetKey(
  sources: Pick<KeySources, "keyStore" | "file">,
  surroundings: Pick<KeySurroundings, "keyStore"> = {},
): Promise<ForgottenKey> {
  const store = "keyStore" in surroundings ? surroundings.keyStore : systemKeyStore();
  const file = (await fileFacts(sources.file)) === undefined ? "none" : "removed";
  await removeFile(sources.file);
  try {
    if (store === undefined || (await store.get(sources.keyStore)) === undefined) return { file, keyStore: "none" };
    await store.delete(sources.keyStore);
    return { file, keyStore: "removed" };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { file, keyStore: "refused" };
  }
}
