// Layers of a network in WebAssembly, four points to an instruction. The module is assembled here, so
// that a page holds nothing that was compiled elsewhere.

export const POINTS = 64; // that go through a layer together: a row of values has one for each
const ROW = 4 * POINTS; // bytes
const VECTORS = 4; // of four points, whose sums stay in registers
export const TURNS = 1 / (2 * Math.PI);
const SINE = [25.1327351, -64.8346168, 67.0380336, -38.0636285, 12.0736623];

// The encoding of the module, as the binary format of the WebAssembly specification defines it.

/** A whole number, in bytes of seven bits. */
function whole(value) {
  const bytes = [];
  for (;;) {
    const low = value & 127;
    value >>= 7;
    if ((value === 0 && !(low & 64)) || (value === -1 && low & 64)) return [...bytes, low];
    bytes.push(low | 128);
  }
}

const sized = (bytes) => [...whole(bytes.length), ...bytes];
const section = (id, bytes) => [id, ...sized(bytes)];
const named = (text) => sized([...new TextEncoder().encode(text)]);
const get = (local) => [0x20, ...whole(local)], set = (local) => [0x21, ...whole(local)];
const integer = (value) => [0x41, ...whole(value)], PLUS = [0x6a], LESS = [0x48], SHIFTED = [0x74];
const vector = (code) => [0xfd, ...(code < 128 ? [code] : [(code & 127) | 128, code >> 7])];
const load = (offset) => [...vector(0), 4, ...whole(offset)];
const spread = (offset) => [...vector(9), 2, ...whole(offset)]; // one float in all four places
const store = (offset) => [...vector(11), 4, ...whole(offset)];
const constant = (value) => [...vector(12), ...new Uint8Array(new Float32Array(4).fill(value).buffer)];
const NEAREST = vector(0x6a), SUM = vector(0xe4), DIFFERENCE = vector(0xe5), PRODUCT = vector(0xe6);
const forward = (local, by) => [...get(local), ...by, ...PLUS, ...set(local)];
/** Instructions that are repeated as long as the last of them leaves a number other than zero. */
const loop = (...body) => [0x03, 0x40, ...body.flat(), 0x0d, 0, 0x0b];
const when = (local, ...body) => [...get(local), 0x04, 0x40, ...body.flat(), 0x0b];

/**
 * The function layer(W, bias, inputs, out, m, n, turned): out (n, POINTS) = W (n, m) inputs (m, POINTS)
 * + bias (n), and if `turned` its sine; n is even, and all are places of floats in the memory.
 */
function assemble() {
  const [W, bias, inputs, out, m, n, turned] = [0, 1, 2, 3, 4, 5, 6]; // what it is given
  const [point, row, left, u, v, h, to, b, width] = [7, 8, 9, 10, 11, 12, 13, 14, 15]; // integers
  const first = 16, sums = Array.from({ length: 2 * VECTORS }, (_, k) => first + k);
  const [x, y, t, r] = [0, 1, 2, 3].map((k) => first + 2 * VECTORS + k);
  const each = (of) => sums.flatMap((sum, k) => of(sum, k % VECTORS, k < VECTORS));
  const sine = (sum) => [
    ...get(sum), ...constant(TURNS), ...PRODUCT, ...set(t),
    ...get(t), ...get(t), ...NEAREST, ...DIFFERENCE, ...set(r),
    ...get(r), ...get(r), ...PRODUCT, ...set(t), // r²
    ...constant(SINE[4]),
    ...[3, 2, 1, 0].flatMap((k) => [...get(t), ...PRODUCT, ...constant(SINE[k]), ...SUM]),
    ...constant(0.25), ...get(t), ...DIFFERENCE, ...PRODUCT, ...get(r), ...PRODUCT, ...set(sum),
  ];
  const moved = (from) => [...get(from), ...get(point), ...PLUS];
  const body = [
    ...get(m), ...integer(2), ...SHIFTED, ...set(width),
    ...loop(
      [...moved(out), ...set(to), ...get(W), ...set(u), ...get(bias), ...set(b), ...integer(0), ...set(row)],
      loop(
        each((sum, _, upper) => [...get(b), ...spread(upper ? 0 : 4), ...set(sum)]),
        [...get(u), ...get(width), ...PLUS, ...set(v), ...moved(inputs), ...set(h), ...get(m), ...set(left)],
        loop(
          [...get(u), ...spread(0), ...set(x), ...get(v), ...spread(0), ...set(y)],
          Array.from({ length: VECTORS }, (_, k) => [
            ...get(h), ...load(16 * k), ...set(t),
            ...get(sums[k]), ...get(x), ...get(t), ...PRODUCT, ...SUM, ...set(sums[k]),
            ...get(sums[k + VECTORS]), ...get(y), ...get(t), ...PRODUCT, ...SUM, ...set(sums[k + VECTORS]),
          ]).flat(),
          [...forward(u, integer(4)), ...forward(v, integer(4)), ...forward(h, integer(ROW)), ...forward(left, integer(-1))],
          get(left),
        ),
        when(turned, sums.flatMap(sine)),
        each((sum, k, upper) => [...get(to), ...get(sum), ...store(16 * k + (upper ? 0 : ROW))]),
        [...get(v), ...set(u), ...forward(b, integer(8)), ...forward(to, integer(2 * ROW)), ...forward(row, integer(2))],
        [...get(row), ...get(n), ...LESS],
      ),
      [...forward(point, integer(16 * VECTORS)), ...get(point), ...integer(ROW), ...LESS],
    ),
    0x0b,
  ];
  const INTEGER = 0x7f, VECTOR = 0x7b, locals = [2, 9, INTEGER, sums.length + 4, VECTOR];
  return new Uint8Array([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, 7, ...Array(7).fill(INTEGER), 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]), // a memory of one page, which grows
    ...section(7, [2, ...named("layer"), 0, 0, ...named("memory"), 2, 0]),
    ...section(10, [1, ...sized([...locals, ...body])]),
  ]);
}

/** Room for weights and values, and layers between them. */
export class Layers {
  constructor() {
    this.program = new WebAssembly.Instance(new WebAssembly.Module(assemble())).exports;
    this.size = 0;
  }

  /** Room for so many floats; gives its place. */
  room(floats) {
    const at = this.size, { memory } = this.program;
    this.size += 4 * (floats + (-floats & 3));
    const missing = this.size - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    return at;
  }

  /** The floats at a place, until more room is taken. */
  floats(at, count) {
    return new Float32Array(this.program.memory.buffer, at, count);
  }

  /** Room for a layer of `n` rows of weights W (n, m), which are made an even number. */
  layer(n, m) {
    const even = n + (n & 1);
    return { W: this.room(even * m), bias: this.room(even), m, n: even };
  }

  fill({ W, bias, m }, weights, biases) {
    this.floats(W, biases.length * m).set(weights);
    this.floats(bias, biases.length).set(biases);
  }

  run({ W, bias, m, n }, inputs, out, turned) {
    this.program.layer(W, bias, inputs, out, m, n, turned ? 1 : 0);
  }
}
