/** The page at `/`. It needs nothing from elsewhere, so it works without a network. */
export function page(worker) {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sluice</title>
<style>
  :root { color-scheme: light dark; --ink: light-dark(#1b2a33, #e4edf1); --dim: light-dark(#5b6d78, #93a6b1); --line: light-dark(#d7e0e5, #2c3d47); --flow: light-dark(#0b7285, #4cc9e0) }
  body { margin: 10vh auto; max-width: 38rem; padding: 0 1.5rem; font: 1rem/1.6 system-ui, sans-serif; color: var(--ink); background: light-dark(#fbfdfe, #10191f) }
  h1 { margin: 0; font-size: 2.6rem; letter-spacing: -.03em }
  h1::after { content: ""; display: block; width: 4rem; height: .3rem; margin-top: .4rem; border-radius: 1rem; background: var(--flow) }
  ul { list-style: none; margin: 2rem 0; padding: 0; border-top: 1px solid var(--line) }
  li { display: flex; justify-content: space-between; gap: 1rem; padding: .7rem 0; border-bottom: 1px solid var(--line) }
  a { color: var(--flow) } span, footer { color: var(--dim) } code { font-size: .9em }
</style>
<h1>Sluice</h1>
<p>This page came from worker <b>${worker.id}</b> (<code>${worker.name}</code>). Load it again: the next request may go to another one.</p>
<ul>
  <li><a href="/api/users/1">/api/users/1</a> <span>JSON, with a parameter in the path</span></li>
  <li><a href="/stream">/stream</a> <span>ten lines, one every 100 ms</span></li>
  <li><code>POST /upload</code> <span>size and SHA-256 of what you send</span></li>
</ul>
<footer>Change <code>examples/hello/app.js</code>, then run <code>npx sluice reload -c examples/hello/sluice.config.js</code>: no request is lost.</footer>
</html>
`
}
