CREATE TABLE issuers (
  id INTEGER PRIMARY KEY,
  der BLOB NOT NULL,
  revoked INTEGER
) STRICT;
CREATE TABLE agents (
  id BLOB PRIMARY KEY CHECK (length(id) = 16),
  name TEXT NOT NULL UNIQUE,
  created INTEGER NOT NULL,
  standing TEXT NOT NULL CHECK (standing IN ('good', 'held', 'revoked')),
  scope BLOB NOT NULL
) STRICT;
CREATE TABLE names (
  root BLOB PRIMARY KEY CHECK (length(root) = 32),
  text TEXT NOT NULL
) STRICT;
CREATE TABLE certificates (
  serial BLOB NOT NULL UNIQUE,
  issuer INTEGER NOT NULL REFERENCES issuers,
  agent BLOB NOT NULL REFERENCES agents,
  key BLOB NOT NULL CHECK (length(key) = 32),
  not_before INTEGER NOT NULL,
  not_after INTEGER NOT NULL,
  standing TEXT NOT NULL CHECK (standing IN ('good', 'held', 'revoked')),
  since INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  tbs BLOB,
  der BLOB
) STRICT;
CREATE INDEX certificates_of_agent ON certificates (agent);
CREATE INDEX certificates_listed ON certificates (issuer, serial) WHERE standing <> 'good';
CREATE INDEX certificates_end ON certificates (issuer, not_after);
CREATE TABLE list_numbers (
  issuer INTEGER PRIMARY KEY REFERENCES issuers,
  number INTEGER NOT NULL
) STRICT;
CREATE TABLE lists (
  issuer INTEGER PRIMARY KEY REFERENCES issuers,
  number INTEGER NOT NULL,
  this_update INTEGER NOT NULL,
  next_update INTEGER NOT NULL,
  der BLOB NOT NULL
) STRICT;
CREATE TABLE directories (
  path BLOB NOT NULL UNIQUE,
  agent BLOB NOT NULL REFERENCES agents
) STRICT;
CREATE TABLE events (
  number INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  agent BLOB NOT NULL REFERENCES agents,
  what TEXT NOT NULL,
  text TEXT NOT NULL
) STRICT;
