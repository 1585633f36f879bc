-- Mercury's store: one encrypted file, one process. Bytes are blobs, times are ms since 1970.

-- Who this node is. `pending`: keys of a rotation that Solaris has not confirmed yet (PROTOCOL §6).
CREATE TABLE identity (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  secrets BLOB NOT NULL,
  chain BLOB NOT NULL,
  pending_secrets BLOB,
  pending_chain BLOB
) STRICT;

-- Which cloud it belongs to. The token stays until the first tunnel has opened: the same identity may ask again.
CREATE TABLE enrollment (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  gateway TEXT NOT NULL,
  authority TEXT NOT NULL,
  token TEXT,
  agent_id TEXT,
  solaris_public BLOB,
  credential TEXT,
  enrolled_at INTEGER
) STRICT;

-- The longest chain of the authority that was verified, and the highest numbers: nothing goes below them (PROTOCOL §3).
CREATE TABLE authority (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  chain BLOB NOT NULL,
  revocations INTEGER NOT NULL DEFAULT 0,
  revocation_list TEXT,
  desired INTEGER NOT NULL DEFAULT 0,
  newest_iat INTEGER NOT NULL DEFAULT 0,
  clock_offset INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Epoch and continuity value of each tunnel slot (PROTOCOL §6).
CREATE TABLE slot (
  slot INTEGER PRIMARY KEY CHECK (slot IN (0, 1)),
  epoch INTEGER NOT NULL,
  continuity BLOB NOT NULL
) STRICT;

-- Configured items. `wanted`: newest form; `running`: last good one (JSON). Gone from the desired state: no row.
CREATE TABLE item (
  name TEXT PRIMARY KEY,
  wanted_version INTEGER NOT NULL,
  wanted TEXT NOT NULL,
  running_version INTEGER NOT NULL DEFAULT 0,
  running TEXT,
  state TEXT NOT NULL,
  code TEXT,
  reason TEXT
) STRICT;

-- Ends of portals as of the newest desired state (JSON).
CREATE TABLE portal (
  name TEXT PRIMARY KEY,
  wanted TEXT NOT NULL
) STRICT;

-- Policies that outlets name, as of the newest desired state (JSON).
CREATE TABLE policy (
  id TEXT PRIMARY KEY,
  wanted TEXT NOT NULL
) STRICT;

-- One lane: how far it has come in both directions. `n` numbers entries of the inbox, rows of the outbox, per lane.
CREATE TABLE lane (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  -- down: cursor of the broker's stream, in one transaction with the entries
  created TEXT,
  stored_seq INTEGER NOT NULL DEFAULT 0,
  stored_position INTEGER NOT NULL DEFAULT 0,
  stored_n INTEGER NOT NULL DEFAULT 0,
  -- settled: all entries before `settled_n`, and the first `settled_index` messages of that one
  settled_n INTEGER NOT NULL DEFAULT 0,
  settled_index INTEGER NOT NULL DEFAULT 0,
  settled_created TEXT,
  settled_position INTEGER NOT NULL DEFAULT 0,
  settled_at INTEGER NOT NULL DEFAULT 0,
  -- 1: the next message was handed to a system that keeps no keys, and its outcome is not known
  calling INTEGER NOT NULL DEFAULT 0,
  tries INTEGER NOT NULL DEFAULT 0,
  -- up
  generation INTEGER NOT NULL DEFAULT 1,
  next_number INTEGER NOT NULL DEFAULT 1,
  outbox_n INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Entries as they came. Key = lane id * 2^40 + n: a lane's entries lie together, in order, without a second index.
CREATE TABLE inbox (
  k INTEGER PRIMARY KEY,
  created TEXT NOT NULL,
  seq INTEGER NOT NULL,
  at INTEGER NOT NULL,
  messages INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  skip TEXT,
  body BLOB NOT NULL
) STRICT;

-- Ids of messages stored here, in spans of broker time: remembered beyond the life of their entries.
CREATE TABLE seen (
  lane INTEGER NOT NULL,
  span INTEGER NOT NULL,
  id BLOB NOT NULL,
  PRIMARY KEY (lane, span, id)
) STRICT, WITHOUT ROWID;

-- Down messages whose outcome can't be known, until a person decides. `retry` = 1: to be called again.
CREATE TABLE held (
  lane INTEGER NOT NULL,
  id TEXT NOT NULL,
  created TEXT NOT NULL,
  position INTEGER NOT NULL,
  at INTEGER NOT NULL,
  retry INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL,
  message BLOB NOT NULL,
  PRIMARY KEY (lane, id)
) STRICT;

-- Numbered up messages, some to a row: `first` … `first + messages - 1`. Body: their CBOR, one behind the other.
-- `letter`: position of the first dead or unknown letter in the row, `letter_created` its stream.
CREATE TABLE outbox (
  k INTEGER PRIMARY KEY,
  generation INTEGER NOT NULL,
  first INTEGER NOT NULL,
  messages INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  letter_created TEXT,
  letter INTEGER,
  body BLOB NOT NULL
) STRICT;
CREATE INDEX outbox_letter ON outbox (k) WHERE letter IS NOT NULL;

-- What a plugin remembers (cursors, picked-up files, keys), written in one transaction with its outbox rows.
CREATE TABLE plugin_state (
  plugin TEXT NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (plugin, name)
) STRICT, WITHOUT ROWID;

-- Commands taken: each runs once.
CREATE TABLE command (
  id TEXT PRIMARY KEY,
  expires INTEGER NOT NULL,
  answered INTEGER NOT NULL DEFAULT 0
) STRICT;
