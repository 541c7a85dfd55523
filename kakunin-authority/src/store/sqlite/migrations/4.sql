CREATE TABLE feed (
  issuer INTEGER NOT NULL REFERENCES issuers,
  epoch INTEGER NOT NULL CHECK (epoch > 0),
  item TEXT,
  head BLOB CHECK (length(head) = 32),
  PRIMARY KEY (issuer, epoch),
  CHECK ((item IS NULL) = (head IS NULL))
) STRICT;
CREATE INDEX feed_waiting ON feed (issuer, epoch) WHERE item IS NULL;
CREATE TABLE feed_entries (
  issuer INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  serial BLOB NOT NULL,
  standing TEXT NOT NULL CHECK (standing IN ('good', 'held', 'revoked')),
  since INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  PRIMARY KEY (issuer, epoch, serial),
  FOREIGN KEY (issuer, epoch) REFERENCES feed
) STRICT;
CREATE TABLE requests (
  tenant TEXT NOT NULL REFERENCES tenants,
  key TEXT NOT NULL,
  request BLOB NOT NULL CHECK (length(request) = 32),
  at INTEGER NOT NULL,
  status INTEGER,
  body BLOB,
  PRIMARY KEY (tenant, key),
  CHECK ((status IS NULL) = (body IS NULL))
) STRICT;
CREATE INDEX requests_by_age ON requests (at);
