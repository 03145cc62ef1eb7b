// Plays what a saved model does: pictures, returns.

import { count, short, themed } from "./colors.js";
import { drawCurves } from "./curve.js";

const get = (id) => document.getElementById(id);

/** Draws a message of type "play"; done once its picture is on the page. */
export async function drawPlay(message) {
  const canvas = get("film"), text = get("observation");
  canvas.hidden = !message.draws;
  text.hidden = message.draws;
  if (message.picture) {
    const picture = await createImageBitmap(new Blob([message.picture], { type: "image/jpeg" }));
    if (canvas.width !== picture.width || canvas.height !== picture.height) [canvas.width, canvas.height] = [picture.width, picture.height];
    canvas.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
  } else text.textContent = `${message.observation}`;
  const over = message.over ? " — the episode is over" : "";
  get("play-text").textContent = message.step
    ? `step ${count(message.step)}: action ${message.action}, reward ${short(message.reward)}, return ${short(message.return)}${over}`
    : "at the start";
  get("play-text").dataset.step = message.step;
  get("play-text").dataset.return = message.return;
  const first = message.episodes - message.returns.length;
  const points = Array.from(message.returns, (value, i) => [first + i + 1, value]);
  drawCurves(get("returns"), [{ name: "", points, color: themed("--first"), marker: "circle" }], null, false);
  const mean = points.reduce((sum, [, value]) => sum + value, 0) / points.length;
  get("returns-text").textContent = points.length ? `${count(message.episodes)} episodes, mean return of the last ${points.length}: ${short(mean)}` : "No episode is over yet.";
  get("returns-text").dataset.episodes = message.episodes;
}

