CREATE TABLE signed_lists (
  issuer BIGINT NOT NULL REFERENCES issuers,
  number BIGINT NOT NULL,
  name BYTEA CHECK (length(name) = 32),
  this_update BIGINT NOT NULL,
  next_update BIGINT NOT NULL,
  base BIGINT,
  weight BIGINT NOT NULL CHECK (weight >= 0),
  body BYTEA NOT NULL,
  PRIMARY KEY (issuer, number),
  FOREIGN KEY (issuer, base) REFERENCES signed_lists (issuer, number)
);
INSERT INTO signed_lists SELECT issuer, number, NULL, this_update, next_update, NULL, 0, der FROM lists;
DROP TABLE lists;
CREATE INDEX signed_lists_by_name ON signed_lists (name);
CREATE INDEX signed_lists_by_time ON signed_lists (issuer, this_update, number);
CREATE FUNCTION signed_lists_stay() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'signed lists stay as they are'; END $$;
CREATE TRIGGER signed_lists_are_not_changed BEFORE UPDATE OR DELETE ON signed_lists
FOR EACH STATEMENT EXECUTE FUNCTION signed_lists_stay();
