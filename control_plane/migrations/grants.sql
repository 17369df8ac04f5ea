-- All that the two group roles may do, stated whole after every migration.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, registry_control_plane, registry_facade;
REVOKE CREATE ON SCHEMA public FROM PUBLIC, registry_control_plane, registry_facade;
GRANT USAGE ON SCHEMA public TO registry_control_plane, registry_facade;

-- After `pg_restore --no-privileges` it is PUBLIC's again, as every new function is.
REVOKE ALL ON FUNCTION public.notify_statement()
    FROM PUBLIC, registry_control_plane, registry_facade;

GRANT SELECT ON public.facade_statements TO registry_facade;

GRANT SELECT ON public.alembic_version TO registry_control_plane;
GRANT SELECT ON public.schema_compatibility TO registry_control_plane;
GRANT SELECT, INSERT, UPDATE ON public.statements TO registry_control_plane; -- tombstones stay
GRANT SELECT, INSERT ON public.audit_entries TO registry_control_plane; -- what was done is done
GRANT SELECT, INSERT, UPDATE ON public.audit_checkpoint TO registry_control_plane;
GRANT SELECT, INSERT, UPDATE ON public.audit_exports TO registry_control_plane;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.provider_logouts TO registry_control_plane;
GRANT SELECT, INSERT, UPDATE ON public.operator_uses TO registry_control_plane;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON public.session_uses, public.session_endings TO registry_control_plane; -- they last for a day
GRANT SELECT, INSERT, UPDATE ON public.webhook_positions TO registry_control_plane;
GRANT SELECT, INSERT, UPDATE ON public.webhook_sender TO registry_control_plane;
GRANT SELECT, UPDATE ON public.audit_lock TO registry_control_plane; -- UPDATE is what locks a row
GRANT SELECT, INSERT ON public.connection_revisions TO registry_control_plane;
GRANT SELECT, INSERT ON public.connections TO registry_control_plane;
GRANT UPDATE (description, revoked_at, approved_revision, draft_revision)
    ON public.connections TO registry_control_plane;
GRANT SELECT, INSERT, UPDATE ON public.device_revocations TO registry_control_plane;

-- What PUBLIC has by default beyond that. Only a superuser owns the large-object functions;
-- what this migration's owner could not take is printed for the database's administrator.
DO $$
DECLARE
    writer record;
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    FOR writer IN
        SELECT oid::regprocedure AS signature FROM pg_catalog.pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
          AND proname IN ('lo_create', 'lo_creat', 'lo_from_bytea', 'lo_open', 'lo_put',
                          'lo_truncate', 'lo_truncate64', 'lo_unlink', 'lowrite')
          AND has_function_privilege('registry_facade', oid, 'EXECUTE')
    LOOP
        BEGIN
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', writer.signature);
        EXCEPTION WHEN insufficient_privilege THEN
            NULL; -- printed
        END;
    END LOOP;
END $$;
