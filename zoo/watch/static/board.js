// Draws a map with what an agent, or the exact solution, knows about it.

import { color, contextOf, inkOn, short, themed } from "./colors.js";
import { ARROWS, CLIFF, GOAL, HOLE, START, WALL, arrow, drawAgent, drawSymbol, label } from "./symbols.js";

const TIE = 1e-6; // of the range of values; actions whose values differ by less are drawn as equally good

/** The values of a table: of each state the largest, and the range of those that are drawn. */
export function valuesOf(world, table, nActions) {
  const values = new Float32Array(table.length / nActions);
  for (let s = 0; s < values.length; s++) {
    let best = table[s * nActions];
    for (let a = 1; a < nActions; a++) best = Math.max(best, table[s * nActions + a]);
    values[s] = best;
  }
  let [low, high] = [Infinity, -Infinity];
  for (let s = 0; s < values.length; s++) {
    if (!world.hasValue[s % world.nCells]) continue;
    low = Math.min(low, values[s]);
    high = Math.max(high, values[s]);
  }
  return { table, values, low, high };
}

/** One canvas. */
export class Board {
  constructor(canvas) {
    this.canvas = canvas;
    this.size = 0;
  }

  resize(world, size) {
    this.size = size;
    this.canvas.style.width = `${size * world.width + 1}px`;
    this.canvas.style.height = `${size * world.height + 1}px`;
  }

  /** The cell [row, column] under a pointer, or null. */
  cellAt(world, event) {
    const box = this.canvas.getBoundingClientRect();
    const row = Math.floor((event.clientY - box.top) / this.size), column = Math.floor((event.clientX - box.left) / this.size);
    return row >= 0 && row < world.height && column >= 0 && column < world.width ? [row, column] : null;
  }

