// Adds a device: makes its key pair here, sends the public key alone, and puts the private key into the config that comes
// back. The private key is in this page's memory, in the file that is downloaded and in the QR code, and nowhere else.

import { encode, svg } from "./qr.js";

const ALGORITHM = { name: "X25519" };
// What the config has where the key belongs.
const OPEN_PLACE = /^# PrivateKey = .*$/m;

const form = document.getElementById("device");

function base64(bytes) {
  return btoa(String.fromCharCode(...bytes));
}

/** Makes a pair and returns both halves in base64. */
async function makePair() {
  const pair = await crypto.subtle.generateKey(ALGORITHM, true, ["deriveBits"]);
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  // PKCS #8 ends with the 32 bytes of the key (RFC 8410, section 7).
  const encoded = new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey));
  const secret = encoded.slice(-32);
  encoded.fill(0);
  // As `wg genkey` writes it (RFC 7748, section 5).
  secret[0] &= 248;
  secret[31] = (secret[31] & 127) | 64;
  const halves = { publicKey: base64(publicKey), privateKey: base64(secret) };
  secret.fill(0);
  return halves;
}

async function canMakeKeys() {
  try {
    await crypto.subtle.generateKey(ALGORITHM, false, ["deriveBits"]);
    return true;
  } catch {
    return false;
  }
}

/** Guesses what this device is, as the form's words. */
function guess() {
  const agent = navigator.userAgent;
  if (/iPhone|iPad/.test(agent)) return "iphone";
  if (/Android/.test(agent)) return "android";
  if (/Mac OS X/.test(agent)) return "macos";
  if (/Windows/.test(agent)) return "windows";
  if (/Linux/.test(agent)) return "linux";
  return "other";
}

function fail(sentence) {
  const place = document.getElementById("failed");
  place.textContent = sentence;
  place.hidden = false;
  form.querySelector("button[type=submit]").disabled = false;
}

function showConfig(text, name) {
  const qr = document.getElementById("qr");
  // Comments are left out: no app keeps them, and a code with fewer bytes scans better.
  const short = text.split("\n").filter((line) => !line.startsWith("#")).join("\n");
  const picture = svg(encode(new TextEncoder().encode(short)));
  picture.setAttribute("aria-label", `QR code with the config of ${name}`);
  qr.prepend(picture);
  qr.hidden = false;
  const download = document.getElementById("download");
  download.href = URL.createObjectURL(new Blob([text], { type: "application/x-wireguard-profile" }));
  download.download = `${name}.conf`;
  download.hidden = false;
  document.getElementById("whole").textContent = text;
  document.getElementById("text").hidden = false;
}

async function add(event) {
  event.preventDefault();
  document.getElementById("failed").hidden = true;
  form.querySelector("button[type=submit]").disabled = true;
  let pair;
  let answer;
  try {
    pair = await makePair();
    form.elements.public_key.value = pair.publicKey;
    answer = await fetch(form.action || location.href, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  } catch {
    return fail("The server did not answer. Check the connection and try again.");
  }
  if (answer.redirected) return location.assign(answer.url);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (!answer.ok) return fail(page.querySelector(".refusal p")?.textContent ?? "That did not work. Try again.");
  const template = page.getElementById("config")?.textContent;
  const { name } = page.getElementById("added").dataset;
  document.title = page.title;
  document.querySelector("main").replaceChildren(...page.querySelector("main").childNodes);
  if (template) {
    if (!OPEN_PLACE.test(template)) throw new Error("the config has no place for the key");
    showConfig(template.replace(OPEN_PLACE, `PrivateKey = ${pair.privateKey}`), name);
  }
  document.querySelector("main h1").focus();
}

form.elements.platform.value = guess();
if (await canMakeKeys()) {
  form.addEventListener("submit", add);
} else {
  document.getElementById("no-key").hidden = false;
  form.querySelector("button[type=submit]").disabled = true;
}
