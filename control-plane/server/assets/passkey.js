// Passkeys: asks the server for a challenge, the browser for a credential, and the server whether it counts. Without this
// module, or where browsers refuse passkeys, the pages' forms with a password and a code do the same.

const decode = (text) => {
  const padded = text.replace(/-/g, '+').replace(/_/g, '/');
  return Uint8Array.from(atob(padded), (letter) => letter.charCodeAt(0));
};

const encode = (buffer) => {
  const letters = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join('');
  return btoa(letters).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
};

/** Says why browsers refuse passkeys on this page, or nothing where they work. */
const obstacle = () => {
  const host = location.hostname;
  if (/^[0-9.]+$/.test(host) || host.startsWith('[')) {
    return 'Passkeys need a name: browsers refuse them at a bare address. Use a password and a code here; once this server has a name with a trusted certificate, add a passkey.';
  }
  if (!window.isSecureContext) {
    return 'Passkeys need a certificate that your browser trusts. Use a password and a code here.';
  }
  if (!window.PublicKeyCredential || !navigator.credentials) {
    return 'This browser knows no passkeys. Use a password and a code here, or another browser.';
  }
  return null;
};

const post = async (path, body) => {
  const response = await fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    credentials: 'same-origin',
    body: JSON.stringify(body),
  });
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  if (answer?.error?.code === 'fresh_factor_needed') {
    location.assign(`/step-up?next=${encodeURIComponent(location.pathname)}`);
    return new Promise(() => {});
  }
  const sentence = answer?.error?.message ?? 'The server did not answer. Try again in a moment.';
  throw new Error(sentence.charAt(0).toUpperCase() + sentence.slice(1));
};

const withBytes = (options) => {
  const key = { ...options.publicKey, challenge: decode(options.publicKey.challenge) };
  if (key.user) key.user = { ...key.user, id: decode(key.user.id) };
  for (const list of ['excludeCredentials', 'allowCredentials']) {
    if (key[list]) key[list] = key[list].map((it) => ({ ...it, id: decode(it.id) }));
  }
  return { publicKey: key };
};

const asText = (credential) => {
  const { response } = credential;
  const text = { clientDataJSON: encode(response.clientDataJSON) };
  if (response.attestationObject) {
    text.attestationObject = encode(response.attestationObject);
    text.transports = response.getTransports?.() ?? [];
  } else {
    text.authenticatorData = encode(response.authenticatorData);
    text.signature = encode(response.signature);
    text.userHandle = response.userHandle ? encode(response.userHandle) : null;
  }
  return {
    id: credential.id,
    rawId: encode(credential.rawId),
    type: credential.type,
    response: text,
    extensions: credential.getClientExtensionResults(),
  };
};

/** What the form around the button says, without what is secret and belongs to the other way. */
const fields = (form) => {
  const all = Object.fromEntries(new FormData(form));
  for (const secret of ['password', 'repeated', 'code', 'sealed']) delete all[secret];
  return all;
};

const say = (form, sentence) => {
  const place = form.querySelector('[data-message]');
  place.textContent = sentence ?? '';
  place.hidden = !sentence;
};

const cancelled =
  'No passkey was used: it was cancelled, took too long, this device has none for this site, or the browser does not trust the certificate here. Try again, or use a password and a code.';

const sentenceOf = (error) => {
  if (error.name === 'InvalidStateError') return 'This device has a passkey for you already. Sign in with it.';
  if (error.name === 'SecurityError') {
    return 'The browser refuses passkeys here: the address is not the one of this server, or its certificate is not trusted. Use a password and a code.';
  }
  return error.name === 'NotAllowedError' || error.name === 'AbortError' ? cancelled : error.message;
};

const run = async (form) => {
  const { ceremony, start, finish } = form.dataset;
  const given = fields(form);
  const begun = await post(start, given);
  const options = withBytes(begun.options);
  const credential =
    ceremony === 'create' ? await navigator.credentials.create(options) : await navigator.credentials.get(options);
  const { next } = await post(finish, { ...given, ceremony: begun.ceremony, credential: asText(credential) });
  location.assign(next);
};

const listen = (form) => {
  form.addEventListener('submit', (event) => {
    const other = form.querySelector('[data-with="passkey"]');
    if (other && event.submitter !== other) return;
    event.preventDefault();
    // The other way's fields are not filled in; those before them have to be.
    const asked = [...form.querySelectorAll('input[name="email"], input[name="name"], input[name="accepts"]')];
    if (!asked.every((field) => field.reportValidity())) return;
    const button = event.submitter;
    if (button) button.disabled = true;
    say(form, null);
    run(form)
      .catch((error) => say(form, sentenceOf(error)))
      .finally(() => {
        if (button) button.disabled = false;
      });
  });
};

const why = obstacle();
for (const form of document.querySelectorAll('form[data-ceremony]')) listen(form);
for (const part of document.querySelectorAll('[data-passkey]')) part.hidden = why !== null;
for (const part of document.querySelectorAll('[data-no-passkey]')) {
  part.textContent = why ?? '';
  part.hidden = why === null;
}
if (why === null) {
  for (const part of document.querySelectorAll('details[data-otherwise]')) part.open = Boolean(document.querySelector('[role="alert"]:not([hidden])'));
}
