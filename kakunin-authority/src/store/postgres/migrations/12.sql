CREATE INDEX feed_entries_by_serial ON feed_entries (serial);
ALTER TABLE risks ADD COLUMN tried BIGINT NOT NULL DEFAULT 0;
ALTER TABLE risks ADD COLUMN gaps BYTEA;
ALTER TABLE risks ADD COLUMN unlearnt BYTEA;
