// The pages for people, by express. Access has been granted, and the request is a GET or a HEAD.

import type { IncomingMessage, ServerResponse } from 'node:http'
import express, { type NextFunction, type Request, type Response } from 'express'
import { type Status, shownUrl } from '../../telemetry/status.ts'
import { say, security } from './answer.ts'
import { addApi } from './api.ts'
import { type Assets, openAssets } from './assets.ts'
import type { WebHost } from './host.ts'
import { dashboardList, page } from './page.ts'
import type { Pages } from './routes.ts'
import { acceptsGzip } from './scrape.ts'
import { ICON, STYLE } from './style.ts'

export function pages(host: WebHost): Pages & AsyncDisposable {
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
  let opened: Promise<Assets | undefined> | undefined
  /** Undefined where the page cannot be had: what it shows without scripts is then all of it. */
  const assets = (): Promise<Assets | undefined> => {
    opened ??= openAssets().catch(error => {
      host.log.warn('the page is shown without scripts', { error })
      return undefined
    })
    return opened
  }
  app.get('/', async (_request, response) => {
    const [status, files] = await Promise.all([host.status(), assets()])
    response.type('html').send(page(shown(status), files))
  })
  app.get('/:file', async (request, response, next) => {
    const { file } = request.params
    const asset = file.startsWith('page-') ? (await assets())?.find(file) : undefined
    if (!asset) return next()
    const packed = acceptsGzip(request.headers['accept-encoding'])
    // The name changes with the content.
    response.type(asset.type).set({ 'Cache-Control': 'max-age=31536000, immutable', Vary: 'Accept-Encoding' })
    if (packed) response.set('Content-Encoding', 'gzip')
    response.send(packed ? asset.gzip : asset.plain)
  })
  app.get('/api/status', async (_request, response) => {
    response.json(shown(await host.status()))
  })
  const recent = addApi(app, host, async () => shown(await host.status()))
  app.get('/dashboards/', async (_request, response) => {
    response.type('html').send(dashboardList((await host.dashboards?.()) ?? []))
  })
  app.get('/dashboards/:file', async (request, response, next) => {
    const found = (await host.dashboards?.())?.find(each => each.file === request.params.file)
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
    if (status === 500) host.log.error('a page failed', { error })
    say(response, status, status === 400 ? 'cannot read this address' : 'the page failed; the log says why')
  })
  return Object.assign((request: IncomingMessage, response: ServerResponse) => app(request, response), {
    [Symbol.asyncDispose]: () => recent[Symbol.asyncDispose](),
  })
}

/** The status without what a URL may hide in it: user, password, query. */
function shown(status: Status): Status {
  const { application } = status
  if (application.url === undefined) return status
  return { ...status, application: { ...application, url: shownUrl(application.url) } }
}
