import test from 'ava'
import { defineApp, resolveApp } from '../src-ts/app.ts'

const fetch = (): never => undefined as never

test('an object with fetch is an app, as it is', (t) => {
  const app = defineApp({ fetch })
  t.is(resolveApp(app), app)
})

test('the default export of a namespace is looked at', (t) => {
  const app = { fetch }
  t.is(resolveApp({ default: app, other: 1 }), app)
  t.is(resolveApp({ default: fetch }).fetch, fetch)
})

test('a namespace that exports fetch itself is an app', (t) => {
  const namespace = { fetch, default: { something: 'else' } }
  t.is(resolveApp(namespace), namespace)
})

test('a function is fetch, a function with a fetch is an app', (t) => {
  t.is(resolveApp(fetch).fetch, fetch)
  const app = Object.assign(() => undefined, { fetch })
  t.is(resolveApp(app) as unknown, app)
})

test('an instance whose fetch is inherited is an app', (t) => {
  class Site {
    fetch(): never {
      return undefined as never
    }
  }
  const site = new Site()
  t.is(resolveApp(site), site)
})

for (const [what, exported, said] of [
  ['nothing', undefined, /got undefined$/],
  ['null', null, /got null$/],
  ['a string', 'app', /got a string$/],
  ['an empty namespace', {}, /got \{\}$/],
  ['a namespace without an app', { handler: 1, other: 2 }, /got an object with handler, other$/],
  ['a default that is none', { default: { routes: [] } }, /got an object with routes$/],
  ['a fetch that is none', { fetch: 'x' }, /its `fetch` is a string$/],
] as const) {
  test(`${what} is refused, saying what was found`, (t) => {
    t.throws(() => resolveApp(exported), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG', message: said })
  })
}
