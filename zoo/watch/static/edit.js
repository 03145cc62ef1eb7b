// Drawing the world, by pointer and by keyboard.

import { get, makeView, page, schedule, setup } from "./page.js";
import { tool, toolValue } from "./tools.js";
import { paint } from "./world.js";

function edit(change) {
  if (!change()) return;
  if (page.edited.letters.length === page.world?.height && page.edited.letters[0].length === page.world?.width) {
    const { letters, wind, rewards } = page.edited;
    page.world = makeView(page.world.height, page.world.width, letters.flat(), wind.flat(), rewards.flat(), page.world.rules, page.world.moves);
  }
  get("example").selectedIndex = -1;
  schedule();
  return true;
}

export function pointerDown(event, made) {
  const cell = made.board.cellAt(page.world, event);
  if (!cell) return;
  page.cursor = cell;
  if (tool() !== "look" && event.button === 0) {
    made.board.canvas.setPointerCapture(event.pointerId);
    const old = page.edited.letters[cell[0]][cell[1]], windy = page.edited.wind[cell[0]][cell[1]];
    let [name, value] = [tool(), toolValue()];
    if (name === old && name !== "S") name = "."; // a second time takes it away
    if (name === "wind" && windy === value) value = 0;
    if (name === "reward" && page.edited.rewards[cell[0]][cell[1]] === value) value = null;
    page.stroke = { name, value, changed: false };
    strokeTo(cell);
    event.preventDefault();
    made.board.canvas.focus({ preventScroll: true });
  }
  schedule();
}

export function pointerMove(event, made) {
  const cell = made.board.cellAt(page.world, event);
  if (!cell || (page.cursor && cell[0] === page.cursor[0] && cell[1] === page.cursor[1])) return;
  page.cursor = cell;
  if (page.stroke) strokeTo(cell);
  page.panelled = 0;
  schedule();
}

function strokeTo(cell) {
  if (edit(() => paint(page.edited, cell, page.stroke.name, page.stroke.value))) page.stroke.changed = true;
}

export function endStroke() {
  const changed = page.stroke?.changed;
  page.stroke = null;
  if (changed) setup();
  schedule();
}

export function boardKey(event) {
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const letters = { w: "#", ".": ".", s: "S", g: "G", h: "H", c: "C", u: "wind", p: "reward" };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in moves) {
    const [row, column] = page.cursor ?? [0, 0], [down, right] = moves[event.key];
    page.cursor = [Math.min(Math.max(row + down, 0), page.world.height - 1), Math.min(Math.max(column + right, 0), page.world.width - 1)];
    page.panelled = 0;
    schedule();
  } else if (event.key === "Enter" || event.key in letters) {
    const name = event.key === "Enter" ? tool() : letters[event.key];
    if (name === "look") return;
    const [row, column] = page.cursor ?? [0, 0];
    let value = toolValue(name);
    if (name === "wind" && page.edited.wind[row][column] === value) value = 0;
    if (name === "reward" && page.edited.rewards[row][column] === value) value = null;
    const same = page.edited.letters[row][column] === name && name !== "S";
    if (edit(() => paint(page.edited, [row, column], same ? "." : name, value))) setup();
  } else return;
  event.preventDefault();
  event.stopPropagation();
}
