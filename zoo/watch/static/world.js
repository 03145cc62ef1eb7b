// A world that is drawn on, and its description as GridWorld.from_dict reads it.

import { ARROWS, CLIFF, DOOR, FREE, GOAL, HOLE, KEY, START, WALL } from "./symbols.js";

const LEGEND = [WALL, FREE, START, GOAL, HOLE, CLIFF, KEY, DOOR, ...Object.keys(ARROWS)];

/** Rules of a world with their defaults, as sb3_ext.envs.grid.model.Rules has them. */
export const RULES = {
  step_reward: -0.01, goal_reward: 1, hole_reward: -1, bump_reward: null, slip: 0, king_moves: false, stay: false,
  goal_ends: true, random_start: false, stochastic_wind: false,
};

/** A description as something to draw on: letters, wind and rewards of single cells. */
export function editable(description) {
  const { map, wind, rewards, ...rest } = structuredClone(description);
  const letters = map.map((row) => [...row]), jumps = rest.jumps || {};
  const targets = Object.values(jumps).map(([target]) => target), named = Array.isArray(rewards) ? {} : rewards || {};
  const known = (letter) => LEGEND.includes(letter) || letter in jumps || targets.includes(letter);
  const cells = (make) => letters.map((row, r) => row.map((letter, c) => make(letter, r, c)));
  return {
    ...rest,
    rewards: cells((letter, r, c) => (Array.isArray(rewards) ? rewards[r][c] : named[letter] ?? null)),
    wind: cells((_, r, c) => (!wind ? 0 : Array.isArray(wind[0]) ? wind[r][c] : wind[c])),
    letters: cells((letter) => (known(letter) ? letter : FREE)),
  };
}

/** The description of what was drawn, as short as it can be. */
export function described(world) {
  const { letters, wind, rewards, jumps, rules, ...rest } = world;
  const description = { map: letters.map((row) => row.join("")) };
  const byColumn = wind.every((row) => row.every((strength, c) => strength === wind[0][c]));
  if (wind.some((row) => row.some((strength) => strength))) description.wind = byColumn ? wind[0] : wind;
  if (rewards.some((row) => row.some((value) => value !== null))) description.rewards = rewards;
  if (jumps && Object.keys(jumps).length) description.jumps = jumps;
  const changed = Object.entries(rules || {}).filter(([name, value]) => value !== RULES[name]);
  if (changed.length) description.rules = Object.fromEntries(changed);
  return { ...description, ...rest };
}

/** Puts something into a cell; says whether anything changed. */
export function paint(world, [row, column], tool, value) {
  const before = JSON.stringify([world.letters[row][column], world.wind[row][column], world.rewards[row][column]]);
  const old = world.letters[row][column];
  const starts = world.letters.flat().filter((letter) => letter === START).length;
  if (tool === "wind") world.wind[row][column] = value;
  else if (tool === "reward") world.rewards[row][column] = value;
  else if (old === START && tool !== START && starts === 1 && !world.rules?.random_start) return false; // one must stay
  else {
    if (tool === START) world.letters.forEach((cells) => cells.forEach((letter, c) => letter === START && (cells[c] = FREE)));
    world.letters[row][column] = tool;
    if (tool === FREE || tool === WALL) {
      world.rewards[row][column] = null;
      world.wind[row][column] = 0;
    }
    for (const [origin, [target]] of Object.entries(world.jumps || {})) {
      const there = world.letters.flat();
      if (there.includes(origin) && there.includes(target)) continue;
      delete world.jumps[origin];
      world.letters.forEach((cells) => cells.forEach((letter, c) => [origin, target].includes(letter) && (cells[c] = FREE)));
    }
  }
  const changed = before !== JSON.stringify([world.letters[row][column], world.wind[row][column], world.rewards[row][column]]);
  if (changed) delete world.change; // what the world would have become is another one
  return changed;
}

/** The world with another number of rows and columns; start and goal are kept, if they fall outside, at the corners. */
export function resized(world, rows, columns) {
  const grow = (cells, fill) =>
    Array.from({ length: rows }, (_, r) => Array.from({ length: columns }, (_, c) => cells[r]?.[c] ?? fill));
  const { change, ...rest } = world;
  const larger = { ...rest, letters: grow(world.letters, FREE), wind: grow(world.wind, 0), rewards: grow(world.rewards, null) };
  if (!larger.letters.flat().includes(START)) larger.letters[0][0] = START;
  if (world.letters.flat().includes(GOAL) && !larger.letters.flat().includes(GOAL)) larger.letters[rows - 1][columns - 1] = GOAL;
  return larger;
}

/** A world from a file: JSON, or a bare map. */
export function fromFile(text) {
  if (text.trimStart().startsWith("{")) return JSON.parse(text);
  return { map: text.split(/\r?\n/).map((row) => row.trim()).filter(Boolean) };
}

/** The setup (world, gamma, agents) as the fragment of an address, and back; null if it is none. */
export const toFragment = (setup) => `#${encodeURIComponent(JSON.stringify(setup))}`;
export function fromFragment(fragment) {
  if (fragment.length < 2) return null;
  const setup = JSON.parse(decodeURIComponent(fragment.slice(1)));
  if (!setup?.world?.map || !Array.isArray(setup.agents)) throw new Error("this link holds no world");
  return { world: setup.world, gamma: setup.gamma ?? 0.95, agents: setup.agents };
}
