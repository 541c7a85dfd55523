CREATE INDEX receipts_in_order ON receipts (tenant, number);
ALTER TABLE api_keys ADD COLUMN networks TEXT COLLATE "C";
