CREATE TABLE webhooks (
  number INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  tenant TEXT NOT NULL REFERENCES tenants,
  url TEXT NOT NULL,
  events TEXT NOT NULL,
  form TEXT NOT NULL CHECK (form IN ('kakunin', 'hosted-sha256', 'hosted-t-v1')),
  active INTEGER NOT NULL CHECK (active IN (0, 1)),
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  sequence INTEGER NOT NULL CHECK (sequence >= 0)
) STRICT;
CREATE INDEX webhooks_of_tenant ON webhooks (tenant, number);
CREATE TABLE webhook_secrets (
  number INTEGER PRIMARY KEY,
  webhook BLOB NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
  sealed BLOB NOT NULL,
  hint TEXT NOT NULL,
  created INTEGER NOT NULL,
  until INTEGER
) STRICT;
CREATE INDEX webhook_secrets_of_webhook ON webhook_secrets (webhook, number);
CREATE TABLE deliveries (
  webhook BLOB NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
  sequence INTEGER NOT NULL CHECK (sequence > 0),
  event TEXT NOT NULL,
  at INTEGER NOT NULL,
  data TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'dead')),
  attempts INTEGER NOT NULL,
  due INTEGER NOT NULL,
  tried INTEGER,
  status INTEGER,
  body BLOB,
  error TEXT,
  PRIMARY KEY (webhook, sequence),
  CHECK ((status IS NULL) = (body IS NULL)),
  CHECK ((attempts = 0) = (tried IS NULL))
) STRICT;
CREATE INDEX deliveries_waiting ON deliveries (webhook, due, sequence, state, at)
  WHERE state IN ('pending', 'failed');
CREATE INDEX deliveries_dead ON deliveries (webhook) WHERE state = 'dead';
CREATE INDEX deliveries_ended ON deliveries (tried) WHERE state IN ('delivered', 'dead');
