// Lines of equal value, by marching squares between the centres of pixels.

/** Trace lines at multiples of `step` of values (nz, nx) as a path in pixels of the values. */
export function contourPath(values, nz, nx, step) {
  const path = new Path2D();
  const cut = (a, b, level) => (level - a) / (b - a);
  for (let z = 0; z + 1 < nz; z++) {
    for (let x = 0; x + 1 < nx; x++) {
      const i = z * nx + x;
      const a = values[i], b = values[i + 1], c = values[i + nx + 1], d = values[i + nx];
      const low = Math.min(a, b, c, d), high = Math.max(a, b, c, d);
      if (!(high > low)) continue;
      for (let k = Math.floor(low / step) + 1; k * step <= high; k++) {
        const level = k * step;
        const ends = [];
        if (a < level !== b < level) ends.push(x + cut(a, b, level), z);
        if (b < level !== c < level) ends.push(x + 1, z + cut(b, c, level));
        if (c < level !== d < level) ends.push(x + cut(d, c, level), z + 1);
        if (d < level !== a < level) ends.push(x, z + cut(a, d, level));
        for (let e = 0; e + 3 < ends.length; e += 4) {
          path.moveTo(ends[e] + 0.5, ends[e + 1] + 0.5);
          path.lineTo(ends[e + 2] + 0.5, ends[e + 3] + 0.5);
        }
      }
    }
  }
  return path;
}

/** Magnitude of the gradient of values (nz, nx) whose pixels are dz and dx metres apart, in 1/s. */
export function gradientOf(values, nz, nx, dz, dx) {
  const out = new Float32Array(values.length);
  for (let z = 0; z < nz; z++) {
    const up = z > 0 ? -nx : 0, down = z + 1 < nz ? nx : 0;
    for (let x = 0; x < nx; x++) {
      const i = z * nx + x;
      const left = x > 0 ? -1 : 0, right = x + 1 < nx ? 1 : 0;
      const gx = right > left ? (values[i + right] - values[i + left]) / ((right - left) * dx) : 0;
      const gz = down > up ? ((values[i + down] - values[i + up]) * nx) / ((down - up) * dz) : 0;
      out[i] = Math.hypot(gx, gz);
    }
  }
  return out;
}
