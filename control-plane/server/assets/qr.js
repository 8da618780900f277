// QR codes (ISO/IEC 18004): bytes at error correction level L or M, the smallest version that fits. The config with the
// private key is drawn here, in the browser, so that the key goes nowhere to become a picture.

const LEVELS = {
  // `bits`: the level in the format information. Per version from 1: codewords of error correction a block, and blocks
  // (ISO/IEC 18004 table 9).
  L: {
    bits: 1,
    correction: [7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28, 28, 28, 30, 30, 26, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30],
    blocks: [1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8, 8, 9, 9, 10, 12, 12, 12, 13, 14, 15, 16, 17, 18, 19, 19, 20, 21, 22, 24, 25],
  },
  M: {
    bits: 0,
    correction: [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26, 26, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28],
    blocks: [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21, 23, 25, 26, 28, 29, 31, 33, 35, 37, 38, 40, 43, 45, 47, 49],
  },
};
const VERSION_MAX = 40;
const MASKS = [
  (x, y) => (x + y) % 2 === 0,
  (x, y) => y % 2 === 0,
  (x, y) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/** Encodes bytes and returns rows of booleans, `true` for dark, without the quiet zone. */
export function encode(bytes, { level = "L", mask } = {}) {
  const version = smallestVersion(bytes.length, level);
  const codewords = interleaved(dataCodewords(bytes, version, level), version, level);
  const blank = functionPatterns(version);
  place(blank, codewords);
  const masks = mask === undefined ? MASKS.keys() : [mask];
  let best;
  for (const number of masks) {
    const rows = masked(blank, number);
    writeFormat(rows, LEVELS[level].bits, number);
    const cost = penalty(rows);
    if (!best || cost < best.cost) best = { rows, cost };
  }
  return best.rows;
}

/** Draws rows as an SVG element, with the quiet zone of four modules around them. */
export function svg(rows) {
  const quiet = 4;
  const side = rows.length + 2 * quiet;
  let path = "";
  rows.forEach((row, y) => row.forEach((dark, x) => { if (dark) path += `M${x + quiet},${y + quiet}h1v1h-1z`; }));
  const element = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const picture = element("svg", { viewBox: `0 0 ${side} ${side}`, role: "img", "shape-rendering": "crispEdges" });
  picture.append(element("rect", { width: side, height: side, fill: "#fff" }), element("path", { d: path, fill: "#000" }));
  return picture;
}

const sizeOf = (version) => version * 4 + 17;

function smallestVersion(length, level) {
  for (let version = 1; version <= VERSION_MAX; version++) {
    if (4 + lengthBits(version) + 8 * length <= 8 * dataLength(version, level)) return version;
  }
  throw new RangeError("the text is too long for a QR code");
}

const lengthBits = (version) => (version < 10 ? 8 : 16);

/** Modules for data and error correction, in whole bytes (ISO/IEC 18004 table 1). */
function codewordsOf(version) {
  let modules = (16 * version + 128) * version + 64;
  if (version >= 2) {
    const alignments = Math.floor(version / 7) + 2;
    modules -= (25 * alignments - 10) * alignments - 55;
    if (version >= 7) modules -= 36;
  }
  return Math.floor(modules / 8);
}

function dataLength(version, level) {
  const { correction, blocks } = LEVELS[level];
  return codewordsOf(version) - correction[version - 1] * blocks[version - 1];
}

function dataCodewords(bytes, version, level) {
  const capacity = dataLength(version, level);
  const bits = [];
  const push = (value, count) => { for (let at = count - 1; at >= 0; at--) bits.push((value >>> at) & 1); };
  push(4, 4);
  push(bytes.length, lengthBits(version));
  for (const byte of bytes) push(byte, 8);
  push(0, Math.min(4, capacity * 8 - bits.length));
  push(0, (8 - (bits.length % 8)) % 8);
  const words = [];
  for (let at = 0; at < bits.length; at += 8) words.push(bits.slice(at, at + 8).reduce((sum, bit) => sum * 2 + bit, 0));
  for (let pad = 0xec; words.length < capacity; pad ^= 0xec ^ 0x11) words.push(pad);
  return words;
}

/** Multiplication in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1. */
function times(one, other) {
  let product = 0;
  for (let bit = 7; bit >= 0; bit--) {
    product = (product << 1) ^ ((product >>> 7) * 0x11d);
    product ^= ((other >>> bit) & 1) * one;
  }
  return product;
}

function generator(degree) {
  const coefficients = Array(degree).fill(0);
  coefficients[degree - 1] = 1;
  let root = 1;
  for (let round = 0; round < degree; round++) {
    for (let at = 0; at < degree; at++) {
      coefficients[at] = times(coefficients[at], root);
      if (at + 1 < degree) coefficients[at] ^= coefficients[at + 1];
    }
    root = times(root, 2);
  }
  return coefficients;
}

function remainder(data, divisor) {
  const rest = Array(divisor.length).fill(0);
  for (const byte of data) {
    const factor = byte ^ rest.shift();
    rest.push(0);
    divisor.forEach((coefficient, at) => { rest[at] ^= times(coefficient, factor); });
  }
  return rest;
}

function interleaved(data, version, level) {
  const { correction, blocks } = LEVELS[level];
  const [correctionLength, count] = [correction[version - 1], blocks[version - 1]];
  const total = codewordsOf(version);
  const shortBlocks = count - (total % count);
  const shortLength = Math.floor(total / count) - correctionLength;
  const divisor = generator(correctionLength);
  const parts = [];
  for (let block = 0, from = 0; block < count; block++) {
    const length = shortLength + (block < shortBlocks ? 0 : 1);
    const words = data.slice(from, from + length);
    parts.push({ words, rest: remainder(words, divisor) });
    from += length;
  }
  const mixed = [];
  for (let at = 0; at <= shortLength; at++) for (const { words } of parts) if (at < words.length) mixed.push(words[at]);
  for (let at = 0; at < correctionLength; at++) for (const { rest } of parts) mixed.push(rest[at]);
  return mixed;
}

/** Finders, timing, alignment and version; `undefined` where data goes, `null` where the format information goes. */
function functionPatterns(version) {
  const size = sizeOf(version);
  const rows = Array.from({ length: size }, () => Array(size).fill(undefined));
  const set = (x, y, dark) => { if (x >= 0 && y >= 0 && x < size && y < size) rows[y][x] = dark; };
  for (let at = 0; at < size; at++) { set(6, at, at % 2 === 0); set(at, 6, at % 2 === 0); }
  for (const [cx, cy] of [[3, 3], [size - 4, 3], [3, size - 4]]) {
    for (let dy = -4; dy <= 4; dy++) for (let dx = -4; dx <= 4; dx++) {
      const ring = Math.max(Math.abs(dx), Math.abs(dy));
      set(cx + dx, cy + dy, ring !== 2 && ring !== 4);
    }
  }
  const centres = alignmentCentres(version);
  const last = centres.length - 1;
  centres.forEach((cy, row) => centres.forEach((cx, column) => {
    if ((row === 0 && (column === 0 || column === last)) || (row === last && column === 0)) return;
    for (let dy = -2; dy <= 2; dy++) for (let dx = -2; dx <= 2; dx++) {
      set(cx + dx, cy + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
    }
  }));
  for (let at = 0; at < 9; at++) {
    if (rows[at][8] === undefined) rows[at][8] = null;
    if (rows[8][at] === undefined) rows[8][at] = null;
    if (at < 8) { rows[8][size - 1 - at] = null; rows[size - 1 - at][8] = null; }
  }
  if (version >= 7) {
    let rest = version;
    for (let round = 0; round < 12; round++) rest = (rest << 1) ^ ((rest >>> 11) * 0x1f25);
    const bits = (version << 12) | rest;
    for (let at = 0; at < 18; at++) {
      const dark = ((bits >>> at) & 1) === 1;
      const [far, near] = [size - 11 + (at % 3), Math.floor(at / 3)];
      set(far, near, dark);
      set(near, far, dark);
    }
  }
  return rows;
}

function alignmentCentres(version) {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const step = Math.floor((version * 8 + count * 3 + 5) / (count * 4 - 4)) * 2;
  const centres = [6];
  for (let at = sizeOf(version) - 7; centres.length < count; at -= step) centres.splice(1, 0, at);
  return centres;
}

/** Writes the codewords upwards and downwards in columns of two, from the right. Data is marked as 0 and 1. */
function place(rows, codewords) {
  const size = rows.length;
  let bit = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step++) {
      const y = ((right + 1) & 2) === 0 ? size - 1 - step : step;
      for (const x of [right, right - 1]) {
        if (rows[y][x] !== undefined) continue;
        // What is left over after the last codeword stays light.
        rows[y][x] = bit < codewords.length * 8 ? (codewords[bit >>> 3] >>> (7 - (bit & 7))) & 1 : 0;
        bit++;
      }
    }
  }
}

