// Velocities along a line: depth downwards in a well, distance across along any other line.

import { shown, ticks } from "./colours.js";

/** Points of a line [x0, z0, x1, z1] in metres, with the distance from its beginning. */
export function pointsAlong([x0, z0, x1, z1], count) {
  const length = Math.hypot(x1 - x0, z1 - z0);
  return Array.from({ length: count }, (_, k) => {
    const share = k / Math.max(1, count - 1);
    return { x: x0 + share * (x1 - x0), z: z0 + share * (z1 - z0), at: share * length };
  });
}

/** Draw curves { name, values } over the points of a line; `zName` is what z is called. */
export function drawProfile(canvas, line, points, curves, unit, zName) {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d"), style = getComputedStyle(canvas);
  const ink = style.getPropertyValue("--ink"), quiet = style.getPropertyValue("--quiet");
  const grid = style.getPropertyValue("--line");
  const colours = [style.getPropertyValue("--accent"), style.getPropertyValue("--second")];
  context.scale(ratio, ratio);
  const known = curves.flatMap((curve) => curve.values.filter(Number.isFinite));
  if (!known.length) return;
  const vertical = line[0] === line[2];
  const start = vertical ? line[1] : 0, end = vertical ? line[3] : points.at(-1).at;
  let low = Math.min(...known), high = Math.max(...known);
  const spare = (high - low || Math.abs(high) * 0.1 || 1) * 0.05;
  low -= spare;
  high += spare;
  const area = { left: 64, top: 10, width: width - 84, height: height - 48 };
  const across = vertical ? [low, high] : [start, end], down = vertical ? [start, end] : [high, low];
  const toX = (value) => area.left + ((value - across[0]) / (across[1] - across[0])) * area.width;
  const toY = (value) => area.top + ((value - down[0]) / (down[1] - down[0])) * area.height;
  context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  context.lineWidth = 1;
  context.strokeStyle = grid;
  context.fillStyle = ink;
  const marks = (ends, count) => ticks(Math.min(...ends), Math.max(...ends), count);
  const horizontal = marks(across, area.width / 64), upright = marks(down, area.height / 36);
  context.beginPath();
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const value of horizontal.values) {
    context.moveTo(toX(value), area.top);
    context.lineTo(toX(value), area.top + area.height);
    context.fillText(shown(value, horizontal.step), toX(value), area.top + area.height + 5);
  }
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of upright.values) {
    context.moveTo(area.left, toY(value));
    context.lineTo(area.left + area.width, toY(value));
    context.fillText(shown(value, upright.step), area.left - 6, toY(value));
  }
  context.stroke();
  context.fillStyle = quiet;
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  context.fillText(vertical ? unit : "distance, m", area.left + area.width / 2, height - 6);
  context.save();
  context.translate(11, area.top + area.height / 2);
  context.rotate(-Math.PI / 2);
  context.fillText(vertical ? `${zName}, m` : unit, 0, 0);
  context.restore();
  curves.forEach((curve, number) => {
    context.strokeStyle = colours[number % 2];
    context.lineWidth = 1.8;
    context.setLineDash(number ? [6, 4] : []);
    context.beginPath();
    let drawing = false;
    points.forEach((point, k) => {
      const value = curve.values[k], along = vertical ? point.z : point.at;
      if (!Number.isFinite(value)) drawing = false;
      else {
        const place = vertical ? [toX(value), toY(along)] : [toX(along), toY(value)];
        if (drawing) context.lineTo(...place);
        else context.moveTo(...place);
        drawing = true;
      }
    });
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = colours[number % 2];
    context.textAlign = "right";
    context.textBaseline = "top";
    context.fillText(`${number ? "– –" : "——"} ${curve.name}`, area.left + area.width - 6, area.top + 6 + 17 * number);
  });
}
