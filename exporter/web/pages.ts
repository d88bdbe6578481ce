// What a person's browser sees, served by express. The gate has let the request in and it is a GET or a HEAD.

import type { IncomingMessage, ServerResponse } from 'node:http'
import express, { type NextFunction, type Request, type Response } from 'express'
import type { Deps } from '../web.ts'
import { say, security } from './answer.ts'
import { dashboardList, page } from './page.ts'
import { type Status, shownUrl } from './status.ts'
import { ICON, STYLE } from './style.ts'

export type Pages = (request: IncomingMessage, response: ServerResponse) => void

export function pages(deps: Pick<Deps, 'status' | 'dashboards' | 'log'>): Pages {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  // No route reads a query, so none is parsed.
  app.set('query parser', false)
  app.set('case sensitive routing', true)
  app.set('strict routing', true)

  app.use((_request, response, next) => {
    response.set(security(response))
    next()
  })
  app.get('/', async (_request, response) => {
    response.type('html').send(page(shown(await deps.status())))
  })
  app.get('/api/status', async (_request, response) => {
    response.json(shown(await deps.status()))
  })
  app.get('/dashboards/', async (_request, response) => {
    response.type('html').send(dashboardList((await deps.dashboards?.()) ?? []))
  })
  app.get('/dashboards/:file', async (request, response, next) => {
    const found = (await deps.dashboards?.())?.find(each => each.file === request.params.file)
    if (found) response.type('json').set('Content-Disposition', `attachment; filename="${found.file}"`).send(found.text)
    else next()
  })
  app.get('/style.css', (_request, response) => {
    response.type('css').set('Cache-Control', 'max-age=300').send(STYLE)
  })
  app.get('/icon.svg', (_request, response) => {
    response.type('svg').set('Cache-Control', 'max-age=86400').send(ICON)
  })
  app.use((_request, response) => {
    say(response, 404, 'nothing is here; the page at / says what is')
  })
  // Express tells an error handler by its four parameters.
  app.use((error: unknown, _request: Request, response: Response, _next: NextFunction) => {
    const status = typeof error === 'object' && error && 'status' in error && error.status === 400 ? 400 : 500
    if (status === 500) deps.log.error('a page failed', { error })
    say(response, status, status === 400 ? 'cannot read this address' : 'the page failed; the log says why')
  })
  return app
}

/** The status without what a URL may hide in it: user, password, query. */
function shown(status: Status): Status {
  const { application } = status
  if (application.url === undefined) return status
  return { ...status, application: { ...application, url: shownUrl(application.url) } }
}
