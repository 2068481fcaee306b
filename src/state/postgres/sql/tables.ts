/**
 * The tables, in a schema of their own. Text is compared by its bytes (COLLATE "C"), so that lists have one order on every server.
 * Due and expiring rows have partial indexes; tags have rows only where there are any. Keys longer than an index takes are kept as
 * their beginning and a hash (`head`, `tail`, `tight`), and the whole beside it where it must be given back.
 */
export const tables = (schema: string): string => `
CREATE FUNCTION digest(t text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
  AS $$ SELECT encode(sha256(convert_to(t, 'UTF8')), 'hex') $$;
CREATE FUNCTION head(t text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT left(t, 200) $$;
-- These are put into the statements that call them, and so may only call what is immutable by declaration.
CREATE FUNCTION tail(t text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
  AS $$ SELECT CASE WHEN length(t) <= 200 THEN '' ELSE ${schema}.digest(t) END $$;
CREATE FUNCTION tight(t text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
  AS $$ SELECT CASE WHEN length(t) <= 100 THEN t ELSE left(t, 36) || E'\\x02' || ${schema}.digest(t) END $$;

CREATE SEQUENCE claim_number;
CREATE TABLE entry (
  kind text COLLATE "C" NOT NULL, scope text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, rest text COLLATE "C" NOT NULL,
  long_id text COLLATE "C", version text COLLATE "C" NOT NULL, value text NOT NULL, tags jsonb,
  due_at bigint, expires_at bigint, owner text COLLATE "C", number bigint, until bigint,
  woken boolean NOT NULL, attempts bigint NOT NULL,
  PRIMARY KEY (kind, scope, id, rest));
CREATE INDEX entry_due ON entry (kind, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX entry_turn ON entry (kind, scope, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX entry_expiry ON entry (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE tag (
  kind text COLLATE "C" NOT NULL, scope text COLLATE "C" NOT NULL, tag text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL, rest text COLLATE "C" NOT NULL,
  PRIMARY KEY (kind, scope, tag, id, rest));
CREATE TABLE counter (
  scope text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, n bigint NOT NULL, expires_at bigint NOT NULL,
  PRIMARY KEY (scope, id)) WITH (fillfactor = 50);
CREATE INDEX counter_expiry ON counter (expires_at);
-- Of a sliding window: n admissions leave it a window after \`at\`.
CREATE TABLE stamp (
  scope text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, at bigint NOT NULL, n bigint NOT NULL, leaves_at bigint NOT NULL,
  PRIMARY KEY (scope, id, at)) WITH (fillfactor = 50);
CREATE INDEX stamp_expiry ON stamp (leaves_at);
CREATE TABLE holder (
  scope text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, holder text COLLATE "C" NOT NULL, until bigint NOT NULL,
  PRIMARY KEY (scope, id, holder));
CREATE INDEX holder_expiry ON holder (until);
-- What is remembered of a buffer beside its items, also while it is empty: so seal numbers and intervals go on.
CREATE TABLE buffer (
  scope text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, opening text NOT NULL,
  seal bigint NOT NULL, sealed_at bigint, n bigint NOT NULL, bytes bigint NOT NULL, interval_ms bigint NOT NULL,
  due_at bigint, forget_at bigint, PRIMARY KEY (scope, id));
CREATE INDEX buffer_expiry ON buffer (forget_at) WHERE forget_at IS NOT NULL;
CREATE TABLE item (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, scope text COLLATE "C" NOT NULL, buffer text COLLATE "C" NOT NULL,
  item_id text COLLATE "C" NOT NULL, at bigint NOT NULL, item text NOT NULL, UNIQUE (scope, buffer, item_id));
CREATE TABLE audit (
  scope text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, action_id text COLLATE "C" NOT NULL, chain_id text COLLATE "C",
  kind text, outcome text, provider text, requested_provider text, action_type text, rule text, caller text, group_id text, json text NOT NULL,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(), seq bigint GENERATED ALWAYS AS IDENTITY,
  PRIMARY KEY (scope, id));
CREATE INDEX audit_trail ON audit (xid, seq);
-- The last row deleted, by scope.
CREATE TABLE audit_purged (scope text COLLATE "C" PRIMARY KEY, xid xid8 NOT NULL, seq bigint NOT NULL);
CREATE INDEX audit_action ON audit (scope, action_id, id);
CREATE INDEX audit_chain ON audit (scope, chain_id, id) WHERE chain_id IS NOT NULL;
-- Rows come and go: dead ones are cleared before they slow a scan.
ALTER TABLE entry SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE counter SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE stamp SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
`
