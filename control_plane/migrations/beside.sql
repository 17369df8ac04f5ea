-- Tables that nothing rests on, made after each migration and without a revision of their own: the
-- programs of the version before are ready at the revision that they know, and at no other.

-- Up to where the audit log was exported last, and when: for metrics alone. One row, which `audit
-- export` replaces.
CREATE TABLE IF NOT EXISTS public.audit_exports (
    the_only    boolean PRIMARY KEY DEFAULT true CHECK (the_only),
    sequence    bigint NOT NULL CHECK (sequence >= 1),
    exported_at timestamptz NOT NULL
);
