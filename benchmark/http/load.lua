-- wrk script: `wrk … -s load.lua URL -- KIND`, KIND one of plain, pipelined, post, headers.
-- Prints one line of JSON at the end, so that nothing has to be parsed out of wrk's prose.

function init(args)
  local kind = args[1]
  if kind == "post" then
    wrk.method = "POST"
    wrk.body = string.rep("x", 1024)
    wrk.headers["content-type"] = "application/octet-stream"
  elseif kind == "headers" then
    wrk.headers["accept"] = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
    wrk.headers["accept-encoding"] = "gzip, deflate, br"
    wrk.headers["accept-language"] = "en-GB,en;q=0.5"
    wrk.headers["authorization"] = "Bearer 0123456789abcdef0123456789abcdef"
    wrk.headers["cookie"] = "sid=0123456789abcdef; theme=dark"
    wrk.headers["user-agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    wrk.headers["x-request-id"] = "0f8fad5b-d9cb-469f-a165-70867728950e"
  end
  if kind == "pipelined" then
    local batch = string.rep(wrk.format(), 16)
    request = function() return batch end
  end
end

-- wrk's correction for stalled connections can leave fewer entries in its histogram than it counts; the percentile it
-- then cannot find comes out as 0, which no request ever takes.
local function percentile(latency, p)
  local micros = latency:percentile(p)
  return micros > 0 and string.format("%.1f", micros) or "null"
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"micros":%d,"p50":%s,"p99":%s,"max":%.1f,"socketErrors":%d,"badStatus":%d}\n',
    summary.requests, summary.duration, percentile(latency, 50), percentile(latency, 99), latency.max,
    errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
