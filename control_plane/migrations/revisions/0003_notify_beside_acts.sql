-- A notification is never in an act's way. Any login of the database can LISTEN, hold a transaction
-- open and NOTIFY until PostgreSQL's queue is full, and then every commit that notifies fails. So
-- nobody is notified while half of the queue is in use: facades find the change by their poll.
-- Half is gigabytes below the end (8 GiB, unless max_notify_queue_pages says less), and a statement
-- notifies at most 8 KB.
CREATE OR REPLACE FUNCTION public.notify_statement() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_notification_queue_usage() >= 0.5 THEN
        RETURN NULL;
    END IF;
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
