// The look of the page: one style sheet and one icon, kept in memory, so that no route touches the file system.

export const STYLE = `:root {
  color-scheme: light dark;
  --ink: light-dark(#1c2430, #e6eaf0);
  --soft: light-dark(#5b6675, #97a3b4);
  --ground: light-dark(#f5f6f8, #12161c);
  --sheet: light-dark(#ffffff, #1b2129);
  --line: light-dark(#dfe3e8, #2c343f);
  --ok: light-dark(#1d7f4e, #4cc38a);
  --warning: light-dark(#9a5b00, #f0b44c);
  --failed: light-dark(#b3261e, #ff8a80);
}
* { box-sizing: border-box; margin: 0 }
body { background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; padding: 2rem 1.25rem }
header, main { max-width: 62rem; margin: 0 auto }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .9rem; margin-bottom: 1.5rem }
header p { color: var(--soft) }
nav { margin-left: auto; display: flex; flex-wrap: wrap; gap: 1.1rem }
a { color: inherit; text-decoration-color: var(--soft); text-underline-offset: .2em }
h1 { font-size: 1.35rem; line-height: 1.25; overflow-wrap: anywhere }
h2 { font-size: 1rem; display: flex; justify-content: space-between; align-items: baseline; gap: 1rem }
header > div, dd { min-width: 0 }
h2 span { font-size: .8rem; font-weight: 500; color: var(--state, var(--soft)) }
h2 span::before { content: "\\25cf"; margin-right: .4em }
dl div { display: flex; justify-content: space-between; gap: 1rem }
dt { color: var(--soft) }
dd, td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
.application, article, .table, .none { background: var(--sheet); border: 1px solid var(--line); border-radius: .6rem }
.application { display: flex; flex-wrap: wrap; gap: .5rem 2rem; padding: .8rem 1rem }
.application div { gap: .6rem }
.none { padding: .8rem 1rem; color: var(--soft) }
.parts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); gap: 1rem; margin: 1rem 0 }
article { padding: .9rem 1rem; border-left: 3px solid var(--state, var(--line)) }
article > * + * { margin-top: .5rem }
article p { color: var(--soft); font-size: .9rem }
article ul { list-style: none; padding: 0; font-size: .9rem }
li { overflow-wrap: anywhere }
li.warning { color: var(--warning) }
.ok { --state: var(--ok) }
.warning { --state: var(--warning) }
.failed { --state: var(--failed) }
/* What is wider than a telephone is scrolled in its frame: the page itself never is. */
.table { margin-top: .5rem; overflow-x: auto }
table { border-collapse: separate; border-spacing: 0; width: 100% }
th, td { text-align: right; padding: .4rem 1rem; font-weight: 400 }
th:first-child { text-align: left }
thead th { color: var(--soft); border-bottom: 1px solid var(--line) }
@media (max-width: 30rem) {
  body { padding: 1.25rem .75rem }
  th, td { padding: .4rem .5rem }
}
`

/** One large wheel in front, a small one riding along. */
export const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 36" fill="none" stroke="#4c8dd6" stroke-width="3"><circle cx="14" cy="19" r="11"/><circle cx="14" cy="19" r="3" fill="#4c8dd6"/><circle cx="29" cy="24" r="5.5" stroke="#e0803a"/><path d="M17 19h12v5" stroke="#e0803a"/></svg>
`
