-- The embedded broker: one file, many queues. Times are ms since 1970, sizes bytes.

-- What is counted over all queues; one row, made by the broker at its first start.
CREATE TABLE stream (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  -- When this file was made: cursors of another file mean nothing here.
  created TEXT NOT NULL,
  bytes INTEGER NOT NULL DEFAULT 0,
  bytes_max INTEGER NOT NULL,
  openings INTEGER NOT NULL DEFAULT 0,
  revision INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE queue (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  -- What waits in it.
  entries INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  bytes_max INTEGER NOT NULL,
  -- Number of its last opening, counted over all queues: who holds a lower one was displaced.
  opening INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX queue_opening ON queue (opening);

-- A confirmed entry keeps its key, without its body, until the dedup window has passed.
CREATE TABLE entry (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  queue INTEGER NOT NULL REFERENCES queue (id),
  -- agent.plugin.id
  key TEXT NOT NULL,
  time INTEGER NOT NULL,
  size INTEGER NOT NULL,
  body BLOB
);
CREATE UNIQUE INDEX entry_key ON entry (queue, key);
CREATE INDEX entry_waiting ON entry (queue, seq, size) WHERE body IS NOT NULL;
CREATE INDEX entry_confirmed ON entry (time) WHERE body IS NULL;

CREATE TRIGGER entry_quota BEFORE INSERT ON entry BEGIN
  SELECT RAISE(ABORT, 'queue_full') WHERE (SELECT bytes + new.size > bytes_max FROM queue WHERE id = new.queue);
  SELECT RAISE(ABORT, 'stream_full') WHERE (SELECT bytes + new.size > bytes_max FROM stream);
END;

CREATE TRIGGER entry_stored AFTER INSERT ON entry BEGIN
  UPDATE queue SET entries = entries + 1, bytes = bytes + new.size WHERE id = new.queue;
  UPDATE stream SET bytes = bytes + new.size;
END;

CREATE TRIGGER entry_taken_out AFTER UPDATE OF body ON entry WHEN old.body IS NOT NULL AND new.body IS NULL BEGIN
  UPDATE queue SET entries = entries - 1, bytes = bytes - old.size WHERE id = old.queue;
  UPDATE stream SET bytes = bytes - old.size;
END;

CREATE TABLE value (
  name TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  body BLOB NOT NULL,
  revision INTEGER NOT NULL,
  time INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX value_kind ON value (kind, name);

-- Plain messages on their way to other processes; gone after seconds.
CREATE TABLE message (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  origin TEXT NOT NULL,
  subject TEXT NOT NULL,
  time INTEGER NOT NULL,
  body BLOB NOT NULL
);

CREATE TABLE lease (
  name TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  number INTEGER NOT NULL,
  until INTEGER NOT NULL
) WITHOUT ROWID;
