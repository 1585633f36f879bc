-- Keys of the local KMS: what is private is wrapped (AES-256-GCM) under a key-encryption key, which is not in here.

-- Which key-encryption key the rows are under. During a rotation `next` is its successor, and `former` is
-- the current one, wrapped under `next`.
CREATE TABLE kek (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  current TEXT NOT NULL,
  next TEXT,
  former BLOB,
  CHECK ((next IS NULL) = (former IS NULL))
) STRICT;

-- `wrapped` is under the current key-encryption key, `next_wrapped` under its successor. A destroyed key keeps its name,
-- so that it can't come back as another.
CREATE TABLE key (
  name TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('sign', 'agree', 'data')),
  public BLOB NOT NULL,
  wrapped BLOB,
  next_kek TEXT,
  next_wrapped BLOB,
  created_at INTEGER NOT NULL,
  destroyed_at INTEGER,
  CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL)),
  CHECK ((next_kek IS NULL) = (next_wrapped IS NULL))
) STRICT, WITHOUT ROWID;
