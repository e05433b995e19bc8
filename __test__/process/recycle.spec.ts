import test from 'ava'

import { LifeSpan, type RecycleRule, type Usage } from '../../src-ts/process/recycle.ts'

const nothing: Usage = { requests: 0, heapBytes: 0, ageMs: 0 }
const isOver = (rule: RecycleRule, usage: Partial<Usage>, random = 0): boolean => new LifeSpan(rule, () => random).isOver({ ...nothing, ...usage })

test('without a rule no life is limited', (t) => {
  const span = new LifeSpan({ requests: 0, grace: 0, heapMb: 0, age: 0 })
  t.false(span.isLimited)
  t.false(span.isOver({ requests: 1e9, heapBytes: 1e12, ageMs: 1e12 }))
})

test('requests end a life at the limit plus 1 to `grace`', (t) => {
  const rule = { requests: 100, grace: 50 }
  t.false(isOver(rule, { requests: 100 }))
  t.true(isOver(rule, { requests: 101 }))
  t.false(isOver(rule, { requests: 149 }, 0.999))
  t.true(isOver(rule, { requests: 150 }, 0.999))
})

test('`grace` is half of the requests when they are over 10, else none', (t) => {
  t.false(isOver({ requests: 11 }, { requests: 15 }, 0.999))
  t.true(isOver({ requests: 11 }, { requests: 16 }, 0.999))
  t.true(isOver({ requests: 10 }, { requests: 10 }, 0.999))
  t.false(isOver({ requests: 10 }, { requests: 9 }, 0.999))
})

test('heap ends a life at its limit', (t) => {
  t.false(isOver({ heapMb: 64 }, { heapBytes: 64 * 1024 * 1024 - 1 }))
  t.true(isOver({ heapMb: 64 }, { heapBytes: 64 * 1024 * 1024 }))
})

test('age ends a life, stretched by up to a tenth', (t) => {
  t.true(isOver({ age: 1_000 }, { ageMs: 1_000 }, 0))
  t.false(isOver({ age: 1_000 }, { ageMs: 1_049 }, 0.5))
  t.true(isOver({ age: 1_000 }, { ageMs: 1_050 }, 0.5))
})
