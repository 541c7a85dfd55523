CREATE TABLE chains (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id BYTEA NOT NULL UNIQUE CHECK (length(id) = 16),
  tenant TEXT COLLATE "C" NOT NULL REFERENCES tenants,
  name BYTEA NOT NULL,
  description BYTEA,
  metadata BYTEA,
  created BIGINT NOT NULL,
  closed BIGINT,
  events BIGINT NOT NULL CHECK (events >= 0),
  hash BYTEA NOT NULL CHECK (length(hash) = 32),
  UNIQUE (tenant, id)
);
CREATE INDEX chains_of_tenant ON chains (tenant, number);
CREATE FUNCTION closed_chains_stay_closed() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'a closed chain stays as it is'; END $$;
CREATE TRIGGER closed_chains_stay_closed BEFORE UPDATE ON chains
FOR EACH ROW WHEN (old.closed IS NOT NULL) EXECUTE FUNCTION closed_chains_stay_closed();
CREATE TABLE declared (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id BYTEA NOT NULL UNIQUE CHECK (length(id) = 16),
  tenant TEXT COLLATE "C" NOT NULL,
  agent BYTEA NOT NULL,
  action BYTEA NOT NULL,
  score BIGINT NOT NULL CHECK (score BETWEEN 0 AND 100),
  occurred BIGINT NOT NULL,
  received BIGINT NOT NULL,
  session BYTEA,
  details BYTEA,
  address BYTEA,
  certificate BYTEA,
  chain BYTEA,
  place BIGINT CHECK (place > 0),
  hash BYTEA CHECK (length(hash) = 32),
  CHECK ((chain IS NULL) = (place IS NULL)),
  CHECK ((chain IS NULL) = (hash IS NULL)),
  FOREIGN KEY (tenant, agent) REFERENCES agents (tenant, id),
  FOREIGN KEY (tenant, chain) REFERENCES chains (tenant, id)
);
CREATE INDEX declared_of_tenant ON declared (tenant, number);
CREATE INDEX declared_of_agent ON declared (tenant, agent, received);
CREATE UNIQUE INDEX declared_of_chain ON declared (tenant, chain, place) WHERE chain IS NOT NULL;
CREATE FUNCTION declared_are_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'declared events are append-only'; END $$;
CREATE TRIGGER declared_are_not_changed BEFORE UPDATE OR DELETE ON declared
FOR EACH STATEMENT EXECUTE FUNCTION declared_are_append_only();
