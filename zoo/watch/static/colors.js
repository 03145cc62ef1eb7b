// Colours: cividis (Nuñez, Anderton & Renslow 2018), which looks the same to colour-blind readers; no meaning rests on
// colour alone.

const CIVIDIS = [
  [0, 34, 78], [0, 40, 91], [0, 46, 106], [5, 51, 113], [26, 56, 111], [39, 62, 110], [50, 67, 109], [59, 73, 108],
  [67, 78, 108], [75, 84, 108], [83, 90, 109], [90, 95, 110], [97, 101, 111], [104, 106, 113], [111, 112, 115], [118, 118, 118],
  [125, 124, 120], [132, 130, 121], [140, 136, 120], [147, 142, 120], [155, 148, 118], [163, 154, 116], [171, 160, 114], [180, 167, 111],
  [188, 174, 108], [196, 180, 104], [205, 187, 99], [213, 194, 94], [222, 201, 88], [231, 209, 80], [240, 216, 70], [249, 224, 58],
  [254, 232, 56],
];

/** The colour at a place from 0 to 1. */
export function color(place) {
  const at = Math.min(Math.max(place, 0), 1) * (CIVIDIS.length - 1);
  const low = Math.min(Math.floor(at), CIVIDIS.length - 2), share = at - low;
  const part = (i) => Math.round(CIVIDIS[low][i] + share * (CIVIDIS[low + 1][i] - CIVIDIS[low][i]));
  return `rgb(${part(0)} ${part(1)} ${part(2)})`;
}

/** Ink that is legible on that colour. */
export const inkOn = (place) => (place > 0.52 ? "#10141a" : "#ffffff");

/** A colour of the page's present theme, such as "--ink". */
export const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A number in at most about four signs. */
export function short(value) {
  const size = Math.abs(value), digits = size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}

/** A number with six digits at most. */
export const long = (value) => String(Number(value.toPrecision(6))).replace("-", "−");

/** A whole number with thousands apart. */
export const count = (value) => Math.round(value).toLocaleString("en-US");

/** A canvas's context, scaled so that units are CSS pixels. */
export function contextOf(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}
