// The page: what one application is doing right now. It runs in the browser; esbuild joins it with what it imports.

import './page.css'
import { render } from 'preact'
import { applyTheme } from './settings.ts'
import { Shell } from './shell.tsx'
import { SavedPage } from './traces/saved.tsx'
import { savedTrace } from './traces/saving.ts'

applyTheme()
const place = document.getElementById('page')
const saved = savedTrace()
if (place) render(saved === undefined ? <Shell /> : <SavedPage data={saved} />, place)
