ALTER TABLE issuers ADD COLUMN tenant TEXT REFERENCES tenants;
UPDATE issuers SET tenant = 'default' WHERE id > 0;
