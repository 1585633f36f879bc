/** Argon2id hash (RFC 9106; 64 MiB, 2 passes) of a password, in PHC text form. Runs off the main thread. */
export function hashPassword(password: string): Promise<string> {
  return Bun.password.hash(password, { algorithm: "argon2id", memoryCost: 65_536, timeCost: 2 });
}

/** Whether `hash` is one of `password`. False for a text that is no hash. */
export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  try {
    return await Bun.password.verify(password, hash);
  } catch {
    return false; // unknown form of the hash: nobody's password fits it
  }
}
