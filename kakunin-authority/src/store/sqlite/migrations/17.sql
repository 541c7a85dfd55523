CREATE TABLE risk_places (
  tenant TEXT PRIMARY KEY,
  agent BLOB NOT NULL,
  stream BLOB NOT NULL CHECK (length(stream) = 16),
  sequence INTEGER NOT NULL CHECK (sequence >= 0),
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
) STRICT;
INSERT INTO risk_places SELECT tenant, agent, stream, sequence, hash FROM receipts
  WHERE number IN (SELECT max(number) FROM receipts GROUP BY tenant);
CREATE TABLE risks (
  tenant TEXT NOT NULL,
  agent BLOB NOT NULL,
  level TEXT NOT NULL CHECK (level IN ('clear', 'watch', 'step-up', 'suspend', 'revoke')),
  score INTEGER NOT NULL CHECK (score BETWEEN 0 AND 65535),
  policy TEXT,
  baseline TEXT,
  state TEXT,
  calls INTEGER NOT NULL CHECK (calls >= 0),
  first INTEGER,
  last INTEGER,
  pause INTEGER NOT NULL,
  silent INTEGER NOT NULL CHECK (silent IN (0, 1)),
  updated INTEGER NOT NULL,
  PRIMARY KEY (tenant, agent),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
) STRICT;
CREATE INDEX risks_by_level ON risks (level);
CREATE TABLE risk_signs (
  number INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  agent BLOB NOT NULL,
  kind TEXT NOT NULL,
  weight INTEGER NOT NULL CHECK (weight BETWEEN 0 AND 255),
  sentence TEXT NOT NULL,
  cause BLOB CHECK (length(cause) = 32),
  at INTEGER NOT NULL,
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
) STRICT;
CREATE INDEX risk_signs_in_order ON risk_signs (tenant, number);
CREATE TABLE risk_events (
  number INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  agent BLOB NOT NULL,
  kind TEXT NOT NULL,
  level TEXT NOT NULL CHECK (level IN ('clear', 'watch', 'step-up', 'suspend', 'revoke')),
  score INTEGER NOT NULL CHECK (score BETWEEN 0 AND 65535),
  actor TEXT NOT NULL,
  text TEXT NOT NULL,
  at INTEGER NOT NULL,
  signature BLOB,
  key BLOB CHECK (length(key) = 32),
  sealed INTEGER,
  CHECK ((signature IS NULL) = (key IS NULL) AND (key IS NULL) = (sealed IS NULL)),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
) STRICT;
CREATE INDEX risk_events_of_agent ON risk_events (tenant, agent, number);
CREATE INDEX risk_events_open ON risk_events (number) WHERE signature IS NULL;
CREATE TRIGGER risk_events_are_not_edited BEFORE UPDATE ON risk_events WHEN OLD.signature IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'risk events are evidence'); END;
CREATE TABLE content_checks (
  number INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  agent BLOB NOT NULL,
  provider TEXT NOT NULL,
  source TEXT,
  message TEXT,
  length INTEGER NOT NULL CHECK (length >= 0),
  verdict TEXT NOT NULL CHECK (verdict IN ('pending', 'clean', 'found', 'unknown')),
  findings TEXT NOT NULL,
  at INTEGER NOT NULL,
  ended INTEGER,
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
) STRICT;
CREATE INDEX content_checks_of_agent ON content_checks (tenant, agent, at, number);
CREATE INDEX content_checks_pending ON content_checks (number) WHERE verdict = 'pending';
