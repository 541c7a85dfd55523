CREATE TABLE migrations (
  number INTEGER PRIMARY KEY,
  checksum BLOB NOT NULL CHECK (length(checksum) = 32)
) STRICT;
CREATE TABLE tenants (
  id TEXT PRIMARY KEY,
  created INTEGER NOT NULL
) STRICT;
INSERT INTO tenants (id, created) VALUES ('default', 0);
CREATE TABLE api_keys (
  prefix TEXT PRIMARY KEY CHECK (length(prefix) = 12),
  tenant TEXT NOT NULL REFERENCES tenants,
  secret BLOB NOT NULL CHECK (length(secret) = 32),
  role TEXT NOT NULL CHECK (role IN ('owner', 'issuer', 'revoker', 'ingest', 'auditor', 'gate')),
  agents BLOB CHECK (length(agents) % 16 = 0),
  label TEXT NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER,
  revoked INTEGER
) STRICT;
CREATE INDEX api_keys_of_tenant ON api_keys (tenant, created);
CREATE TABLE audit (
  number INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL REFERENCES tenants,
  at INTEGER NOT NULL,
  intent INTEGER UNIQUE REFERENCES audit,
  outcome TEXT CHECK (outcome IN ('done', 'refused', 'failed')),
  actor TEXT,
  address TEXT,
  what TEXT,
  subject TEXT,
  before TEXT,
  after TEXT,
  text TEXT NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  CHECK ((intent IS NULL) = (outcome IS NULL)),
  CHECK ((intent IS NULL) = (actor IS NOT NULL)),
  CHECK ((intent IS NULL) = (what IS NOT NULL)),
  CHECK ((intent IS NULL) = (subject IS NOT NULL)),
  CHECK (intent IS NULL OR (address IS NULL AND before IS NULL AND after IS NULL))
) STRICT;
CREATE INDEX audit_of_tenant ON audit (tenant, number) WHERE intent IS NULL;
CREATE INDEX audit_of_subject ON audit (tenant, subject, number) WHERE intent IS NULL;
CREATE TRIGGER audit_is_not_edited BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
