CREATE INDEX feed_entries_by_serial ON feed_entries (serial);
ALTER TABLE risks ADD COLUMN tried INTEGER NOT NULL DEFAULT 0;
ALTER TABLE risks ADD COLUMN gaps TEXT;
ALTER TABLE risks ADD COLUMN unlearnt TEXT;
