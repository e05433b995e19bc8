export default { fetch: (req, ctx) => ctx.file(req.url.slice(req.url.lastIndexOf('/') + 1)) }
