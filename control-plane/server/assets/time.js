// Shows each <time datetime> in the reader's own zone, and keeps the relative ones right while the page is open.

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
const dayAndTime = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const withYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];
const REFRESH_MS = 10_000;

function distance(at, now) {
  const seconds = Math.round((at - now) / 1000);
  const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? UNITS.at(-1);
  return relative.format(Math.trunc(seconds / length), unit);
}

function show(element, now) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  element.title = full.format(at);
  switch (element.dataset.show) {
    case "distance":
      element.textContent = distance(at, now);
      break;
    case "day":
      element.textContent = day.format(at);
      break;
    case "clock":
      element.textContent = clock.format(at);
      break;
    default:
      element.textContent = (at.getFullYear() === new Date(now).getFullYear() ? dayAndTime : withYear).format(at);
  }
}

/** Renders every time below `root`; call it after putting markup into the page. */
export function showTimes(root = document) {
  const now = Date.now();
  for (const element of root.querySelectorAll("time[datetime]")) show(element, now);
}

showTimes();
setInterval(() => showTimes(), REFRESH_MS);
