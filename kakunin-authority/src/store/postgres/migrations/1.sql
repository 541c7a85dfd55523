CREATE TABLE leader (
  only_one BOOLEAN PRIMARY KEY DEFAULT true CHECK (only_one),
  term BIGINT NOT NULL,
  url TEXT,
  since TIMESTAMPTZ NOT NULL
);
INSERT INTO leader (term, since) VALUES (0, now());
CREATE TABLE issuers (
  id BIGINT PRIMARY KEY,
  der BYTEA NOT NULL,
  revoked BIGINT
);
CREATE TABLE tenants (
  id TEXT COLLATE "C" PRIMARY KEY,
  created BIGINT NOT NULL
);
INSERT INTO tenants (id, created) VALUES ('default', 0);
CREATE TABLE agents (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL REFERENCES tenants,
  id BYTEA NOT NULL UNIQUE CHECK (length(id) = 16),
  name TEXT COLLATE "C" NOT NULL,
  created BIGINT NOT NULL,
  updated BIGINT NOT NULL,
  standing TEXT COLLATE "C" NOT NULL CHECK (standing IN ('good', 'held', 'revoked')),
  scope BYTEA NOT NULL,
  title BYTEA,
  model BYTEA,
  model_hash BYTEA,
  version BYTEA,
  description BYTEA,
  metadata BYTEA,
  UNIQUE (tenant, id),
  UNIQUE (tenant, name)
);
CREATE INDEX agents_of_tenant ON agents (tenant, number);
CREATE TABLE names (
  root BYTEA PRIMARY KEY CHECK (length(root) = 32),
  text BYTEA NOT NULL
);
CREATE TABLE certificates (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  serial BYTEA NOT NULL UNIQUE,
  issuer BIGINT NOT NULL REFERENCES issuers,
  tenant TEXT COLLATE "C" NOT NULL,
  agent BYTEA NOT NULL,
  key BYTEA NOT NULL CHECK (length(key) = 32),
  not_before BIGINT NOT NULL,
  not_after BIGINT NOT NULL,
  standing TEXT COLLATE "C" NOT NULL CHECK (standing IN ('good', 'held', 'revoked')),
  since BIGINT NOT NULL,
  reason SMALLINT NOT NULL,
  tbs BYTEA,
  der BYTEA,
  CHECK (der IS NULL OR tbs IS NOT NULL),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
);
CREATE INDEX certificates_of_agent ON certificates (tenant, agent);
CREATE INDEX certificates_listed ON certificates (issuer, serial) WHERE standing <> 'good';
CREATE INDEX certificates_end ON certificates (issuer, not_after);
CREATE TABLE list_numbers (
  issuer BIGINT PRIMARY KEY REFERENCES issuers,
  number BIGINT NOT NULL
);
CREATE TABLE lists (
  issuer BIGINT PRIMARY KEY REFERENCES issuers,
  number BIGINT NOT NULL,
  this_update BIGINT NOT NULL,
  next_update BIGINT NOT NULL,
  der BYTEA NOT NULL
);
CREATE TABLE directories (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  path BYTEA NOT NULL UNIQUE,
  tenant TEXT COLLATE "C" NOT NULL,
  agent BYTEA NOT NULL,
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
);
CREATE INDEX directories_of_agent ON directories (tenant, agent);
CREATE TABLE events (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at BIGINT NOT NULL,
  tenant TEXT COLLATE "C" NOT NULL,
  agent BYTEA NOT NULL,
  what TEXT COLLATE "C" NOT NULL,
  text BYTEA NOT NULL,
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
);
CREATE INDEX events_of_agent ON events (tenant, agent);
CREATE TABLE feed (
  issuer BIGINT NOT NULL REFERENCES issuers,
  epoch BIGINT NOT NULL CHECK (epoch > 0),
  item TEXT COLLATE "C",
  head BYTEA CHECK (length(head) = 32),
  PRIMARY KEY (issuer, epoch),
  CHECK ((item IS NULL) = (head IS NULL))
);
CREATE INDEX feed_waiting ON feed (issuer, epoch) WHERE item IS NULL;
CREATE TABLE feed_entries (
  issuer BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  serial BYTEA NOT NULL,
  standing TEXT COLLATE "C" NOT NULL CHECK (standing IN ('good', 'held', 'revoked')),
  since BIGINT NOT NULL,
  reason SMALLINT NOT NULL,
  PRIMARY KEY (issuer, epoch, serial),
  FOREIGN KEY (issuer, epoch) REFERENCES feed
);
CREATE TABLE api_keys (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  prefix TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(prefix) = 12),
  tenant TEXT COLLATE "C" NOT NULL REFERENCES tenants,
  secret BYTEA NOT NULL CHECK (length(secret) = 32),
  role TEXT COLLATE "C" NOT NULL
    CHECK (role IN ('owner', 'issuer', 'revoker', 'ingest', 'auditor', 'gate')),
  agents BYTEA CHECK (length(agents) % 16 = 0),
  label BYTEA NOT NULL,
  created BIGINT NOT NULL,
  expires BIGINT,
  revoked BIGINT
);
CREATE INDEX api_keys_of_tenant ON api_keys (tenant, created, number);
CREATE TABLE audit (
  number BIGINT PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL REFERENCES tenants,
  at BIGINT NOT NULL,
  intent BIGINT UNIQUE REFERENCES audit,
  outcome TEXT COLLATE "C" CHECK (outcome IN ('done', 'refused', 'failed')),
  actor TEXT COLLATE "C",
  address BYTEA,
  what BYTEA,
  subject BYTEA,
  before BYTEA,
  after BYTEA,
  text BYTEA NOT NULL,
  hash BYTEA NOT NULL CHECK (length(hash) = 32),
  CHECK ((intent IS NULL) = (outcome IS NULL)),
  CHECK ((intent IS NULL) = (actor IS NOT NULL)),
  CHECK ((intent IS NULL) = (what IS NOT NULL)),
  CHECK ((intent IS NULL) = (subject IS NOT NULL)),
  CHECK (intent IS NULL OR (address IS NULL AND before IS NULL AND after IS NULL))
);
CREATE INDEX audit_of_tenant ON audit (tenant, number) WHERE intent IS NULL;
CREATE INDEX audit_of_subject ON audit (tenant, subject, number) WHERE intent IS NULL;
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TABLE requests (
  tenant TEXT COLLATE "C" NOT NULL REFERENCES tenants,
  key BYTEA NOT NULL,
  request BYTEA NOT NULL CHECK (length(request) = 32),
  at BIGINT NOT NULL,
  status INTEGER,
  body BYTEA,
  PRIMARY KEY (tenant, key),
  CHECK ((status IS NULL) = (body IS NULL))
);
CREATE INDEX requests_by_age ON requests (at);
CREATE TABLE webhooks (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id BYTEA NOT NULL UNIQUE CHECK (length(id) = 16),
  tenant TEXT COLLATE "C" NOT NULL REFERENCES tenants,
  url BYTEA NOT NULL,
  events TEXT COLLATE "C" NOT NULL,
  form TEXT COLLATE "C" NOT NULL CHECK (form IN ('kakunin', 'hosted-sha256', 'hosted-t-v1')),
  active BOOLEAN NOT NULL,
  created BIGINT NOT NULL,
  updated BIGINT NOT NULL,
  sequence BIGINT NOT NULL CHECK (sequence >= 0)
);
CREATE INDEX webhooks_of_tenant ON webhooks (tenant, number);
CREATE TABLE webhook_secrets (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  webhook BYTEA NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
  sealed BYTEA NOT NULL,
  hint BYTEA NOT NULL,
  created BIGINT NOT NULL,
  until BIGINT
);
CREATE INDEX webhook_secrets_of_webhook ON webhook_secrets (webhook, number);
CREATE TABLE deliveries (
  webhook BYTEA NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
  sequence BIGINT NOT NULL CHECK (sequence > 0),
  event TEXT COLLATE "C" NOT NULL,
  at BIGINT NOT NULL,
  data BYTEA NOT NULL,
  state TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'dead')),
  attempts BIGINT NOT NULL,
  due BIGINT NOT NULL,
  tried BIGINT,
  status INTEGER,
  body BYTEA,
  error BYTEA,
  PRIMARY KEY (webhook, sequence),
  CHECK ((status IS NULL) = (body IS NULL)),
  CHECK ((attempts = 0) = (tried IS NULL))
);
CREATE INDEX deliveries_waiting ON deliveries (webhook, due, sequence, state, at)
  WHERE state IN ('pending', 'failed');
