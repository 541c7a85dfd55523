ALTER TABLE issuers ADD COLUMN tenant TEXT COLLATE "C" REFERENCES tenants;
UPDATE issuers SET tenant = 'default' WHERE id > 0;
