-- What the audit log says up to one entry, signed, so that a start does not walk all of it again.
-- `heads` is the newest act about each subject; the signed payload names its SHA-256. One row, which
-- a control plane replaces; without it, or with one that is not believed, the whole log is walked.
CREATE TABLE public.audit_checkpoint (
    the_only  boolean PRIMARY KEY DEFAULT true CHECK (the_only),
    type      text NOT NULL,
    key_id    text NOT NULL,
    payload   bytea NOT NULL,
    signature bytea NOT NULL,
    heads     bytea NOT NULL
);