CREATE INDEX deliveries_dead ON deliveries (webhook) WHERE state = 'dead';
CREATE INDEX deliveries_ended ON deliveries (tried) WHERE state IN ('delivered', 'dead');
CREATE TABLE receipts (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL,
  agent BYTEA NOT NULL,
  stream BYTEA NOT NULL CHECK (length(stream) = 16),
  sequence BIGINT NOT NULL CHECK (sequence >= 0),
  hash BYTEA NOT NULL CHECK (length(hash) = 32),
  at BIGINT NOT NULL,
  kind TEXT COLLATE "C" NOT NULL
    CHECK (kind IN ('open', 'allow', 'deny', 'outcome', 'control', 'close')),
  action BYTEA,
  code BYTEA,
  chain BYTEA CHECK (length(chain) = 16),
  line BYTEA NOT NULL,
  received BIGINT NOT NULL,
  UNIQUE (tenant, agent, stream, sequence, hash),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
);
CREATE INDEX receipts_by_time ON receipts (tenant, agent, at);
CREATE FUNCTION receipts_are_evidence() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'receipts are evidence'; END $$;
CREATE TRIGGER receipts_are_not_edited BEFORE UPDATE ON receipts
FOR EACH STATEMENT EXECUTE FUNCTION receipts_are_evidence();
CREATE TABLE feed_keys (
  serial BYTEA PRIMARY KEY,
  issuer BIGINT NOT NULL REFERENCES issuers,
  key BYTEA NOT NULL UNIQUE CHECK (length(key) = 32),
  not_before BIGINT NOT NULL,
  not_after BIGINT NOT NULL,
  tbs BYTEA NOT NULL,
  der BYTEA
);
CREATE TABLE tokens (
  prefix TEXT COLLATE "C" PRIMARY KEY CHECK (length(prefix) = 12),
  secret BYTEA NOT NULL CHECK (length(secret) = 32),
  tenant TEXT COLLATE "C" NOT NULL,
  agent BYTEA NOT NULL,
  created BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  key BYTEA CHECK (length(key) = 32),
  serial BYTEA REFERENCES certificates (serial),
  redeemed BIGINT,
  CHECK ((key IS NULL) = (serial IS NULL)),
  CHECK ((key IS NULL) = (redeemed IS NULL)),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id)
);
CREATE INDEX tokens_by_end ON tokens (expires);
CREATE INDEX tokens_of_agent ON tokens (tenant, agent);
