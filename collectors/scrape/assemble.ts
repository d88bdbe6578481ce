// Makes a page of what a scanner has read: the samples of each family together, families of one name apart, and those whose
// samples do not fit their type without it.

import { underscoredMetric } from '../../metrics/escaping.ts'
import { unfit } from './check.ts'
import { ROLES, type ScrapedFamily } from './families.ts'
import { LinesPage } from './lines.ts'
import type { Scanner } from './scanner.ts'

/** The result of reading a page. */
export interface Assembled {
  readonly page: LinesPage
  /** Families that lost their type. */
  readonly demoted: number
}

/** Puts the samples of each family together, and checks them against its type; in steps, since there may be many. */
export function* assembling(scanner: Scanner): Generator<undefined, Assembled> {
  const { families } = scanner
  const order = ordered(scanner)
  const shown = families.all.filter(each => each.samples > 0)
  // The names that samples have belong to one family; the others that a type may write must be free.
  const owners = new Map<string, ScrapedFamily>()
  const double = new Set<ScrapedFamily>()
  const plain = (family: ScrapedFamily): string[] => family.names.map(name => families.names[name]!.plain)
  for (const family of shown) {
    yield
    for (const name of plain(family)) {
      const owner = owners.get(name)
      if (owner && owner !== family) double.add(family)
      else owners.set(name, family)
    }
  }
  let demoted = 0
  const kept: ScrapedFamily[] = []
  const names: string[][] = []
  for (const family of shown) {
    yield
    // Two names that are one without UTF-8: the later one is left out.
    if (double.has(family)) {
      scanner.dropped.duplicate += family.samples
      continue
    }
    const wanted = claims(family, scanner)
    const clash = wanted.some(name => (owners.get(name) ?? family) !== family)
    family.unfit = unfit(scanner, family, order)
    // Two families of one name in OpenMetrics alone: a counter foo_total and another family foo.
    if (clash) family.unfit = family.type === 'counter' ? 'strictly' : 'yes'
    if (family.unfit !== 'no') demoted++
    else for (const name of wanted) owners.set(name, family)
    kept.push(family)
    names.push(family.unfit === 'yes' ? plain(family) : [...new Set([...plain(family), ...wanted])])
  }
  return { page: new LinesPage(scanner, kept, order, names), demoted }
}

/** The samples' places, family by family. */
function ordered({ samples, families }: Scanner): Uint32Array {
  const order = new Uint32Array(samples.count)
  let from = 0
  for (const family of families.all) {
    family.from = from
    family.to = from
    from += family.samples
  }
  for (let at = 0; at < samples.count; at++) {
    const family = families.all[families.names[samples.name[at]!]!.family]!
    order[family.to++] = at
  }
  return order
}

/** Every name that a family of this type may write in any format. */
function claims(family: ScrapedFamily, { openmetrics }: Scanner): string[] {
  const name = underscoredMetric(family.name)
  if (family.type === 'counter') {
    const base = openmetrics ? name : name.replace(/_total$/, '')
    // Without the suffix it is no counter in OpenMetrics.
    return !openmetrics && base === name ? [name] : [base, `${base}_total`, `${base}_created`]
  }
  return [name, ...ROLES[family.type].map(role => name + role)]
}
