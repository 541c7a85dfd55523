CREATE TABLE chains (
  number INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  tenant TEXT NOT NULL REFERENCES tenants,
  name TEXT NOT NULL,
  description TEXT,
  metadata TEXT,
  created INTEGER NOT NULL,
  closed INTEGER,
  events INTEGER NOT NULL CHECK (events >= 0),
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  UNIQUE (tenant, id)
) STRICT;
CREATE INDEX chains_of_tenant ON chains (tenant, number);
CREATE TRIGGER closed_chains_stay_closed BEFORE UPDATE ON chains WHEN old.closed IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a closed chain stays as it is'); END;
CREATE TABLE declared (
  number INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  tenant TEXT NOT NULL,
  agent BLOB NOT NULL,
  action TEXT NOT NULL,
  score INTEGER NOT NULL CHECK (score BETWEEN 0 AND 100),
  occurred INTEGER NOT NULL,
  received INTEGER NOT NULL,
  session TEXT,
  details TEXT,
  address TEXT,
  certificate BLOB,
  chain BLOB,
  place INTEGER CHECK (place > 0),
  hash BLOB CHECK (length(hash) = 32),
  CHECK ((chain IS NULL) = (place IS NULL)),
  CHECK ((chain IS NULL) = (hash IS NULL)),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id),
  FOREIGN KEY (tenant, chain) REFERENCES chains (tenant, id)
) STRICT;
CREATE INDEX declared_of_tenant ON declared (tenant, number);
CREATE INDEX declared_of_agent ON declared (tenant, agent, received);
CREATE UNIQUE INDEX declared_of_chain ON declared (tenant, chain, place) WHERE chain IS NOT NULL;
CREATE TRIGGER declared_are_not_edited BEFORE UPDATE ON declared
BEGIN SELECT RAISE(ABORT, 'declared events are append-only'); END;
CREATE TRIGGER declared_are_not_cut BEFORE DELETE ON declared
BEGIN SELECT RAISE(ABORT, 'declared events are append-only'); END;
