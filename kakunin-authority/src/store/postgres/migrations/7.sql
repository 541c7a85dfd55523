CREATE TABLE log_pins (
  tenant TEXT COLLATE "C" NOT NULL,
  agent BYTEA NOT NULL,
  log BYTEA NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (tenant, agent),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
);
CREATE TABLE checkpoints (
  tenant TEXT COLLATE "C" NOT NULL,
  number BIGINT NOT NULL CHECK (number > 0),
  agent BYTEA NOT NULL,
  log BYTEA NOT NULL,
  size BIGINT NOT NULL CHECK (size >= 0),
  root BYTEA NOT NULL CHECK (length(root) = 32),
  note BYTEA NOT NULL,
  proven BIGINT CHECK (proven >= 0),
  received BIGINT NOT NULL,
  PRIMARY KEY (tenant, number),
  UNIQUE (tenant, agent, log, size, root),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
);
CREATE INDEX checkpoints_by_size ON checkpoints (tenant, log, size, number);
CREATE TABLE contradictions (
  tenant TEXT COLLATE "C" NOT NULL,
  number BIGINT NOT NULL CHECK (number > 0),
  agent BYTEA NOT NULL,
  mark BYTEA NOT NULL CHECK (length(mark) = 32),
  kind TEXT COLLATE "C" NOT NULL,
  log BYTEA NOT NULL,
  known BYTEA,
  offered BYTEA NOT NULL,
  received BIGINT NOT NULL,
  PRIMARY KEY (tenant, number),
  UNIQUE (tenant, agent, mark),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
);
CREATE FUNCTION shown_is_evidence() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'what agents were shown is evidence'; END $$;
CREATE TRIGGER checkpoints_are_not_edited BEFORE UPDATE ON checkpoints
FOR EACH STATEMENT EXECUTE FUNCTION shown_is_evidence();
CREATE TRIGGER contradictions_are_not_edited BEFORE UPDATE ON contradictions
FOR EACH STATEMENT EXECUTE FUNCTION shown_is_evidence();
