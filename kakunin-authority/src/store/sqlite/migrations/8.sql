CREATE TABLE tokens (
  prefix TEXT PRIMARY KEY CHECK (length(prefix) = 12),
  secret BLOB NOT NULL CHECK (length(secret) = 32),
  tenant TEXT NOT NULL,
  agent BLOB NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  key BLOB CHECK (length(key) = 32),
  serial BLOB REFERENCES certificates (serial),
  redeemed INTEGER,
  CHECK ((key IS NULL) = (serial IS NULL)),
  CHECK ((key IS NULL) = (redeemed IS NULL)),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
) STRICT;
CREATE INDEX tokens_by_end ON tokens (expires);
CREATE INDEX tokens_of_agent ON tokens (tenant, agent);
