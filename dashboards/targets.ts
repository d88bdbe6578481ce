// The attributes of the resources that send spans, as labels of traces_target_info, and the version of each service.

import { type GaugeFamily, gauge } from '../metrics/family.ts'
import { targetInfo } from '../processors/spans.ts'

export const VERSION = ['service', 'service_version'] as const

/** traces_target_info with attributes that SDKs give to most resources; only `service` is promised. */
export function targetsOf<const L extends string>(...labels: readonly L[]): GaugeFamily<L> {
  return gauge(targetInfo.name, targetInfo.help, labels)
}
