// The mark of our own scrapes of the application, by which the web server knows that it is asked by itself: the address of the
// application may lead back here, by a mistake or through a proxy. It is random for each process; a constant could be sent by
// anyone, and would tell a sidecar of another application from none.

const MARK = Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString('hex')

/** The user agent of a scrape of the application, "Pillion/VERSION (MARK)". */
export function scrapeAgent(version: string | undefined): string {
  return `Pillion${version === undefined ? '' : `/${version}`} (${MARK})`
}

/** Whether a request with this user agent is a scrape of our own. */
export function ownScrape(agent: string | undefined): boolean {
  return agent?.endsWith(`(${MARK})`) ?? false
}
