-- The revocation of a device or a certificate that was the last one made: what lists go through,
-- and what an id leads to. Projections: whether and by whom, the signed statement of the subject
-- says alone, and what a facade reads is that.
CREATE TABLE public.device_revocations (
    subject    text PRIMARY KEY CHECK (octet_length(subject) BETWEEN 1 AND 4096),
    id         uuid NOT NULL UNIQUE,
    revoked_at timestamptz NOT NULL,
    lifted_at  timestamptz
);
CREATE INDEX device_revocations_listed ON public.device_revocations (revoked_at, id)
    WHERE lifted_at IS NULL;
