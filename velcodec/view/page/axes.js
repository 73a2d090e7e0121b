// Axes in metres and a colour bar around a drawing.

import { shown, ticks } from "./colours.js";

export const MARGIN = { left: 72, right: 74, top: 8, bottom: 36 };

/**
 * Axes of the area { left, top, width, height } in pixels that shows [x0, x1] and [z0, z1], called
 * { across, down }.
 */
export function drawAxes(context, area, x0, x1, z0, z1, names, ink, quiet) {
  const across = ticks(x0, x1, area.width / 80);
  const down = ticks(z0, z1, area.height / 50);
  const far = Math.max(Math.abs(x0), Math.abs(x1), Math.abs(z0), Math.abs(z1)) >= 20000;
  const unit = far ? 1000 : 1;
  context.strokeStyle = quiet;
  context.fillStyle = ink;
  context.lineWidth = 1;
  context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  context.strokeRect(area.left + 0.5, area.top + 0.5, area.width - 1, area.height - 1);
  context.beginPath();
  context.textAlign = "center";
  context.textBaseline = "top";
  const bottom = area.top + area.height;
  for (const x of across.values) {
    const at = area.left + ((x - x0) / (x1 - x0)) * area.width;
    context.moveTo(at, bottom);
    context.lineTo(at, bottom + 4);
    context.fillText(shown(x / unit, across.step / unit), at, bottom + 6);
  }
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const z of down.values) {
    const at = area.top + ((z - z0) / (z1 - z0)) * area.height;
    context.moveTo(area.left, at);
    context.lineTo(area.left - 4, at);
    context.fillText(shown(z / unit, down.step / unit), area.left - 6, at);
  }
  context.stroke();
  context.fillStyle = quiet;
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  context.fillText(`${names.across}, ${far ? "km" : "m"}`, area.left + area.width / 2, bottom + 32);
  context.save();
  context.translate(area.left - 60, area.top + area.height / 2);
  context.rotate(-Math.PI / 2);
  context.fillText(`${names.down}, ${far ? "km" : "m"}`, 0, 0);
  context.restore();
}

/** A colour bar right of the area, from `low` to `high`. */
export function drawBar(context, area, low, high, table, unit, ink, quiet) {
  const left = area.left + area.width + 10;
  const height = Math.min(area.height, 420);
  const top = area.top + (area.height - height) / 2 + 20;
  const tall = Math.max(20, height - 24);
  const strip = new OffscreenCanvas(1, 256);
  const image = new ImageData(1, 256);
  new Uint32Array(image.data.buffer).set([...table].reverse());
  strip.getContext("2d").putImageData(image, 0, 0);
  context.drawImage(strip, left, top, 12, tall);
  context.strokeStyle = quiet;
  context.strokeRect(left + 0.5, top + 0.5, 11, tall - 1);
  context.fillStyle = ink;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  const marks = high > low ? ticks(low, high, tall / 40) : { step: 1, values: [low] };
  for (const value of marks.values) {
    const at = top + tall * (high > low ? 1 - (value - low) / (high - low) : 0.5);
    context.fillText(shown(value, marks.step), left + 16, at);
  }
  context.fillStyle = quiet;
  context.textBaseline = "alphabetic";
  context.fillText(unit, left, top - 10);
}
