CREATE TABLE receipts (
  number INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  agent BLOB NOT NULL,
  stream BLOB NOT NULL CHECK (length(stream) = 16),
  sequence INTEGER NOT NULL CHECK (sequence >= 0),
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  at INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('open', 'allow', 'deny', 'outcome', 'control', 'close')),
  action TEXT,
  code TEXT,
  chain BLOB CHECK (length(chain) = 16),
  line TEXT NOT NULL,
  received INTEGER NOT NULL,
  UNIQUE (tenant, agent, stream, sequence, hash),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
) STRICT;
CREATE INDEX receipts_by_time ON receipts (tenant, agent, at);
CREATE TRIGGER receipts_are_not_edited BEFORE UPDATE ON receipts
BEGIN SELECT RAISE(ABORT, 'receipts are evidence'); END;
