-- Up to where the audit log was exported last, and when: for metrics, and nothing else rests on it.
-- One row, which `audit export` replaces.
CREATE TABLE public.audit_exports (
    the_only    boolean PRIMARY KEY DEFAULT true CHECK (the_only),
    sequence    bigint NOT NULL CHECK (sequence >= 1),
    exported_at timestamptz NOT NULL
);
