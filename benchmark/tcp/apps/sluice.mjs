// By path, because the benchmark is a package of its own; an application imports from 'sluice'.
import { defineTcp } from '../../../dist/index.js'

export default {
  ports: {
    line: defineTcp({
      data(conn, data) {
        conn.send(data)
      }
    })
  }
}
