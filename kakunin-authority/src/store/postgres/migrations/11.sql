ALTER TABLE audit ADD COLUMN salt BYTEA CHECK (length(salt) = 32);