  /**
   * Draws it all.
   * known: as of valuesOf, or null; visits: of the states; range: [low, high] of the colours; state: the agent's;
   * show: what to show; cursor: [row, column] or null; touched: states to be framed.
   */
  draw(world, { known, visits, range, state, layer, show, cursor, touched, focused }) {
    const { width, height } = world, size = this.size;
    const ctx = contextOf(this.canvas, size * width + 1, size * height + 1);
    this.floor = themed("--floor");
    this.grid = themed("--grid");
    ctx.fillStyle = this.floor;
    ctx.fillRect(0, 0, size * width + 1, size * height + 1);
    const most = show === "visits" && visits ? Math.log1p(visits.reduce((a, b) => Math.max(a, b), 0)) : 0;
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const cell = row * width + column, at = cell + layer * world.nCells;
        ctx.save();
        ctx.translate(column * size, row * size);
        ctx.scale(size, size);
        this.drawCell(ctx, world, cell, at, known, visits, range, show, most);
        ctx.restore();
      }
    }
    this.lines(ctx, world);
    for (const [s, stroke] of touched || []) this.frame(ctx, world, s % world.nCells, stroke, 3);
    if (state >= 0) {
      const cell = state % world.nCells;
      ctx.save();
      ctx.translate((cell % width) * size, Math.floor(cell / width) * size);
      ctx.scale(size, size);
      if (known && size >= 40 && show === "values") {
        ctx.translate(0.14, 0); // its value can be read below it
        ctx.scale(0.72, 0.72);
      }
      drawAgent(ctx);
      ctx.restore();
    }
    if (cursor) this.frame(ctx, world, cursor[0] * width + cursor[1], focused ? themed("--focus") : themed("--quiet"), focused ? 4 : 2);
  }

  drawCell(ctx, world, cell, at, known, visits, range, show, most) {
    const letter = world.letters[cell], wind = world.wind[cell], reward = world.rewards[cell];
    const big = this.size >= 40;
    let ink = themedInk(this), place = null;
    if (world.hasValue[cell] && show === "visits" && visits) {
      place = most ? Math.log1p(visits[at]) / most : 0;
    } else if (world.hasValue[cell] && known && show === "values") {
      place = range[1] > range[0] ? (known.values[at] - range[0]) / (range[1] - range[0]) : 0.5;
    }
    if (place !== null) {
      ctx.fillStyle = color(place);
      ctx.fillRect(0, 0, 1, 1);
      ink = inkOn(place);
    }
    const triangles = show === "q" && known && world.hasValue[cell] && world.moves.length === 4;
    if (triangles) this.triangles(ctx, known.table.subarray(at * 4, at * 4 + 4), range, this.size >= 64);
    if (wind && world.hasValue[cell]) this.faint(ctx, () => drawSymbol(ctx, "wind", wind), 0.75);
    const jump = world.jumpNames[letter];
    if (jump) label(ctx, jump, 0.2, 0.21, big ? 0.26 : 0.5, ink, null);
    else if (letter === START && known && (show !== "policy" || !big)) label(ctx, "S", 0.18, 0.2, 0.28, ink, null);
    else if (letter in ARROWS) this.faint(ctx, () => drawSymbol(ctx, letter), 0.6);
    else drawSymbol(ctx, letter);
    if (reward !== null && letter !== WALL) this.corner(ctx, (reward > 0 ? "+" : "") + short(reward), ink, place);
    if (!world.hasValue[cell]) return;
    if (known && !triangles && show !== "visits") this.arrows(ctx, world, known, at, show === "policy" ? themedInk(this) : ink, show, big);
    if (big && show === "values" && known) label(ctx, short(known.values[at]), 0.5, 0.82, 0.22, ink, null);
    if (big && show === "visits" && visits) label(ctx, brief(visits[at]), 0.5, 0.52, 0.26, ink, null);
  }

  corner(ctx, text, ink, place) {
    if (this.size >= 30) label(ctx, text, 0.7, 0.17, 0.22, ink, place === null ? this.floor : null);
    else {
      ctx.fillStyle = text.startsWith("+") ? "#009e73" : "#d55e00";
      ctx.fillRect(0.7, 0.05, 0.25, 0.25);
    }
  }

  faint(ctx, draw, alpha) {
    ctx.globalAlpha = alpha;
    draw();
    ctx.globalAlpha = 1;
  }

  arrows(ctx, world, known, at, ink, show, big) {
    const n = world.moves.length, best = known.values[at], span = Math.max(known.high - known.low, 1e-9);
    const ties = world.moves.filter((_, a) => known.table[at * n + a] >= best - TIE * span);
    if (ties.length === n) return; // nothing is known yet
    const lifted = big && show === "values";
    ctx.save();
    if (lifted) ctx.translate(0, ties.length > 1 ? -0.15 : -0.1);
    for (const move of ties) {
      if (ties.length > 1) arrow(ctx, move, 0.03, 0.33, 0.075, ink);
      else arrow(ctx, move, -0.27, 0.33, 0.11, ink);
    }
    ctx.restore();
  }

  triangles(ctx, q, range, numbers) {
    const corners = [[0, 0], [1, 0], [1, 1], [0, 1]], best = Math.max(...q), tied = Math.min(...q) === best;
    const spots = [[0.5, 0.19], [0.79, 0.5], [0.5, 0.83], [0.21, 0.5]];
    for (let a = 0; a < 4; a++) {
      const place = range[1] > range[0] ? (q[a] - range[0]) / (range[1] - range[0]) : 0.5;
      ctx.beginPath();
      ctx.moveTo(...corners[a]);
      ctx.lineTo(...corners[(a + 1) % 4]);
      ctx.lineTo(0.5, 0.5);
      ctx.closePath();
      ctx.fillStyle = color(place);
      ctx.fill();
      ctx.strokeStyle = "rgb(128 128 128 / 0.5)";
      ctx.lineWidth = 0.012;
      ctx.stroke();
      const [x, y] = spots[a];
      if (numbers) label(ctx, short(q[a]), x, y, q[a] === best && !tied && a % 2 === 0 ? 0.19 : 0.15, inkOn(place), null);
      else if (q[a] === best && !tied) {
        ctx.beginPath();
        ctx.arc(x, y, 0.075, 0, 2 * Math.PI);
        ctx.fillStyle = inkOn(place);
        ctx.fill();
      }
    }
  }

  lines(ctx, { width, height }) {
    if (this.size < 6) return;
    ctx.strokeStyle = this.grid;
    ctx.globalAlpha = this.size < 16 ? 0.4 : 0.8;
    ctx.lineWidth = 1;
    ctx.beginPath();
    for (let x = 0; x <= width; x++) {
      ctx.moveTo(x * this.size + 0.5, 0);
      ctx.lineTo(x * this.size + 0.5, height * this.size + 1);
    }
    for (let y = 0; y <= height; y++) {
      ctx.moveTo(0, y * this.size + 0.5);
      ctx.lineTo(width * this.size + 1, y * this.size + 0.5);
    }
    ctx.stroke();
    ctx.globalAlpha = 1;
  }

  frame(ctx, { width }, cell, stroke, thickness) {
    const inset = thickness / 2;
    ctx.strokeStyle = stroke;
    ctx.lineWidth = thickness;
    ctx.strokeRect((cell % width) * this.size + inset, Math.floor(cell / width) * this.size + inset, this.size + 1 - thickness, this.size + 1 - thickness);
  }
}

const themedInk = (board) => (board.floor.startsWith("#2") ? "#f1f3f6" : "#20242b");

const brief = (n) => (n < 1e4 ? String(Math.round(n)) : n < 1e6 ? `${Math.round(n / 1e3)}k` : `${(n / 1e6).toFixed(n < 1e7 ? 1 : 0)}M`);

/** Which cells have values: no walls, no ends, no cliffs. */
export function cellsWithValue(letters, rules) {
  return letters.map((letter) => ![WALL, HOLE, CLIFF].includes(letter) && !(letter === GOAL && rules.goal_ends));
}
