// Learning curves, and the returns of played episodes.

import { contextOf, count, short, themed } from "./colors.js";

/** Round numbers between two, about n of them. */
function ticks(low, high, n) {
  const rough = (high - low) / n || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((k) => k * power >= rough) * power;
  const list = [];
  for (let at = Math.ceil(low / step) * step; at <= high + 1e-9 * step; at += step) list.push(at);
  return list;
}

/** Means over a twentieth of the points around each. */
function smoothed(points) {
  const half = Math.floor(points.length / 40), sums = [0];
  for (const [, y] of points) sums.push(sums.at(-1) + y);
  return points.map(([x], i) => {
    const from = Math.max(i - half, 0), to = Math.min(i + half + 1, points.length);
    return [x, (sums[to] - sums[from]) / (to - from)];
  });
}

/** The range of what is shown: most of the points and the optimum, with a margin. */
function rangeOf(series, optimum) {
  const all = series.flatMap(({ points }) => points.map(([, y]) => y)).sort((a, b) => a - b);
  if (optimum !== null) all.push(optimum);
  if (!all.length) return [-1, 1];
  let low = Math.min(all[Math.floor(all.length * 0.08)], all.at(-1)), high = Math.max(...all);
  if (optimum !== null) [low, high] = [Math.min(low, optimum), Math.max(high, optimum)];
  if (high - low < 1e-6) [low, high] = [low - 0.05 * Math.max(Math.abs(low), 1), high + 0.05 * Math.max(Math.abs(high), 1)];
  return [low - (high - low) * 0.06, high + (high - low) * 0.16];
}

/**
 * Draws curves: series of {name, points: [x, y][], color, marker}, thin as they are and thick as means over a twentieth of
 * them; the optimum as a dashed line if it is a number.
 * Names stand at the ends of curves, so that colours need not be told apart.
 */
export function drawCurves(canvas, given, optimum, logarithmic) {
  const series = given.map((one) => ({ ...one, raw: one.points, points: smoothed(one.points) }));
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width) return;
  const ctx = contextOf(canvas, width, height);
  ctx.clearRect(0, 0, width, height);
  const px = parseFloat(getComputedStyle(document.documentElement).fontSize) * 0.8;
  const box = { left: px * 3.4, right: width - 6, top: px * 0.7, bottom: height - px * 2.6 };
  const last = Math.max(10, ...series.map(({ points }) => points.at(-1)?.[0] ?? 0));
  const [low, high] = rangeOf(series, optimum);
  const share = logarithmic ? (x) => Math.log(Math.max(x, 1)) / Math.log(last) : (x) => x / last;
  const X = (x) => box.left + share(x) * (box.right - box.left);
  const Y = (y) => box.bottom - ((Math.min(Math.max(y, low), high) - low) / (high - low)) * (box.bottom - box.top);
  ctx.font = `${px}px system-ui, "DejaVu Sans", sans-serif`;
  ctx.fillStyle = themed("--quiet");
  ctx.strokeStyle = themed("--line");
  ctx.lineWidth = 1;
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  for (const y of ticks(low, high, 4)) {
    ctx.beginPath();
    ctx.moveTo(box.left, Y(y));
    ctx.lineTo(box.right, Y(y));
    ctx.stroke();
    ctx.fillText(short(y), box.left - 5, Y(y));
  }
  ctx.textBaseline = "top";
  const decades = Array.from({ length: Math.floor(Math.log10(last)) + 1 }, (_, k) => 10 ** k);
  for (const x of logarithmic ? decades : ticks(0, last, Math.max(2, Math.floor(width / (6.5 * px))))) {
    ctx.textAlign = X(x) > box.right - 2 * px ? "right" : "center";
    ctx.fillText(count(x), X(x), box.bottom + 5);
  }
  ctx.textAlign = "right";
  ctx.fillText("episodes", box.right, box.bottom + 5 + 1.15 * px);
  if (optimum !== null) {
    ctx.setLineDash([7, 5]);
    ctx.strokeStyle = ctx.fillStyle = themed("--ink");
    ctx.lineWidth = 1.6;
    ctx.beginPath();
    ctx.moveTo(box.left, Y(optimum));
    ctx.lineTo(box.right, Y(optimum));
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.textAlign = "left";
    ctx.textBaseline = Y(optimum) - box.top > 1.1 * px ? "bottom" : "top";
    ctx.fillText(`optimum ${short(optimum)}`, box.left + 5, Y(optimum) + (ctx.textBaseline === "top" ? 3 : -3));
  }
  series.forEach((one) => drawSeries(ctx, one, X, Y, box));
  nameEnds(ctx, series.filter(({ name, points }) => name && points.length), X, Y, box, px);
}

function drawSeries(ctx, { raw, points, color, marker }, X, Y) {
  if (!points.length) return;
  ctx.strokeStyle = ctx.fillStyle = color;
  ctx.lineJoin = "round";
  for (const [line, width, alpha] of [[raw, 1, 0.35], [points, 2.4, 1]]) {
    ctx.lineWidth = width;
    ctx.globalAlpha = alpha;
    ctx.beginPath();
    line.forEach(([x, y], i) => (i ? ctx.lineTo(X(x), Y(y)) : ctx.moveTo(X(x), Y(y))));
    ctx.stroke();
  }
  const every = Math.max(1, Math.floor(points.length / 7));
  points.forEach(([x, y], i) => {
    if (i % every && i !== points.length - 1) return;
    ctx.beginPath();
    if (marker === "square") ctx.rect(X(x) - 4, Y(y) - 4, 8, 8);
    else ctx.arc(X(x), Y(y), 4, 0, 2 * Math.PI);
    ctx.fill();
  });
}

/** Writes each name near the end of its curve, none over another. */
function nameEnds(ctx, series, X, Y, box, px) {
  const places = series.map(({ name, points, color }) => ({ name, color, y: Y(points.at(-1)[1]) + 1.1 * px }));
  places.sort((a, b) => a.y - b.y);
  places.forEach((place, i) => {
    if (i) place.y = Math.max(place.y, places[i - 1].y + 1.25 * px);
  });
  const over = places.length ? places.at(-1).y - (box.bottom - 0.7 * px) : 0;
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  ctx.font = `700 ${px * 1.05}px system-ui, "DejaVu Sans", sans-serif`;
  for (const place of places) {
    const y = place.y - Math.max(over, 0);
    ctx.lineWidth = 4;
    ctx.lineJoin = "round";
    ctx.strokeStyle = themed("--card");
    ctx.strokeText(place.name, box.right - 4, y);
    ctx.fillStyle = place.color;
    ctx.fillText(place.name, box.right - 4, y);
  }
}
