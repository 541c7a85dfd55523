CREATE TABLE risk_places (
  tenant TEXT COLLATE "C" PRIMARY KEY,
  agent BYTEA NOT NULL,
  stream BYTEA NOT NULL CHECK (length(stream) = 16),
  sequence BIGINT NOT NULL CHECK (sequence >= 0),
  hash BYTEA NOT NULL CHECK (length(hash) = 32),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
);
INSERT INTO risk_places SELECT tenant, agent, stream, sequence, hash FROM receipts
  WHERE number IN (SELECT max(number) FROM receipts GROUP BY tenant);
CREATE TABLE risks (
  tenant TEXT COLLATE "C" NOT NULL,
  agent BYTEA NOT NULL,
  level TEXT COLLATE "C" NOT NULL CHECK (level IN ('clear', 'watch', 'step-up', 'suspend', 'revoke')),
  score BIGINT NOT NULL CHECK (score BETWEEN 0 AND 65535),
  policy BYTEA,
  baseline BYTEA,
  state BYTEA,
  calls BIGINT NOT NULL CHECK (calls >= 0),
  first BIGINT,
  last BIGINT,
  pause BIGINT NOT NULL,
  silent BOOLEAN NOT NULL,
  updated BIGINT NOT NULL,
  PRIMARY KEY (tenant, agent),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
);
CREATE INDEX risks_by_level ON risks (level);
CREATE TABLE risk_signs (
  number BIGINT PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL,
  agent BYTEA NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  weight BIGINT NOT NULL CHECK (weight BETWEEN 0 AND 255),
  sentence BYTEA NOT NULL,
  cause BYTEA CHECK (length(cause) = 32),
  at BIGINT NOT NULL,
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
);
CREATE INDEX risk_signs_in_order ON risk_signs (tenant, number);
CREATE TABLE risk_events (
  number BIGINT PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL,
  agent BYTEA NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  level TEXT COLLATE "C" NOT NULL CHECK (level IN ('clear', 'watch', 'step-up', 'suspend', 'revoke')),
  score BIGINT NOT NULL CHECK (score BETWEEN 0 AND 65535),
  actor TEXT COLLATE "C" NOT NULL,
  text BYTEA NOT NULL,
  at BIGINT NOT NULL,
  signature BYTEA,
  key BYTEA CHECK (length(key) = 32),
  sealed BIGINT,
  CHECK ((signature IS NULL) = (key IS NULL) AND (key IS NULL) = (sealed IS NULL)),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
);
CREATE INDEX risk_events_of_agent ON risk_events (tenant, agent, number);
CREATE INDEX risk_events_open ON risk_events (number) WHERE signature IS NULL;
CREATE FUNCTION risk_events_are_evidence() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'risk events are evidence'; END $$;
CREATE TRIGGER risk_events_are_not_edited BEFORE UPDATE ON risk_events
FOR EACH ROW WHEN (OLD.signature IS NOT NULL) EXECUTE FUNCTION risk_events_are_evidence();
CREATE TABLE content_checks (
  number BIGINT PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL,
  agent BYTEA NOT NULL,
  provider BYTEA NOT NULL,
  source BYTEA,
  message BYTEA,
  length BIGINT NOT NULL CHECK (length >= 0),
  verdict TEXT COLLATE "C" NOT NULL CHECK (verdict IN ('pending', 'clean', 'found', 'unknown')),
  findings BYTEA NOT NULL,
  at BIGINT NOT NULL,
  ended BIGINT,
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
);
CREATE INDEX content_checks_of_agent ON content_checks (tenant, agent, at, number);
CREATE INDEX content_checks_pending ON content_checks (number) WHERE verdict = 'pending';
