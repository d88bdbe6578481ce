// A style sheet is imported for its effect: esbuild joins all of them into one file.

declare module '*.css'
