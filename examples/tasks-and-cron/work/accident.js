// Takes its worker with it the first time it is tried: another one takes the second try, and the rest of what that worker had.
import { defineTask } from 'sluice'

export const accident = defineTask(
  'accident',
  (_, { attempt }) => {
    if (attempt === 1) process.exit(1)
    return { attempt }
  },
  { tries: 2 },
)
