// The portal's QR encoder beside the library that the command line draws with: `node --test` runs it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { encode } from "../qr.js";

const examples = readFileSync(new URL("qr-examples.txt", import.meta.url), "utf8").split("\n\n");
const text = (rows) => rows.map((row) => row.map((dark) => (dark ? "1" : "0")).join("")).join("\n");

for (const example of examples) {
  const [quoted, mask, ...rows] = example.trimEnd().split("\n");
  const bytes = new TextEncoder().encode(JSON.parse(quoted));
  test(`${bytes.length} bytes are drawn as the library draws them`, () => {
    assert.equal(text(encode(bytes, { mask: Number(mask) })), rows.join("\n"));
    // Without being told the mask it takes the one that reads best, and nothing else changes.
    assert.equal(encode(bytes).length, rows.length);
  });
}

test("the largest code takes 2,953 bytes and not one more", () => {
  assert.equal(encode(new Uint8Array(2953)).length, 177);
  assert.throws(() => encode(new Uint8Array(2954)), RangeError);
});

test("every version has its codewords", () => {
  for (let length = 1; length < 2953; length += 53) {
    for (const level of ["L", "M"]) {
      if (level === "M" && length > 2331) continue;
      const rows = encode(new Uint8Array(length).fill(0x55), { level, mask: 0 });
      assert.ok(rows.every((row) => row.length === rows.length && row.every((dark) => typeof dark === "boolean")));
    }
  }
});
