// Which alert silences which in Alertmanager: one fault is one page, and the alert that says why is the one that is sent.
// https://prometheus.io/docs/alerting/latest/configuration/#inhibit_rule

interface Inhibition {
  /** Names of alerts. While one of the first fires, the others of the same `equal` labels are silent. */
  readonly of: readonly string[]
  readonly silent: readonly string[]
  /** Only those of them with these labels. */
  readonly where?: Readonly<Record<string, string>>
  readonly equal: readonly string[]
}

// A label that neither has, as namespace outside of Kubernetes, is equal.
const INSTANCE = ['job', 'namespace', 'instance'] as const

export const INHIBITIONS: readonly Inhibition[] = [
  {
    of: ['AppOutOfMemory'],
    silent: ['AppProcessGone', 'AppDown', 'AppRestarting', 'AppFlapping', 'AppMemoryNearLimit', 'AppMemoryGrows'],
    equal: INSTANCE,
  },
  {
    of: ['AppProcessGone'],
    silent: ['AppDown', 'AppComponentDown', 'AppHealthFlaky', 'AppFlapping', 'AppRestarting', 'AppNoTraffic'],
    equal: INSTANCE,
  },
  // Never the other way round: a warning must not silence what somebody has to come for.
  { of: ['AppNeverUp'], silent: ['AppProcessNotFound'], equal: INSTANCE },
  {
    of: ['AppDown'],
    silent: ['AppNoTraffic', 'AppComponentDown', 'AppHealthFlaky', 'AppFlapping', 'AppAcceptQueueGrows'],
    equal: INSTANCE,
  },
  // Connections pile up because it is down. A disk that is full may be why it is.
  { of: ['AppDown'], silent: ['AppNearLimit'], where: { resource: 'accept_queue' }, equal: INSTANCE },
  {
    of: ['AppAcceptQueueGrows'],
    silent: ['AppNearLimit'],
    where: { resource: 'accept_queue' },
    equal: INSTANCE,
  },
  { of: ['AppRestarting'], silent: ['AppFlapping'], equal: INSTANCE },
  { of: ['AppCpuThrottled'], silent: ['AppCpuNearQuota'], equal: INSTANCE },
  { of: ['AppMemoryNearLimit'], silent: ['AppMemoryGrows'], equal: INSTANCE },
  { of: ['AppFilesNearLimit'], silent: ['AppFilesRunningOut'], equal: INSTANCE },
  { of: ['AppCertificateExpiresNow'], silent: ['AppCertificateExpiresSoon'], equal: [...INSTANCE, 'probe'] },
  { of: ['SidecarAbsent'], silent: ['SidecarDown', 'SidecarsFewer'], equal: [] },
  { of: ['SidecarDown'], silent: ['SidecarsFewer'], equal: ['job', 'namespace'] },
]

/** Two burn rates of one objective are one fault: the faster one is sent. */
const BURNS = {
  source_matchers: ['alertname="SloBudgetBurns"', 'severity="critical"'],
  target_matchers: ['alertname="SloBudgetBurns"', 'severity="warning"'],
  equal: ['job', 'namespace', 'service', 'service_name', 'slo', 'objective'],
}

/** Objectives page by themselves; the fixed thresholds for the same service would be a second page. */
const PROMISES = [
  ['availability', 'AppHighErrorRatio'],
  ['latency', 'AppHighLatency'],
].map(([slo, silent]) => ({
  source_matchers: ['alertname="SloBudgetBurns"', 'severity="critical"', `slo="${slo}"`],
  target_matchers: [`alertname="${silent}"`],
  equal: ['job', 'namespace', 'service', 'service_name'],
}))

/** The part of Alertmanager's configuration that has them. */
export async function inhibitRules(): Promise<string> {
  const { stringify } = await import('yaml')
  const rules = INHIBITIONS.map(({ of, silent, where = {}, equal }) => ({
    source_matchers: [matcher(of)],
    target_matchers: [matcher(silent), ...Object.entries(where).map(([label, value]) => `${label}="${value}"`)],
    ...(equal.length > 0 && { equal }),
  }))
  const head =
    '# For the configuration of Alertmanager: of alerts about one fault only the one that says why is sent.\n'
  return (
    head + stringify({ inhibit_rules: [...rules, BURNS, ...PROMISES] }, { lineWidth: 0, aliasDuplicateObjects: false })
  )
}

function matcher(names: readonly string[]): string {
  return names.length === 1 ? `alertname="${names[0]}"` : `alertname=~"${names.join('|')}"`
}
