CREATE INDEX certificates_of_key ON certificates (tenant, agent, key, number);
CREATE INDEX certificates_revoked ON certificates (tenant, agent, key) WHERE standing = 'revoked';
