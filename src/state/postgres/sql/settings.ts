/**
 * What the functions run under. Plans are made once for a session, and a table that was empty then may be large now: so they go by
 * index always. A lock that is not had in time fails the call, with nothing done, before its caller has given up on the answer.
 */
export const settings = (schema: string): string => `
  SET search_path = ${schema}, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan SET jit = off SET lock_timeout = '4s'`
