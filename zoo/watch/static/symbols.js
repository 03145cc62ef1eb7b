// What each kind of cell looks like; every symbol has a shape of its own.

import { themed } from "./colors.js";

export const WALL = "#", FREE = ".", START = "S", GOAL = "G", HOLE = "H", CLIFF = "C", KEY = "K", DOOR = "D";
export const ARROWS = { "^": [-1, 0], ">": [0, 1], v: [1, 0], "<": [0, -1] };
const INK = "#20242b";

function polygon(ctx, points, fill) {
  ctx.beginPath();
  points.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.closePath();
  ctx.fillStyle = fill;
  ctx.fill();
}

function ellipse(ctx, x, y, rx, ry, fill) {
  ctx.beginPath();
  ctx.ellipse(x, y, rx, ry, 0, 0, 2 * Math.PI);
  ctx.fillStyle = fill;
  ctx.fill();
}

/** A text in the unit cell with a pale edge. */
export function label(ctx, text, x, y, size, fill = INK, edge = "#fbfbf9") {
  ctx.save();
  ctx.translate(x, y);
  ctx.scale(size / 20, size / 20);
  ctx.font = "700 20px system-ui, 'DejaVu Sans', sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.lineJoin = "round";
  if (edge) {
    ctx.lineWidth = 4;
    ctx.strokeStyle = edge;
    ctx.strokeText(text, 0, 0);
  }
  ctx.fillStyle = fill;
  ctx.fillText(text, 0, 0);
  ctx.restore();
}

/** An arrow from the centre of the unit cell, direction [rows, columns]. */
export function arrow(ctx, [rows, columns], tail, tip, width, fill) {
  const norm = Math.hypot(rows, columns);
  if (!norm) {
    ellipse(ctx, 0.5, 0.5, width, width, fill);
    return;
  }
  const [x, y] = [columns / norm, rows / norm], neck = tip - 2.4 * width, half = width / 2, wing = 1.5 * width;
  const outline = [[tail, -half], [neck, -half], [neck, -wing], [tip, 0], [neck, wing], [neck, half], [tail, half]];
  polygon(ctx, outline.map(([along, aside]) => [0.5 + along * x - aside * y, 0.5 + along * y + aside * x]), fill);
}

const DRAW = {
  [WALL](ctx) {
    ctx.fillStyle = themed("--wall");
    ctx.fillRect(0, 0, 1, 1);
    ctx.strokeStyle = "rgb(0 0 0 / 0.3)";
    ctx.lineWidth = 0.03;
    ctx.beginPath();
    for (let row = 0; row < 4; row++) {
      ctx.moveTo(0, row / 4);
      ctx.lineTo(1, row / 4);
      for (const x of row % 2 ? [0.25, 0.75] : [0, 0.5]) {
        ctx.moveTo(x, row / 4);
        ctx.lineTo(x, (row + 1) / 4);
      }
    }
    ctx.stroke();
  },
  [GOAL](ctx) {
    ellipse(ctx, 0.42, 0.84, 0.2, 0.06, "rgb(0 158 115 / 0.35)");
    ctx.fillStyle = themed("--ink");
    ctx.fillRect(0.38, 0.12, 0.06, 0.72);
    polygon(ctx, [[0.44, 0.12], [0.86, 0.28], [0.44, 0.46]], "#009e73");
  },
  [HOLE](ctx) {
    ellipse(ctx, 0.5, 0.5, 0.4, 0.34, "#d55e00");
    ellipse(ctx, 0.5, 0.53, 0.34, 0.27, "#101216");
  },
  [CLIFF](ctx) {
    ctx.fillStyle = "#31201a";
    ctx.fillRect(0, 0, 1, 1);
    polygon(ctx, [[0, 1], [0, 0.5], [0.2, 0.32], [0.4, 0.6], [0.62, 0.3], [0.82, 0.62], [1, 0.5], [1, 1]], "#8d4a2b");
    polygon(ctx, [[0, 1], [0, 0.78], [0.26, 0.62], [0.5, 0.86], [0.74, 0.64], [1, 0.8], [1, 1]], "#c07a4f");
  },
  [START](ctx) {
    label(ctx, "S", 0.5, 0.53, 0.62, "#0072b2");
  },
  [KEY](ctx) {
    ctx.strokeStyle = "#b8860b";
    ctx.lineWidth = 0.1;
    ctx.beginPath();
    ctx.arc(0.3, 0.5, 0.14, 0, 2 * Math.PI);
    ctx.moveTo(0.44, 0.5);
    ctx.lineTo(0.88, 0.5);
    ctx.moveTo(0.7, 0.5);
    ctx.lineTo(0.7, 0.66);
    ctx.moveTo(0.84, 0.5);
    ctx.lineTo(0.84, 0.68);
    ctx.stroke();
  },
  [DOOR](ctx) {
    ctx.fillStyle = INK;
    ctx.fillRect(0.14, 0.06, 0.72, 0.92);
    ctx.fillStyle = "#a9743b";
    ctx.fillRect(0.2, 0.12, 0.6, 0.86);
    ellipse(ctx, 0.5, 0.5, 0.09, 0.09, INK);
    polygon(ctx, [[0.46, 0.5], [0.54, 0.5], [0.58, 0.74], [0.42, 0.74]], INK);
  },
};

/** Draws what lies in a cell of the unit square: a letter of the map, or "wind", "reward" with a value. */
export function drawSymbol(ctx, name, value) {
  if (name === "wind") {
    const up = value > 0 ? 1 : -1, n = Math.min(Math.abs(value), 3);
    ctx.strokeStyle = "#2e86c1";
    ctx.lineWidth = 0.07;
    ctx.lineCap = ctx.lineJoin = "round";
    ctx.beginPath();
    for (let i = 0; i < n; i++) {
      const y = 0.5 + 0.17 * (i - (n - 1) / 2) * 1.3;
      ctx.moveTo(0.24, y + 0.09 * up);
      ctx.lineTo(0.5, y - 0.09 * up);
      ctx.lineTo(0.76, y + 0.09 * up);
    }
    ctx.stroke();
  } else if (name === "reward") {
    label(ctx, (value > 0 ? "+" : "") + String(value).replace("-", "−"), 0.5, 0.5, 0.36);
  } else if (name in ARROWS) {
    arrow(ctx, ARROWS[name], -0.4, 0.42, 0.24, "#8b4fa8");
  } else if (name in DRAW) DRAW[name](ctx);
}

/** The agent: a face, so that it is not taken for anything on the map. */
export function drawAgent(ctx) {
  ellipse(ctx, 0.5, 0.5, 0.37, 0.37, INK);
  ellipse(ctx, 0.5, 0.5, 0.345, 0.345, "#ffffff");
  ellipse(ctx, 0.5, 0.5, 0.29, 0.29, "#d55e00");
  for (const x of [0.4, 0.6]) {
    ellipse(ctx, x, 0.45, 0.065, 0.085, "#ffffff");
    ellipse(ctx, x, 0.465, 0.034, 0.045, INK);
  }
}
