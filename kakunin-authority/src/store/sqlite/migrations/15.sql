CREATE INDEX receipts_in_order ON receipts (tenant, number);
