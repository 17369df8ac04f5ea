-- Roles belong to the whole cluster: another database's migration may make them at this moment.
-- Then IF NOT EXISTS does not help (docs/decisions/control-plane.md).
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['registry_control_plane', 'registry_facade'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- the other one made it
            END;
        END IF;
    END LOOP;
END $$;
