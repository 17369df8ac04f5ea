-- Tables that nothing rests on, made after each migration and without a revision of their own.

-- The oldest program that may work with the schema, named by the newest revision that it knows. One
-- row, which each migration writes.
CREATE TABLE IF NOT EXISTS public.schema_compatibility (
    the_only       boolean PRIMARY KEY DEFAULT true CHECK (the_only),
    oldest_program text NOT NULL
);

-- Up to where the audit log was exported last, and when: for metrics alone. One row, which `audit
-- export` replaces.
CREATE TABLE IF NOT EXISTS public.audit_exports (
    the_only    boolean PRIMARY KEY DEFAULT true CHECK (the_only),
    sequence    bigint NOT NULL CHECK (sequence >= 1),
    exported_at timestamptz NOT NULL
);
