// What the page knows, and what every part of it needs.

import { cellsWithValue } from "./board.js";
import { described, toFragment } from "./world.js";

export const get = (id) => document.getElementById(id);

/** What was chosen, what the server said, and what is going on. */
export const page = {
  examples: [], saved: null, playing: false, running: false, speed: 3, playSpeed: 4,
  edited: null, gamma: 0.95, agents: [], // what was chosen
  unsure: false, refused: false, // whether the server has answered to it; whether it refused
  world: null, exact: null, optimum: null, frame: null, play: null, // what the server said
  boards: [], cursor: null, focused: null, stroke: null, drawn: 0, acknowledged: 0, panelled: 0, waiting: false,
};

/** What this needs from main.js: to send a message, to draw everything. */
export const hooks = { send() {}, draw() {} };

/** Tells the server what was chosen, and the address, too. */
export function setup() {
  const chosen = { world: described(page.edited), gamma: page.gamma, agents: page.agents };
  page.unsure = true;
  page.refused = false;
  hooks.send({ type: "setup", ...chosen });
  history.replaceState(null, "", toFragment(chosen));
  get("error").hidden = true;
}

/** Draws with the next picture of the screen; then the server may send another. */
export function schedule(number) {
  if (number) page.drawn = number;
  if (page.waiting) return;
  page.waiting = true;
  requestAnimationFrame(async () => {
    page.waiting = false;
    await hooks.draw();
    if (page.drawn !== page.acknowledged) hooks.send({ type: "seen", frame: page.drawn });
    page.acknowledged = page.drawn;
  });
}

/** A world as the boards draw it: cells in rows, one after the other. */
export function makeView(height, width, letters, wind, rewards, rules, moves) {
  const jumpNames = {};
  for (const [origin, [target]] of Object.entries(page.edited?.jumps || {})) Object.assign(jumpNames, { [origin]: origin, [target]: `${origin}′` });
  return { height, width, nCells: height * width, letters, wind, rewards, rules, moves, jumpNames, hasValue: cellsWithValue(letters, rules) };
}
