CREATE TABLE log_pins (
  tenant TEXT NOT NULL,
  agent BLOB NOT NULL,
  log TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (tenant, agent),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (
  tenant TEXT NOT NULL,
  number INTEGER NOT NULL CHECK (number > 0),
  agent BLOB NOT NULL,
  log TEXT NOT NULL,
  size INTEGER NOT NULL CHECK (size >= 0),
  root BLOB NOT NULL CHECK (length(root) = 32),
  note TEXT NOT NULL,
  proven INTEGER CHECK (proven >= 0),
  received INTEGER NOT NULL,
  PRIMARY KEY (tenant, number),
  UNIQUE (tenant, agent, log, size, root),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
) STRICT;
CREATE INDEX checkpoints_by_size ON checkpoints (tenant, log, size, number);
CREATE TRIGGER checkpoints_are_not_edited BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are evidence'); END;
CREATE TABLE contradictions (
  tenant TEXT NOT NULL,
  number INTEGER NOT NULL CHECK (number > 0),
  agent BLOB NOT NULL,
  mark BLOB NOT NULL CHECK (length(mark) = 32),
  kind TEXT NOT NULL,
  log TEXT NOT NULL,
  known TEXT,
  offered TEXT NOT NULL,
  received INTEGER NOT NULL,
  PRIMARY KEY (tenant, number),
  UNIQUE (tenant, agent, mark),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
) STRICT;
CREATE TRIGGER contradictions_are_not_edited BEFORE UPDATE ON contradictions
BEGIN SELECT RAISE(ABORT, 'contradictions are evidence'); END;
