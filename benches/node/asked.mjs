/** Somebody else's service that says yes, by HTTPS, run by http.mjs. Usage: asked.mjs KEY CERTIFICATE. */

import { readFileSync } from "node:fs";
import { createServer } from "node:https";

const [key, cert] = process.argv.slice(2).map((file) => readFileSync(file));

const server = createServer({ key, cert, keepAliveTimeout: 60_000 }, (req, res) => {
  req.resume();
  req.on("end", () => {
    const answer = JSON.stringify({ allowed: true });
    res.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(answer) });
    res.end(answer);
  });
});
server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
process.on("disconnect", () => process.exit());
