CREATE TABLE signed_lists (
  issuer INTEGER NOT NULL REFERENCES issuers,
  number INTEGER NOT NULL,
  name BLOB CHECK (length(name) = 32),
  this_update INTEGER NOT NULL,
  next_update INTEGER NOT NULL,
  base INTEGER,
  weight INTEGER NOT NULL CHECK (weight >= 0),
  body BLOB NOT NULL,
  PRIMARY KEY (issuer, number),
  FOREIGN KEY (issuer, base) REFERENCES signed_lists (issuer, number)
) STRICT;
INSERT INTO signed_lists SELECT issuer, number, NULL, this_update, next_update, NULL, 0, der FROM lists;
DROP TABLE lists;
CREATE INDEX signed_lists_by_name ON signed_lists (name);
CREATE INDEX signed_lists_by_time ON signed_lists (issuer, this_update, number);
CREATE TRIGGER signed_lists_are_not_edited BEFORE UPDATE ON signed_lists
BEGIN SELECT RAISE(ABORT, 'signed lists stay as they are'); END;
CREATE TRIGGER signed_lists_are_not_cut BEFORE DELETE ON signed_lists
BEGIN SELECT RAISE(ABORT, 'signed lists stay as they are'); END;
