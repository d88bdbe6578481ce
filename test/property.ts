// Properties by fast-check with one seed, so that a test fails for a change and not by luck. SEED=n tries others.

import fc from 'fast-check'

fc.configureGlobal({ seed: Number(process.env['SEED'] ?? 1) })

export default fc
