CREATE TABLE agents_3 (
  number INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL REFERENCES tenants,
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  name TEXT NOT NULL,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  standing TEXT NOT NULL CHECK (standing IN ('good', 'held', 'revoked')),
  scope BLOB NOT NULL,
  title TEXT,
  model TEXT,
  model_hash TEXT,
  version TEXT,
  description TEXT,
  metadata TEXT,
  UNIQUE (tenant, id),
  UNIQUE (tenant, name)
) STRICT;
INSERT INTO agents_3 (tenant, id, name, created, updated, standing, scope)
  SELECT 'default', id, name, created, created, standing, scope FROM agents ORDER BY created, rowid;
CREATE TABLE certificates_3 (
  number INTEGER PRIMARY KEY,
  serial BLOB NOT NULL UNIQUE,
  issuer INTEGER NOT NULL REFERENCES issuers,
  tenant TEXT NOT NULL,
  agent BLOB NOT NULL,
  key BLOB NOT NULL CHECK (length(key) = 32),
  not_before INTEGER NOT NULL,
  not_after INTEGER NOT NULL,
  standing TEXT NOT NULL CHECK (standing IN ('good', 'held', 'revoked')),
  since INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  tbs BLOB,
  der BLOB,
  CHECK (der IS NULL OR tbs IS NOT NULL),
  FOREIGN KEY (tenant, agent) REFERENCES agents_3 (tenant, id)
) STRICT;
INSERT INTO certificates_3
  (serial, issuer, tenant, agent, key, not_before, not_after, standing, since, reason, tbs, der)
  SELECT serial, issuer, 'default', agent, key, not_before, not_after, standing, since, reason, tbs, der
  FROM certificates ORDER BY rowid;
CREATE TABLE directories_3 (
  number INTEGER PRIMARY KEY,
  path BLOB NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  agent BLOB NOT NULL,
  FOREIGN KEY (tenant, agent) REFERENCES agents_3 (tenant, id)
) STRICT;
INSERT INTO directories_3 (path, tenant, agent) SELECT path, 'default', agent FROM directories ORDER BY rowid;
CREATE TABLE events_3 (
  number INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  tenant TEXT NOT NULL,
  agent BLOB NOT NULL,
  what TEXT NOT NULL,
  text TEXT NOT NULL,
  FOREIGN KEY (tenant, agent) REFERENCES agents_3 (tenant, id)
) STRICT;
INSERT INTO events_3 (number, at, tenant, agent, what, text)
  SELECT number, at, 'default', agent, what, text FROM events;
DROP TABLE certificates;
DROP TABLE directories;
DROP TABLE events;
DROP TABLE agents;
ALTER TABLE agents_3 RENAME TO agents;
ALTER TABLE certificates_3 RENAME TO certificates;
ALTER TABLE directories_3 RENAME TO directories;
ALTER TABLE events_3 RENAME TO events;
CREATE INDEX agents_of_tenant ON agents (tenant, number);
CREATE INDEX certificates_of_agent ON certificates (tenant, agent);
CREATE INDEX certificates_listed ON certificates (issuer, serial) WHERE standing <> 'good';
CREATE INDEX certificates_end ON certificates (issuer, not_after);
CREATE INDEX directories_of_agent ON directories (tenant, agent);
CREATE INDEX events_of_agent ON events (tenant, agent);
