ALTER TABLE audit ADD COLUMN salt BLOB CHECK (length(salt) = 32);