function masked(rows, number) {
  const inverts = MASKS[number];
  return rows.map((row, y) => row.map((module, x) => (typeof module === "number" ? (module === 1) !== inverts(x, y) : module)));
}

function writeFormat(rows, levelBits, mask) {
  const size = rows.length;
  const data = (levelBits << 3) | mask;
  let rest = data;
  for (let round = 0; round < 10; round++) rest = (rest << 1) ^ ((rest >>> 9) * 0x537);
  const bits = ((data << 10) | rest) ^ 0x5412;
  const bit = (at) => ((bits >>> at) & 1) === 1;
  for (let at = 0; at <= 5; at++) rows[at][8] = bit(at);
  rows[7][8] = bit(6);
  rows[8][8] = bit(7);
  rows[8][7] = bit(8);
  for (let at = 9; at < 15; at++) rows[8][14 - at] = bit(at);
  for (let at = 0; at < 8; at++) rows[8][size - 1 - at] = bit(at);
  for (let at = 8; at < 15; at++) rows[size - 15 + at][8] = bit(at);
  rows[size - 8][8] = true;
}

/** How hard a symbol is to read (ISO/IEC 18004 section 7.8.3); the lowest wins. */
function penalty(rows) {
  const size = rows.length;
  const columns = rows.map((_, x) => rows.map((row) => row[x]));
  let cost = 0;
  for (const line of [...rows, ...columns]) {
    let text = "";
    let run = 0;
    line.forEach((dark, at) => {
      text += dark ? "1" : "0";
      run = at > 0 && dark === line[at - 1] ? run + 1 : 1;
      if (run === 5) cost += 3;
      else if (run > 5) cost += 1;
    });
    for (const finder of ["10111010000", "00001011101"]) {
      for (let at = text.indexOf(finder); at >= 0; at = text.indexOf(finder, at + 1)) cost += 40;
    }
  }
  let dark = 0;
  for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) {
    if (rows[y][x]) dark++;
    if (x + 1 < size && y + 1 < size && rows[y][x] === rows[y][x + 1] && rows[y][x] === rows[y + 1][x] && rows[y][x] === rows[y + 1][x + 1]) cost += 3;
  }
  return cost + Math.floor(Math.abs(dark * 20 - size * size * 10) / (size * size)) * 10;
}
