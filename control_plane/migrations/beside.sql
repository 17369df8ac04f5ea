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

-- Who was logged out at the provider of single sign-on, and when: `oidc:<issuer>:<sub>`, or
-- `sid:<issuer>:<sid>` for one session. Tokens and sessions of before are refused. A row can only
-- end them; whoever deletes one lets go on what its own end bounds. Old rows are deleted.
CREATE TABLE IF NOT EXISTS public.provider_logouts (
    ended         text PRIMARY KEY CHECK (octet_length(ended) <= 2048),
    logged_out_at timestamptz NOT NULL
);

-- When each operator was let in last: for people. A control plane writes it, at most once a minute
-- for each.
CREATE TABLE IF NOT EXISTS public.operator_uses (
    name    text PRIMARY KEY CHECK (octet_length(name) BETWEEN 1 AND 64),
    used_at timestamptz NOT NULL
);

-- When each session of the console was used last. The session itself is in its cookie, under seal: a
-- row that is changed or deleted ends it at most.
CREATE TABLE IF NOT EXISTS public.session_uses (
    session_id   text PRIMARY KEY CHECK (octet_length(session_id) <= 64),
    subject      text NOT NULL CHECK (octet_length(subject) <= 4096),
    began_at     timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS session_uses_subject ON public.session_uses (subject);

-- What ended sessions, for lists of them: session/<id>, all that began until then of
-- subject/<name>, of the OpenID provider's session provider/<sid>, or of everybody. It holds because the audit log
-- says it; while that is refused, a row here says it alone.
CREATE TABLE IF NOT EXISTS public.session_endings (
    what     text PRIMARY KEY CHECK (octet_length(what) <= 4096),
    ended_at timestamptz NOT NULL
);

-- Up to where each target of webhooks was told: signed, so that nobody moves it ahead.
CREATE TABLE IF NOT EXISTS public.webhook_positions (
    target    text PRIMARY KEY CHECK (octet_length(target) BETWEEN 1 AND 64),
    type      text NOT NULL,
    key_id    text NOT NULL,
    payload   bytea NOT NULL,
    signature bytea NOT NULL
);

-- Which control plane sends webhooks: the one that keeps changing the beat.
CREATE TABLE IF NOT EXISTS public.webhook_sender (
    the_only boolean PRIMARY KEY DEFAULT true CHECK (the_only),
    beat     uuid NOT NULL,
    released boolean NOT NULL DEFAULT false
);
