import fc from 'fast-check'

/** Properties try the same cases in every run; `PROPERTY_SEED=1 npm test` tries others. Those with a seed of their own keep it. */
fc.configureGlobal({ seed: Number(process.env['PROPERTY_SEED'] ?? 20260105) })
