// The three stories of applications without an SDK, judged by a real Prometheus with the rules as shipped, in fast time: each has
// the panels of the Application and Requests dashboards and its alerts.

import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { until as came } from '../e2e/child.ts'
import { type Judge, startJudge } from '../provoke/judge.ts'
import { missing } from './servers.ts'
import { jsonOutput, legacy, php, type Story } from './stories.ts'

t.setTimeout(300_000)

const SERVER = { span_kind: 'SPAN_KIND_SERVER' } as const

/** By title; the first question of each. */
const PANELS: Readonly<Record<string, readonly string[]>> = {
  'pillion-application': [
    'Health',
    'Requests',
    'Errors',
    'Latency p95',
    'Health by probe and component',
    'Requests by outcome',
    'Errors by service',
    'Latency',
    'Latency by operation, p95',
    'Log records by severity',
  ],
  'pillion-requests': [
    'Requests',
    'Errors',
    'Latency p50',
    'Latency p95',
    'Requests by service',
    'Errors by service',
    'Latency p95 by service',
    'Operations',
    'Failed requests by operation',
    'Latency',
    'Where the time of an operation goes',
    'Share of the time',
    'Spans by kind',
    'Operations by service',
  ],
}
/** One of five requests fails, with an error in the log. */
const ALERTS = ['AppErrorLogs', 'AppHighErrorRatio']

const STORIES = [
  { title: 'an application like PHP behind nginx', start: php, skip: missing('nginx', 'nginx-light') },
  { title: 'a legacy program that only writes text', start: legacy, skip: false },
  { title: 'an application that logs JSON to standard output', start: jsonOutput, skip: false },
] as const

for (const { title, start, skip } of STORIES)
  t.test(
    `story: ${title}: Prometheus has its panels, and its alerts fire`,
    {
      skip:
        skip || missing('prometheus', 'prometheus') || missing('prometheus-alertmanager', 'prometheus-alertmanager'),
    },
    async t => {
      await using story = await start(t)
      await using judge = await startJudge(t.testdir({}), [])
      const { ride, service } = story
      judge.know(service, [new URL(ride.web).host])
      const stop = new AbortController()
      const sending = send(story, stop.signal)
      try {
        await fire(judge, service)
        await panels(t, judge, story)
        t.same(
          (await judge.firing(service))
            .map(each => each.name)
            .filter(each => !ALERTS.includes(each) && !OTHERS.test(each)),
          [],
          'nothing else is wrong with it',
        )
      } finally {
        stop.abort()
        await sending
      }
      const name = { ...SERVER, service, span_name: story.operation }
      const counted = (await ride.value('traces_spanmetrics_calls_total', name)) ?? 0
      t.ok(counted > 100, `${counted} requests`)
    },
  )

/** Alerts about the machine of a test, which may be full or slow, and what is not there in a test. */
const OTHERS = /^(?:Sidecar|AppRunsOut|AppNearLimit|AppFiles|AppMemory|AppCpu|AppMainThread)/

/** The rules wait for up to ten minutes of life. */
async function fire(judge: Judge, service: string): Promise<void> {
  const end = performance.now() + 150_000
  for (;;) {
    const firing = (await judge.firing(service)).map(each => each.name)
    if (ALERTS.every(each => firing.includes(each))) return
    if (performance.now() > end) throw new Error(`only ${firing} fire for ${service}, not all of ${ALERTS}`)
    await sleep(200)
  }
}

async function send(story: Story, signal: AbortSignal): Promise<void> {
  while (story.send && !signal.aborted) await story.send(1)
}

async function panels(t: Test, judge: Judge, { service }: Story): Promise<void> {
  for (const [uid, titles] of Object.entries(PANELS))
    for (const title of titles) {
      const shown = await came(`${uid} ${title}`, async () => {
        const found = await judge.panel({ uid, title, job: service, instance: '.*' })
        const numbers = found.filter(({ value }) => value[1] !== 'NaN')
        return numbers.length > 0 ? numbers : undefined
      })
      t.ok(shown.length > 0, `${uid} ${title}`)
      for (const { metric } of shown) if (metric['service'] !== undefined) t.equal(metric['service'], service, title)
    }
}
