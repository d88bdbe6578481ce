// All that is generated from the declarations: the dashboards as Grafana imports them, the rules as Prometheus loads them,
// the tests of the rules, and the data sources. The SDK of Grafana is needed for this only, so nothing that runs in production imports it.

import { build } from './board.ts'
import { BOARDS } from './boards.ts'
import { dataSources } from './datasources.ts'
import { storyFiles } from './rules/stories.ts'
import { GROUPS, PLACES, ruleFiles } from './rules.ts'

/** Paths from the root of the repository. */
export async function generateDashboards(): Promise<{ readonly path: string; readonly text: string }[]> {
  const boards = BOARDS.map(board => ({
    path: `dashboards/grafana/${board.uid}.json`,
    text: `${JSON.stringify(build(board), null, 2)}\n`,
  }))
  const rules = [...(await ruleFiles())].map(([name, text]) => ({ path: `dashboards/rules/${name}`, text }))
  const tests = [...(await storyFiles(GROUPS.alerts, GROUPS.slo, PLACES))].map(([name, text]) => ({
    path: `dashboards/rules/tests/${name}`,
    text,
  }))
  const folder = 'deploy/grafana'
  const sources = [
    { path: `${folder}/provisioning/datasources/pillion.yaml`, text: dataSources({ sidecars: ['$PILLION_URL'] }) },
    {
      path: `${folder}/with-tempo/pillion.yaml`,
      text: dataSources({ sidecars: ['$PILLION_URL'], tempo: '$TEMPO_URL' }),
    },
  ]
  return [...boards, ...rules, ...tests, ...sources]
}
