// Keeps the parts marked with `data-live` up to date: asks for the same page again and takes those parts over. It rests
// while nobody looks, and after a while without a key or a pointer, so that an open page does not keep a session alive.

import { showTimes } from "./time.js";

const EVERY_MS = 5_000;
const REST_AFTER_MS = 10 * 60_000;

const state = document.getElementById("live-state");
let touched = Date.now();

function tell(text) {
  if (state && state.textContent !== text) state.textContent = text;
}

function busy(part) {
  return part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea, button, summary");
}

async function refresh() {
  if (document.hidden) return;
  if (Date.now() - touched > REST_AFTER_MS) return tell("Paused: move the pointer to go on");
  let answer;
  try {
    answer = await fetch(location.href, { headers: { "x-doorward-background": "1" }, cache: "no-store" });
  } catch {
    return tell("The server does not answer; trying again");
  }
  if (answer.redirected) return location.reload();
  if (!answer.ok) return tell("The server does not answer; trying again");
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelectorAll("[data-live]");
  document.querySelectorAll("[data-live]").forEach((part, at) => {
    if (!fresh[at] || busy(part)) return;
    showTimes(fresh[at]);
    part.replaceChildren(...fresh[at].childNodes);
  });
  tell("Live");
}

for (const event of ["pointermove", "pointerdown", "keydown"]) {
  addEventListener(event, () => { touched = Date.now(); }, { passive: true });
}
setInterval(refresh, EVERY_MS);
tell("Live");
