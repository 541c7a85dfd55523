// A picture of 8-bit colours as a browser writes it, as a function from a place to its colour.
import { inflateSync } from "node:zlib";

export function read(png) {
  if (png.readUInt32BE(12) !== 0x49484452) throw new Error("no PNG");
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  const [depth, kind, , , interlaced] = png.subarray(24, 29);
  const channels = { 2: 3, 6: 4 }[kind];
  if (depth !== 8 || !channels || interlaced) throw new Error("a PNG of another kind");
  const parts = [];
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    if (png.toString("latin1", at + 4, at + 8) === "IDAT") parts.push(png.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  const raw = inflateSync(Buffer.concat(parts));
  const stride = width * channels;
  const lines = [];
  for (let row = 0, before = Buffer.alloc(stride); row < height; row++) {
    const start = row * (stride + 1);
    const filter = raw[start];
    const line = Buffer.from(raw.subarray(start + 1, start + 1 + stride));
    for (let at = 0; at < stride; at++) {
      const left = at < channels ? 0 : line[at - channels];
      const corner = at < channels ? 0 : before[at - channels];
      line[at] += [0, left, before[at], (left + before[at]) >> 1, paeth(left, before[at], corner)][filter];
    }
    lines.push((before = line));
  }
  const colour = (x, y) => [...lines[Math.round(y)].subarray(Math.round(x) * channels, Math.round(x) * channels + 3)];
  return { width, height, colour };
}

function paeth(left, up, corner) {
  const [a, b, c] = [up - corner, left - corner, left + up - 2 * corner].map(Math.abs);
  return a <= b && a <= c ? left : b <= c ? up : corner;
}
