import { readFileSync } from 'node:fs'
import test from 'ava'
import type { Command } from 'commander'
import { createProgram } from '../../src-ts/cli/program.ts'
import { controlMethods } from '../../src-ts/process/control.ts'

const page = readFileSync(new URL('../../docs/reference/cli.md', import.meta.url), 'utf8')
const program = createProgram([], () => {})

/** The usage of a command as the page's heading has it. */
const usage = (command: Command) => [command.name(), ...command.registeredArguments.map((argument) => (argument.required ? `<${argument.name()}>` : `[${argument.name()}]`))].join(' ')

test('docs/reference/cli.md has every command, and no other', (t) => {
  const headings = [...page.matchAll(/^## sluice (.*)$/gm)].map((match) => match[1])
  t.deepEqual(headings, [...program.commands.map(usage), 'help [command]'])
})

for (const command of program.commands) {
  test(`docs/reference/cli.md has the options of sluice ${command.name()}`, (t) => {
    const section = page.split('\n## ').find((text) => text.startsWith(`sluice ${usage(command)}\n`)) ?? ''
    const documented = [...section.matchAll(/^\| `(.*?)` \| (.*?) \|$/gm)].map(([, flags, text]) => [flags, text?.replaceAll('\\<', '<')])
    t.deepEqual(
      documented,
      command.options.map(({ flags, description }) => [flags, description]),
    )
    for (const option of command.options) {
      if (option.defaultValue !== undefined && option.defaultValue !== true) t.regex(section, new RegExp(`\\b${option.defaultValue} seconds unless given`))
    }
  })
}

test('docs/reference/cli.md lists the methods of the control socket', (t) => {
  t.true(page.includes(`methods ${controlMethods.map((method) => `\`${method}\``).join(', ')} |`))
})
