-- Whether a phone is registered as an endpoint, and until when unless it renews.
ALTER TABLE endpoints ADD COLUMN registered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoints ADD COLUMN registered_since INTEGER;
ALTER TABLE endpoints ADD COLUMN registered_until INTEGER;
CREATE INDEX endpoints_registered ON endpoints (registered_until);

-- As new ones are made: phones behind NAT are found, and Asterisk takes note of those that are younger than its start.
UPDATE ps_aors SET qualify_frequency = 60 WHERE qualify_frequency IS NULL;
UPDATE ps_endpoints SET force_rport = 'yes', rewrite_contact = 'yes', rtp_symmetric = 'yes'
    WHERE force_rport IS NULL AND rewrite_contact IS NULL AND rtp_symmetric IS NULL;

-- What an endpoint was made as; how many phones may register as it.
ALTER TABLE endpoints ADD COLUMN template TEXT NOT NULL DEFAULT 'desk';
ALTER TABLE endpoints ADD COLUMN max_registrations INTEGER NOT NULL DEFAULT 1;
