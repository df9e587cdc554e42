// Everything that moves, on the Web Animations API: the page's policy allows no inline styles, and
// an animation that is cut short leaves nothing behind to clean up.

const still = matchMedia("(prefers-reduced-motion: reduce)");
const EASE = "cubic-bezier(0.2, 0.8, 0.2, 1)";

// A browser that draws slowly must not be given more to draw: it would draw slower still, and copies
// of rows that wait for their last frame would pile up. So a frame that is late stops all movement.
const LATE_MS = 150;
const REST_MS = 2000;
let asked = 0; // when the frame under way was asked for; 0: none is
let rested = 0; // when movement may go on

const late = (now) => (asked > 0 && now - asked > LATE_MS) || now < rested;

/** Movement is for eyes: not for those who asked for none, nor for a tab nobody sees or draws in time. */
const mayMove = () => !still.matches && !document.hidden && !late(performance.now());

/** Runs an animation, and looks how long its first frame takes. */
function play(element, frames, options) {
  if (!asked) {
    asked = performance.now();
    requestAnimationFrame(() => {
      const now = performance.now();
      if (late(now)) rested = now + REST_MS;
      asked = 0;
    });
  }
  return element.animate(frames, options);
}

/** Remembers where the rows are (FLIP: first, last, invert, play). */
export function positions(rows) {
  return new Map([...rows].map((row) => [row, row.getBoundingClientRect()]));
}

/** Lets rows glide from where they were to where they are; those not there before drop in. */
export function glide(rows, before) {
  if (!mayMove()) return;
  let newcomers = 0;
  const after = positions(rows); // all reads before the first write
  for (const [row, now] of after) {
    const old = before.get(row);
    if (!old) enter(row, newcomers++);
    else if (Math.abs(old.top - now.top) > 1) slide(row, old.top - now.top);
  }
}

function slide(row, from) {
  // Rows on the way up pass over those that make room for them.
  const lifted = from > 0 ? { zIndex: 2, position: "relative" } : { position: "relative" };
  play(
    row,
    [{ transform: `translateY(${from}px)`, ...lifted }, { transform: "none", ...lifted }],
    { duration: 520, easing: EASE },
  );
}

function enter(row, nth) {
  const delay = Math.min(nth, 12) * 28;
  play(row, [{ opacity: 0 }, { opacity: 1 }], { duration: 260, delay, fill: "backwards" });
  row.querySelectorAll(".flap").forEach((flap, i) => turn(flap, delay + i * 35));
}

/** Shows a copy of a row that is gone fading out where it stood. `ghosts` covers the table. */
export function vanish(row, at, ghosts) {
  if (!mayMove() || !at) return;
  const origin = ghosts.getBoundingClientRect();
  const ghost = row.cloneNode(true);
  for (const hook of ["data-id", "role"]) ghost.removeAttribute(hook);
  Object.assign(ghost.style, {
    top: `${at.top - origin.top}px`,
    left: `${at.left - origin.left}px`,
    width: `${at.width}px`,
  });
  ghosts.append(ghost);
  const away = row.dataset.status === "departed" ? "translate(2.5rem, -0.6rem)" : "scale(0.985)";
  const { finished } = play(ghost, [{ opacity: 1 }, { opacity: 0, transform: away }], {
    duration: 380,
    easing: "ease-in",
    fill: "forwards",
  });
  finished.finally(() => ghost.remove());
}

/** Marks a cell that changed. Colour only, so it is shown to everyone. */
export function flash(cell) {
  if (document.hidden || late(performance.now())) return;
  play(
    cell,
    [{ backgroundColor: "rgb(255 197 46 / 34%)" }, { backgroundColor: "rgb(255 197 46 / 0%)" }],
    { duration: 1600, easing: "ease-out" },
  );
}

function turn(flap, delay = 0) {
  play(
    flap,
    [
      { transform: "perspective(8em) rotateX(-88deg)", filter: "brightness(0.5)" },
      { transform: "perspective(8em) rotateX(14deg)", offset: 0.75 },
      { transform: "none" },
    ],
    { duration: 300, delay, easing: "ease-out", fill: "backwards" },
  );
}

/** Writes text on split flaps, one tile a character; those that change turn over. */
export function setFlaps(holder, text) {
  const fresh = holder.childElementCount !== text.length;
  if (fresh) {
    const tiles = [...text].map((char) => {
      const tile = document.createElement("span");
      tile.className = char === ":" ? "flap flap-gap" : "flap";
      tile.textContent = char;
      return tile;
    });
    holder.replaceChildren(...tiles);
    return;
  }
  [...holder.children].forEach((tile, i) => {
    if (tile.textContent === text[i]) return;
    tile.textContent = text[i];
    if (mayMove()) turn(tile, i * 45);
  });
}
