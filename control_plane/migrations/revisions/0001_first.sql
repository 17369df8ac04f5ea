-- The newest signed statement of every subject; tombstones stay for ever. Readers believe the
-- verified payload alone: `subject` and `generation` are projections for queries.
CREATE TABLE public.statements (
    subject    text PRIMARY KEY CHECK (octet_length(subject) BETWEEN 1 AND 4096), -- fits a NOTIFY
    type       text NOT NULL,
    key_id     text NOT NULL,
    payload    bytea NOT NULL,
    signature  bytea NOT NULL,
    generation bigint NOT NULL,
    stored_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION public.notify_statement() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM pg_notify('registry_statements', '');
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM pg_notify('registry_statements', OLD.subject);
    ELSE
        IF TG_OP = 'UPDATE' AND OLD.subject <> NEW.subject THEN
            PERFORM pg_notify('registry_statements', OLD.subject);
        END IF;
        PERFORM pg_notify('registry_statements', NEW.subject);
    END IF;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION public.notify_statement() FROM PUBLIC;

CREATE TRIGGER statement_changed AFTER INSERT OR UPDATE OR DELETE ON public.statements
    FOR EACH ROW EXECUTE FUNCTION public.notify_statement();
CREATE TRIGGER statements_truncated AFTER TRUNCATE ON public.statements
    FOR EACH STATEMENT EXECUTE FUNCTION public.notify_statement();

-- All that a facade may read.
CREATE VIEW public.facade_statements WITH (security_barrier) AS
    SELECT subject, type, key_id, payload, signature
    FROM public.statements
    WHERE starts_with(subject, 'connection/')
       OR starts_with(subject, 'device/')
       OR starts_with(subject, 'certificate/');

-- The chain of signed audit entries. The columns after `signature` are projections.
CREATE TABLE public.audit_entries (
    sequence         bigint PRIMARY KEY CHECK (sequence >= 1),
    type             text NOT NULL,
    key_id           text NOT NULL,
    payload          bytea NOT NULL,
    signature        bytea NOT NULL,
    at               timestamptz NOT NULL,
    actor            text NOT NULL,
    action           text NOT NULL,
    about            text NOT NULL,
    about_generation bigint
);
CREATE INDEX audit_entries_about ON public.audit_entries (about, sequence DESC);

-- One row that every act locks, so that entries follow one another. Not an advisory lock: any
-- role of the database may take those, and a facade's role must not be able to hold up an act.
CREATE TABLE public.audit_lock (
    the_only boolean PRIMARY KEY DEFAULT true CHECK (the_only)
);
INSERT INTO public.audit_lock DEFAULT VALUES;

CREATE TABLE public.connections (
    id                uuid PRIMARY KEY,
    host              text NOT NULL,
    repository_prefix text NOT NULL DEFAULT '',
    description       text NOT NULL DEFAULT '',
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at        timestamptz,
    approved_revision integer,
    draft_revision    integer
);
CREATE UNIQUE INDEX connections_place ON public.connections (host, repository_prefix)
    WHERE revoked_at IS NULL;
CREATE INDEX connections_listed ON public.connections (created_at, id);

-- What was drafted: the document's exact bytes and the sealed secret it names. A revision is never
-- changed. It is believed only through the signed audit entry of its making.
CREATE TABLE public.connection_revisions (
    connection_id  uuid NOT NULL REFERENCES public.connections (id),
    revision       integer NOT NULL CHECK (revision >= 1),
    document       bytea NOT NULL,
    sealed_secret  bytea,
    made_by        text NOT NULL,
    made_at        timestamptz NOT NULL,
    audit_sequence bigint NOT NULL REFERENCES public.audit_entries (sequence)
        DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (connection_id, revision)
);
ALTER TABLE public.connections
    ADD FOREIGN KEY (id, approved_revision)
        REFERENCES public.connection_revisions (connection_id, revision)
        DEFERRABLE INITIALLY DEFERRED,
    ADD FOREIGN KEY (id, draft_revision)
        REFERENCES public.connection_revisions (connection_id, revision)
        DEFERRABLE INITIALLY DEFERRED;
