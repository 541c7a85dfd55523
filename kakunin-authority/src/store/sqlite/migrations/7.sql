CREATE TABLE feed_keys (
  serial BLOB NOT NULL PRIMARY KEY,
  issuer INTEGER NOT NULL REFERENCES issuers,
  key BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
  not_before INTEGER NOT NULL,
  not_after INTEGER NOT NULL,
  tbs BLOB NOT NULL,
  der BLOB
) STRICT;
